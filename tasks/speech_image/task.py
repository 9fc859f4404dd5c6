"""Learn words from pictures and speech: two encoders, a similarity of their maps, triplet losses both ways.

The job that "Jointly Discovering Visual Objects and Spoken Words" (arXiv:1804.01452) defined and that both
"Learning Words by Drawing Images" (CVPR 2019) and ResDAVEnet-VQ (ICLR 2020) build on. Retrieval among held-out pairs
measures it. ``python run.py -f quickstart.yaml`` runs it on the embedded world, ``tuxpaint/train.yaml`` on real speech.

Shape letters: B global batch, b batch of this rank, D embedding size, T frames, H, W image map.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from common import distributed
from common.errors import UserError
from config import Fault, Offers
from datasets.loading.skipped import merge_skipped
from datasets.spoken_captions.dataset import SpokenCaptions
from datasets.spoken_captions.splits import SpeechImageData
from engine.context import Context
from engine.optimization import Length, Optimization
from engine.run_folder import RunFolder
from engine.task import Example, Step
from evaluation.retrieval.recall import RECALLS, recall_metrics
from models.similarity import Similarity
from models.speech_maps import SpeechMaps
from published import holds_encoders
from tasks.checks import plan_faults
from tasks.fitting import Node, few_pairs, no_pictures, unlike_encoders
from tasks.speech_image.caption_encoder import Captions
from tasks.speech_image.encode_split import Encoded, encode_all
from tasks.speech_image.impostors import draw_imposters, leave_out_same_picture
from tasks.speech_image.ranked import Ranked, rank_split
from tasks.speech_image.report import write_retrieval_report
from tasks.speech_image.trained import encoder_nodes, published_weights

log = logging.getLogger(__name__)
EXAMPLES = 3  # pairs in TensorBoard
SKIPPED = "skipped.csv"
RankingLoss = Annotated[Callable[..., Tensor], Offers("similarity", "imposters")]


class SpeechImage:
    """Trains an image and a speech encoder so that pictures and their spoken captions find each other.

    Args:
        image_encoder: (b, 3, H0, W0) to (b, D, H, W).
        ranking: losses on the (B, B) similarity, each used in both directions and added up.
        optimization: optimiser and schedule of both encoders' trainable parameters.
        speech_encoder: (b, 40, T0), frames to :class:`models.speech_maps.SpeechMaps`.
        text_encoder: instead of it, reads the captions as words: (b, L), words to SpeechMaps.
        similarity: how maps are compared.
        same_picture: whether another caption of the same picture in a batch counts as an impostor (as in the published
            systems, whose pictures have one caption each) or is left out. The same are those whose files have the same
            bytes, or that were drawn from the same latent. Evaluation always takes them for one.
        data: given by main.
        device: given by main.
        length: given by main.
        folder: given by main; the run folder, where rows that cannot be used are listed as they are found.

    Where the pictures come from is in :meth:`check_data`, :meth:`pictures`, :meth:`picture_u8` and :meth:`image_ids`,
    what is learned from a batch in :meth:`loss_parts`: a task with other pictures or losses replaces those and keeps
    the rest.

    Raises:
        UserError: not exactly one of the caption encoders is given, the encoders' embedding sizes differ, the data come
            without pictures, or a batch has no impostors.
    """

    metric = "recall@10"
    metrics = tuple(f"{name}{k}" for name in ("recall@", "A_r", "I_r") for k in RECALLS)
    module_names = ("image", "speech")
    shown_metrics = MappingProxyType(
        {
            **{f"recall@{k}": f"recall@{k}" for k in RECALLS},
            "median_rank_I": "median rank speech→image",
            "median_rank_A": "median rank image→speech",
        }
    )

    def __init__(
        self,
        image_encoder: nn.Module,
        ranking: Annotated[list[RankingLoss], Field(min_length=1)],
        optimization: Optimization,
        data: SpeechImageData,
        device: torch.device,
        length: Length,
        speech_encoder: nn.Module | None = None,
        text_encoder: Annotated[Callable[..., nn.Module], Offers("vocab_size")] | None = None,
        similarity: Similarity = Similarity(),  # noqa: B008  never changed
        same_picture: Literal["impostor", "left_out"] = "impostor",
        folder: RunFolder | None = None,
    ) -> None:
        self.data, self.device = data, device
        if folder is not None:
            data.keep_skipped(folder.path / SKIPPED)
            data.train_loader.note_small_set()
        self.check_data()
        self.similarity, self.ranking, self.same_picture = similarity, ranking, same_picture
        self._noted: set[str] = set()  # splits of which it was said that images have several captions
        loader = data.train_loader
        self.batch_size, self.steps_per_epoch = loader.samples_per_step, loader.steps_per_epoch
        self.image_encoder = image_encoder.to(device)
        training = data.train_loader.dataset
        lengths = (data.target_length, data.evaluation_target_length)
        self.captions = Captions(speech_encoder, text_encoder, training, *lengths, device)
        found, expected = self.captions.encoder.embedding_dim, image_encoder.embedding_dim
        if found != expected:
            raise UserError(
                f"task: the image encoder's maps have {expected} channels, the caption encoder's {found}; set both "
                "embedding_dim to the same number"
            )
        self.modules: dict[str, nn.Module] = {"image": self.image_encoder, "speech": self.captions.encoder}
        optimizer, schedule = optimization.start(self.modules.values(), self.steps_per_epoch, length)
        self.optimizers = {"encoders": optimizer}
        self.schedulers: dict[str, LRScheduler] = {} if schedule is None else {"encoders": schedule}

    @staticmethod
    def faults(image_encoder: Node, speech_encoder: Node | None, text_encoder: Node | None) -> Iterator[Fault]:
        """Refuse two caption encoders or none, and embeddings of two sizes.

        Args:
            image_encoder: its node.
            speech_encoder: its node, or None.
            text_encoder: its node, or None.

        Returns:
            A fault for each thing that cannot be.
        """
        yield from unlike_encoders(image_encoder, speech_encoder, text_encoder)

    @staticmethod
    def given_faults(
        data: Node, optimization: Node | None = None, trainer: Node | None = None, launch: Node | None = None
    ) -> Iterator[Fault]:
        """Refuse batches without impostors, data without pictures, and a training that cannot be as it is planned.

        Args:
            data: its node.
            optimization: its node.
            trainer: its node.
            launch: its node.

        Returns:
            A fault for each thing that cannot be.
        """
        yield from few_pairs(data)
        yield from no_pictures(data)
        yield from plan_faults(SpeechImage.module_names, SpeechImage.metrics, data, trainer, launch, optimization)

    holds_published = staticmethod(holds_encoders)
    read_published = staticmethod(published_weights)
    trained_nodes = staticmethod(encoder_nodes)

    # -- where the pictures come from ----------------------------------------------------------------------------

    def check_data(self) -> None:
        """Look whether the data can serve this task.

        Raises:
            UserError: a batch is smaller than 2 pairs, or a dataset has no pictures.
        """
        for key, message in few_pairs({"batch_size": self.data.batch_size}):
            raise UserError(f"{key}: {message}")
        for loader in (self.data.train_loader, *self.data.loaders.values()):
            if loader.dataset.image is None:
                raise UserError(
                    "data: a dataset has image: null, but this task looks at pictures; give size and resize"
                )

    def pictures(self, batch: dict[str, Any], dataset: SpokenCaptions) -> Tensor:  # noqa: ARG002  for other tasks
        """Return a batch's pictures on the device, (b, 3, H0, W0) normalised.

        Args:
            batch: as the loader gives it.
            dataset: what its rows are of.
        """
        return batch["image"].to(self.device, non_blocking=True)

    def picture_u8(self, dataset: SpokenCaptions, row: int) -> np.ndarray:
        """Return the picture of one row as people see it, (H0, W0, 3) uint8.

        Args:
            dataset: what the row is of.
            row: of the dataset.
        """
        return dataset.image_u8(row)

    def image_ids(self, dataset: SpokenCaptions, rows: Sequence[int]) -> Tensor:
        """Return numbers of some rows' pictures (n,) int64, equal for rows that show the same one.

        Args:
            dataset: what the rows are of.
            rows: of the dataset.
        """
        return torch.from_numpy(dataset.image_ids(rows))

    # -- training ------------------------------------------------------------------------------------------------

    def begin_epoch(self, epoch: int) -> None:
        """Nothing changes between epochs."""

    def batches(self, epoch: int, start: int) -> Iterator[dict[str, Any]]:
        """Return this rank's training batches from position ``start`` on."""
        return self.data.train_loader.batches(epoch, start)

    def train_step(self, batch: dict[str, Any], step: Step) -> dict[str, Tensor | float]:
        """Rank the true pairs of the global batch above the false ones, in both directions."""
        image, speech = self.encode(batch, self.data.train_loader.dataset)
        values = self.loss_parts(image, speech, batch, step) | dict(speech.losses)
        total = sum(values.values())
        step.update("encoders", total, parts=values)
        return {"loss": total, **values, **speech.notes}

    def loss_parts(self, image: Tensor, speech: SpeechMaps, batch: dict[str, Any], step: Step) -> dict[str, Tensor]:
        """Return the parts of the loss by name; their sum is minimised.

        Args:
            image: maps of this rank's pictures (b, D, H, W).
            speech: maps of their captions (b, D, T).
            batch: what they were made of.
            step: draws random numbers that are the same on every rank.
        """
        scores = self.without_same_picture(self.similarity.of_all_ranks(image, speech), batch)
        values: dict[str, Tensor] = {}
        for direction, matrix in (("image_to_speech", scores), ("speech_to_image", scores.T)):
            imposters = draw_imposters(len(matrix), step.generator).to(matrix.device)
            for loss in self.ranking:
                values[f"{loss.target.__name__}_{direction}"] = loss(similarity=matrix, imposters=imposters)
        return values

    def without_same_picture(self, scores: Tensor, batch: dict[str, Any]) -> Tensor:
        """Lower the scores of pairs that share a picture, where ``same_picture`` is ``left_out``.

        Args:
            scores: (B, B) of the global batch.
            batch: this rank's part of it.

        Returns:
            (B, B).
        """
        if self.same_picture == "impostor":
            return scores
        ids = self.image_ids(self.data.train_loader.dataset, batch["index"].tolist())
        return leave_out_same_picture(scores, distributed.gather_rows(ids.to(self.device)))

    def encode(self, batch: dict[str, Any], dataset: SpokenCaptions) -> tuple[Tensor, SpeechMaps]:
        """Encode the pairs of a batch.

        Args:
            batch: as :meth:`datasets.loading.loader.Loader.batches` yields them.
            dataset: what it was drawn from.

        Returns:
            Image maps (b, D, H, W) and speech maps (b, D, T), on the device.
        """
        return self.image_encoder(self.pictures(batch, dataset)), self.captions.encode(batch, dataset)

    def learns_from(self) -> dict[str, str]:
        """Return number and digest of the rows of each split."""
        return self.data.digests()

    # -- evaluation ----------------------------------------------------------------------------------------------

    def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Return the retrieval metrics among the validation pairs, or the first ``limit`` batches of them."""
        encoded = encode_all(self.data.loaders["validation"], self.encode, limit)
        metrics = None
        if distributed.is_main():
            metrics = recall_metrics(self.rank("validation", encoded).retrieval)
        return distributed.gather_objects(metrics)[0]

    def rank(self, split: str, encoded: Encoded) -> Ranked:
        """Rank every caption for every picture and the other way round, each picture once.

        Args:
            split: name of a split.
            encoded: its pictures and captions.

        Returns:
            The ranks and scores.
        """
        ids = self.image_ids(self.data.loaders[split].dataset, encoded.index.tolist())
        found = rank_split(encoded, ids, self.similarity, self.device)
        if len(found.images) < len(found.image_of) and split not in self._noted:
            self._noted.add(split)
            log.info("%s: all captions of the same image are right answers to it", found.what(split))
            if self.same_picture == "impostor":
                log.warning(
                    "in training, other captions of the same image count as impostors if it is so there too; "
                    "task.same_picture=left_out leaves them out"
                )
        return found

    def examples(self) -> list[Example]:
        """Return the first three validation pairs that can be read.

        Raises:
            SampleError: one cannot, and ``data.on_error`` is "error".
        """
        loader = self.data.loaders["validation"]
        dataset, found = loader.dataset, []
        for row in range(len(dataset)):
            if len(found) == EXAMPLES:
                break
            record = dataset.record(row)
            try:
                found.append(Example(self.picture_u8(dataset, row), dataset.waveform(row), record.text or ""))
            except UserError as error:
                loader.note(dataset.unusable(row, error))
        return found

    def report(self, folder: RunFolder, context: Context) -> dict[str, float]:
        """Evaluate the held-out split and write ``report.html``, ``queries.csv`` and ``skipped.csv``."""
        split = self.data.report_split
        loader = self.data.loaders[split]
        encoded = encode_all(loader, self.encode)
        sections = self.report_sections(folder)
        skipped = [row for rows in distributed.gather_objects(self.data.skipped) for row in rows]
        if not distributed.is_main():
            return {}
        ranked = self.rank(split, encoded)
        log.info("evaluating on %s", ranked.what(split))
        left_out = self.data.left_out(merge_skipped(folder.path / SKIPPED, skipped), len(encoded.index))
        return write_retrieval_report(
            folder, context, loader.dataset, encoded, ranked, self.similarity, split, self.picture_u8, sections,
            left_out,
        )  # fmt: skip

    def report_sections(self, folder: RunFolder) -> list[tuple[str, str]]:  # noqa: ARG002  for other tasks
        """Return further sections of the report, heading and HTML each (called on every rank).

        Args:
            folder: of the run.
        """
        return []
