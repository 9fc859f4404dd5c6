"""Learn words from images and speech: two encoders, a similarity of their maps, triplet losses both ways.

The job that "Jointly Discovering Visual Objects and Spoken Words" (arXiv:1804.01452) defined and that both
"Learning Words by Drawing Images" (CVPR 2019) and ResDAVEnet-VQ (ICLR 2020) build on. Retrieval among held-out pairs
measures it. ``python run.py -f quickstart.yaml`` runs it on the embedded world, ``tuxpaint/train.yaml`` on real speech.

Shape letters: B global batch, b batch of this rank, D embedding size, T frames, H, W image map.
"""

import logging
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from common import distributed
from common.errors import UserError
from config import Deferred, Problem, resolve_type
from datasets.loading.skipped import merge_skipped
from datasets.spoken_captions.dataset import SpokenCaptions
from datasets.spoken_captions.splits import SpeechImageData
from engine.context import Context
from engine.optimization import Length, Optimization
from engine.run_folder import RunFolder
from engine.task import Example, Step
from evaluation.retrieval.different_images import Ranked
from evaluation.retrieval.recall import RECALLS, recall_metrics
from models.similarity import Similarity
from models.speech_maps import SpeechMaps
from published import holds_encoders
from tasks.checks import Node, plan_errors
from tasks.speech_image.caption_encoder import Captions
from tasks.speech_image.encode_split import Encoded, encode_all
from tasks.speech_image.images import FileImages, ImageSource
from tasks.speech_image.objective import Objective, Parts
from tasks.speech_image.rank_split import rank_split
from tasks.speech_image.report import write_retrieval_report
from tasks.speech_image.trained import encoder_nodes, published_weights

log = logging.getLogger(__name__)
EXAMPLES = 3  # pairs in TensorBoard
FEWEST_PAIRS = 2  # in a batch: a pair and an impostor
SKIPPED = "skipped.csv"


def _few_pairs(size: int) -> Iterator[Problem]:
    """Yield the error of batches that hold no impostors."""
    if size < FEWEST_PAIRS:
        yield "data.batch_size", f"found {size}, expected at least {FEWEST_PAIRS}: pairs are ranked among each other"


def _check_channels(image_encoder: nn.Module, caption_encoder: nn.Module) -> None:
    found, expected = caption_encoder.embedding_dim, image_encoder.embedding_dim
    if found != expected:
        raise UserError(
            f"task: the image encoder's maps have {expected} channels, the caption encoder's {found}; set both "
            "embedding_dim to the same number"
        )


def _channels(node: Node) -> int | None:
    """Return the channels of an encoder's maps where its node says them."""
    widths = node.get("layer_widths")
    return widths[-1] if widths else node.get("embedding_dim")


class SpeechImage:
    """Trains an image and a caption encoder so that images and their spoken captions find each other.

    Args:
        image_encoder: (b, 3, H0, W0) to (b, D, H, W).
        objective: losses of a batch: :class:`tasks.speech_image.Ranking` or one of
            :mod:`tasks.words_by_drawing`.
        optimization: optimiser and schedule of both encoders' trainable parameters.
        speech_encoder: (b, 40, T0), frames to :class:`models.speech_maps.SpeechMaps`.
        text_encoder: instead of it, reads the captions as words: (b, L), words to SpeechMaps.
        images: source of the images, such as :class:`tasks.words_by_drawing.GeneratedImages`; None: the data
            read them from files.
        similarity: of image maps and speech maps.
        same_image: whether another caption of the same image in a batch counts as an impostor (as in the published
            systems, whose images have one caption each) or is left out. The same are those whose files have the same
            bytes, or that were generated from the same latent. Evaluation always takes them for one.
        data: given by main.
        device: given by main.
        length: given by main.
        folder: given by main; the run folder, where rows that cannot be used are listed as they are found.
        dry_run: given by main; the objective prepares at a small size.

    Raises:
        UserError: not exactly one of the caption encoders is given, the encoders' embedding sizes differ, the data come
            without images, a batch has no impostors, or parts do not fit each other.
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
        objective: Annotated[Callable[..., Objective], Deferred("parts")],
        optimization: Optimization,
        data: SpeechImageData,
        device: torch.device,
        length: Length,
        speech_encoder: nn.Module | None = None,
        text_encoder: Annotated[Callable[..., nn.Module], Deferred("vocab_size")] | None = None,
        images: Annotated[Callable[..., ImageSource], Deferred("data", "device")] | None = None,
        similarity: Similarity = Similarity(),  # noqa: B008  never changed
        same_image: Literal["impostor", "left_out"] = "impostor",
        folder: RunFolder | None = None,
        dry_run: bool = False,
    ) -> None:
        self.data, self.device = data, device
        self.images: ImageSource = FileImages(device) if images is None else images(data=data, device=device)
        if folder is not None:
            data.keep_skipped(folder.path / SKIPPED)
            data.train_loader.note_small_set()
        for key, message in _few_pairs(data.batch_size):
            raise UserError(f"{key}: {message}")
        self.similarity, self.same_image = similarity, same_image
        self._noted: set[str] = set()  # splits of which it was said that images have several captions
        loader = data.train_loader
        self.batch_size, self.steps_per_epoch = loader.samples_per_step, loader.steps_per_epoch
        self.image_encoder = image_encoder.to(device)
        training = data.train_loader.dataset
        lengths = (data.target_length, data.evaluation_target_length)
        self.captions = Captions(speech_encoder, text_encoder, training, *lengths, device)
        _check_channels(image_encoder, self.captions.encoder)
        self.modules: dict[str, nn.Module] = {"image": self.image_encoder, "speech": self.captions.encoder}
        self.objective = objective(
            parts=Parts(
                data=data,
                images=self.images,
                image_encoder=self.image_encoder,
                caption_encoder=self.captions.encoder,
                spoken=self.captions.spoken,
                similarity=similarity,
                encode=self.encode,
                leave_out=same_image == "left_out",
                device=device,
                folder=folder,
                dry_run=dry_run,
            )
        )
        self.images.check(data)
        self.companion = self.objective.companion
        if self.companion is not None:
            self.modules |= self.companion.modules
        optimizer, schedule = optimization.start(
            (self.image_encoder, self.captions.encoder), self.steps_per_epoch, length
        )
        self.optimizers = {"encoders": optimizer}
        self.schedulers: dict[str, LRScheduler] = {} if schedule is None else {"encoders": schedule}

    @staticmethod
    def validate(image_encoder: Node, speech_encoder: Node | None, text_encoder: Node | None) -> Iterator[Problem]:
        """Yield the error of two caption encoders or none, or of embeddings of two sizes, as far as the nodes say."""
        if (speech_encoder is None) == (text_encoder is None):
            found = "none" if speech_encoder is None else "both"
            yield "speech_encoder", f"found {found} of speech_encoder and text_encoder, expected exactly one of them"
            return
        name, encoder = ("text_encoder", text_encoder) if speech_encoder is None else ("speech_encoder", speech_encoder)
        channels, expected = _channels(encoder), _channels(image_encoder)
        if None not in (channels, expected) and channels != expected:
            yield name, f"found maps of {channels} channels, expected {expected}, as image_encoder makes"

    @staticmethod
    def validate_with_siblings(
        data: Node,
        objective: Node | None = None,
        images: Node | None = None,
        optimization: Node | None = None,
        trainer: Node | None = None,
        launch: Node | None = None,
    ) -> Iterator[Problem]:
        """Yield the errors of batches without impostors, of data without images, and of a plan that cannot be."""
        yield from _few_pairs(data.get("batch_size", FEWEST_PAIRS))
        for split in ("train", "validation", "test") if images is None else ():
            node = data.get(split) or {}
            if "image" in node and node["image"] is None:
                yield f"data.{split}.image", "found null, but this task looks at images; expected size and resize"
        own = getattr(resolve_type(objective["type"]), "module_names", ()) if objective else ()
        modules = (*SpeechImage.module_names, *own)
        yield from plan_errors(modules, SpeechImage.metrics, data, trainer, launch, optimization)

    holds_published = staticmethod(holds_encoders)
    read_published = staticmethod(published_weights)
    trained_nodes = staticmethod(encoder_nodes)

    # -- training ------------------------------------------------------------------------------------------------

    def begin_epoch(self, epoch: int) -> None:
        """Let the objective do what is due at the start of an epoch."""
        if self.companion is not None:
            self.companion.begin_epoch(epoch)

    def batches(self, epoch: int, start: int) -> Iterator[dict[str, Any]]:
        """Return this rank's training batches from position ``start`` on."""
        return self.data.train_loader.batches(epoch, start)

    def train_step(self, batch: dict[str, Any], step: Step) -> dict[str, Tensor | float]:
        """Encode a batch, and minimise the sum of the objective's losses and of the caption encoder's own."""
        dataset = self.data.train_loader.dataset
        batch = self.images.prepared(batch)
        image, speech = self.encode(batch, dataset)
        losses = self.objective(image, speech, batch, step)
        values = losses.parts | dict(speech.losses)
        total = sum(values.values())
        step.update("encoders", total, parts=values)
        if step.wants_images:
            shown = self.images.shown(batch) | ({} if self.companion is None else self.companion.shown(batch))
            for name, pixels in shown.items():
                step.show(name, pixels)
        return {"loss": total, **values, **speech.notes, **losses.notes}

    def encode(self, batch: dict[str, Any], dataset: SpokenCaptions) -> tuple[Tensor, SpeechMaps]:
        """Encode the pairs of a batch of a dataset: image maps (b, D, H, W) and speech maps (b, D, T)."""
        return self.image_encoder(self.images.images(batch)), self.captions.encode(batch, dataset)

    def learns_from(self) -> dict[str, str]:
        """Return number and digest of the rows of each split, and what generates and edits the images."""
        return self.data.digests() | self.images.digests()

    # -- evaluation ----------------------------------------------------------------------------------------------

    def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Return the retrieval metrics among the validation pairs, or the first ``limit`` batches of them."""
        encoded = encode_all(self.data.loaders["validation"], self.encode, limit)
        metrics = None
        if distributed.is_main():
            metrics = recall_metrics(self.rank("validation", encoded).retrieval)
        return distributed.gather_objects(metrics)[0]

    def rank(self, split: str, encoded: Encoded) -> Ranked:
        """Rank every caption of a split for every image and the other way round, each image once."""
        ids = self.images.image_ids(self.data.loaders[split].dataset, encoded.index.tolist())
        found = rank_split(encoded, ids, self.similarity, self.device)
        if len(found.images) < len(found.image_of) and split not in self._noted:
            self._noted.add(split)
            log.info("%s: all captions of the same image are right answers to it", found.what(split))
            if self.same_image == "impostor":
                log.warning(
                    "in training, other captions of the same image count as impostors if it is so there too; "
                    "task.same_image=left_out leaves them out"
                )
        return found

    def look_at_held_out(self) -> None:
        """Read what evaluation and report will read, as far as that takes seconds; SampleError where it is broken."""
        self.data.look_at_held_out()

    def examples(self) -> list[Example]:
        """Return the first three validation pairs that can be read; others are noted, as ``on_error`` says."""
        loader = self.data.loaders["validation"]
        dataset, found = loader.dataset, []
        for row in range(len(dataset)):
            if len(found) == EXAMPLES:
                break
            record = dataset.record(row)
            try:
                found.append(Example(self.images.image_u8(dataset, row), dataset.waveform(row), record.text or ""))
            except UserError as error:
                loader.note(dataset.unusable(row, error))
        return found

    def report(self, folder: RunFolder, context: Context) -> dict[str, float]:
        """Evaluate the held-out split and write ``report.html``, ``queries.csv`` and ``skipped.csv``."""
        split = self.data.report_split
        loader = self.data.loaders[split]
        encoded = encode_all(loader, self.encode)
        sections = [] if self.companion is None else self.companion.report_sections(folder)
        skipped = [row for rows in distributed.gather_objects(self.data.skipped) for row in rows]
        if not distributed.is_main():
            return {}
        ranked = self.rank(split, encoded)
        log.info("evaluating on %s", ranked.what(split))
        left_out = self.data.left_out(merge_skipped(folder.path / SKIPPED, skipped), len(encoded.index))
        changes = getattr(self.objective, "changes", lambda _: {})(self.steps_per_epoch)
        return write_retrieval_report(
            folder, context, loader.dataset, encoded, ranked, self.similarity, split, self.images.image_u8, sections,
            left_out, changes,
        )  # fmt: skip
