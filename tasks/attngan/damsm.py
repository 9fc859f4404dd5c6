"""Learn which images and captions match, by their words and as a whole: AttnGAN's matching model (DAMSM).

"AttnGAN", arXiv:1711.10485 section 3.2 (taoxugit/AttnGAN ``pretrain_DAMSM.py``). Its text encoder conditions
a generator, and both encoders measure how well a generated image fits. ``python run.py -f attngan/damsm/world.yaml``
trains one on the embedded world in minutes.

Shape letters: b pairs of this rank's batch, N of a split, L words, D embedding size, H, W regions.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

import losses
from common import distributed
from common.errors import UserError
from config import Deferred, Factory, Problem
from config.limits import Weight
from datasets.loading.skipped import merge_skipped
from datasets.text_image.splits import CaptionedData
from engine.context import Context
from engine.logs import progress
from engine.optimization import Length, Optimization
from engine.run_folder import RunFolder
from engine.task import Example, Step
from evaluation.retrieval.different_images import Ranked, different_images
from evaluation.retrieval.recall import RECALLS, recall_metrics, retrieve
from models.damsm import EncodedImages, EncodedText
from models.word_region_similarity import cosine
from published.attngan import load_damsm
from tasks.attngan.examples import first_examples
from tasks.attngan.matching import Matching
from tasks.attngan.matching_report import attention_sheet_of, write_matching_report
from tasks.attngan.trained import IMAGE, TEXT, Words, describe, export_weights, write_description
from tasks.checks import Node, plan_errors

log = logging.getLogger(__name__)
FEWEST_PAIRS = 2  # in a batch: a pair and an impostor
SKIPPED = "skipped.csv"
TextEncoder = Annotated[Callable[..., nn.Module], Deferred("vocab_size")]
ImageEncoder = Annotated[Callable[..., nn.Module], Deferred("embedding_dim")]


class EncodedPairs(NamedTuple):
    """A split as sentences and whole images, on the CPU, in the order of the dataset's rows."""

    sentences: Tensor  # (N, D) of each image's first caption
    images: Tensor  # (N, D)
    index: Tensor  # (N,) rows of the dataset
    losses: dict[str, float]  # mean over the pairs, each among those of its batch


class Damsm:
    """Trains a text and an image encoder so that captions and images find each other, by words and as a whole.

    Args:
        text_encoder: captions to words and sentences, such as :class:`models.damsm.CaptionEncoder`.
        image_encoder: images to regions and whole images, such as :class:`models.damsm.ImageRegionEncoder`.
        optimization: one optimiser, and its schedule, of both encoders' trainable parameters for the whole training;
            the public code begins a new one each epoch.
        matching: comparison of captions and images.
        group_lasso: weight of the penalty that silences words, for a text encoder with a reducing layer over words.
        data: given by main.
        device: given by main.
        length: given by main.
        folder: given by main; the run folder.

    Raises:
        UserError: a batch has no impostors, or there is no reducing layer to penalise.
    """

    metric = "recall@10"
    metrics = tuple(f"{name}{k}" for name in ("recall@", "A_r", "I_r") for k in RECALLS)
    module_names = (TEXT, IMAGE)
    shown_metrics = MappingProxyType(
        {
            "loss": "loss",
            "words": "words",
            "sentences": "sentences",
            **{f"recall@{k}": f"recall@{k}" for k in RECALLS},
        }
    )

    def __init__(
        self,
        text_encoder: TextEncoder,
        image_encoder: ImageEncoder,
        optimization: Optimization,
        data: CaptionedData,
        device: torch.device,
        length: Length,
        matching: Matching = Matching(),  # noqa: B008  never changed
        group_lasso: Weight = 0.0,
        folder: RunFolder | None = None,
    ) -> None:
        self.data, self.device, self.folder = data, device, folder
        self.matching, self.group_lasso = matching, group_lasso
        if folder is not None:
            data.keep_skipped(folder.path / SKIPPED)
            data.train_loader.note_small_set()
        for key, message in _few_pairs(data.batch_size):
            raise UserError(f"{key}: {message}")
        loader = data.train_loader
        self.batch_size, self.steps_per_epoch = loader.samples_per_step, loader.steps_per_epoch
        text = text_encoder(vocab_size=len(data.vocabulary))
        if hasattr(text, "fit"):
            dataset = loader.dataset
            captions = (caption for row in range(len(dataset)) for caption in dataset.captions_of(row))
            text.fit(data.vocabulary.words, captions)
        if group_lasso and not hasattr(text, "reducing_weight"):
            raise UserError(
                f"task.group_lasso is {group_lasso}, but {type(text).__name__} has no reducing layer over words; set "
                "it to 0, or take models.tfidf_captions.TfidfCaptionEncoder"
            )
        self.text, self.image = text.to(device), image_encoder(embedding_dim=text.embedding_dim).to(device)
        self.modules: dict[str, nn.Module] = {TEXT: self.text, IMAGE: self.image}
        words = Words(data.vocabulary, loader.dataset.max_words)
        self.description = describe(words, _nodes(text_encoder, image_encoder, self.text))
        optimizer, schedule = optimization.start((self.text, self.image), self.steps_per_epoch, length)
        self.optimizers = {"encoders": optimizer}
        self.schedulers: dict[str, LRScheduler] = {} if schedule is None else {"encoders": schedule}

    @staticmethod
    def validate_with_siblings(
        data: Node, optimization: Node | None = None, trainer: Node | None = None, launch: Node | None = None
    ) -> Iterator[Problem]:
        """Yield the errors of batches without impostors, and of a plan that cannot be."""
        yield from _few_pairs(data.get("batch_size", FEWEST_PAIRS))
        yield from plan_errors(Damsm.module_names, Damsm.metrics, data, trainer, launch, optimization)

    read_export = staticmethod(export_weights)

    @staticmethod
    def holds_published(folder: Path) -> bool:
        """Distinguish a folder of ``text_encoderN.pth`` and ``image_encoderN.pth`` from a run folder here."""
        return any(folder.glob("text_encoder*.pth"))

    @staticmethod
    def read_published(path: Path) -> dict[str, dict[str, Tensor]]:
        """Read ``text_encoderN.pth`` and ``image_encoderN.pth`` for ``init_from``: weights by module names."""
        encoders = load_damsm(path)
        return {TEXT: encoders.text.state_dict(), IMAGE: encoders.image.state_dict()}

    # -- training ------------------------------------------------------------------------------------------------

    def begin_epoch(self, epoch: int) -> None:  # noqa: ARG002
        """Write the description of the networks beside their checkpoints."""
        if self.folder is not None and distributed.is_main():
            write_description(self.folder.path, self.description)

    def batches(self, epoch: int, start: int) -> Iterator[dict[str, Any]]:
        """Return this rank's training batches from position ``start`` on."""
        return self.data.train_loader.batches(epoch, start)

    def train_step(self, batch: dict[str, Any], step: Step) -> dict[str, Tensor | float]:
        """Encode a batch and minimise the losses by words and by sentences."""
        text, image = self.encode(batch)
        values = self.matching(text, image, batch["class"].to(self.device))
        if self.group_lasso:
            values["group_lasso"] = self.group_lasso * losses.group_lasso(self.text.reducing_weight)
        total = sum(values.values())
        step.update("encoders", total, parts=values)
        if step.wants_images:
            dataset, maps = self.data.train_loader.dataset, self.matching.attention(text, image)[0]
            shown = batch[f"image_{dataset.resolutions[-1]}"][0]
            step.show("attention", attention_sheet_of(dataset, shown, batch["tokens"][0], maps))
        return {"loss": total, **values}

    def encode(self, batch: dict[str, Any]) -> tuple[EncodedText, EncodedImages]:
        """Encode the captions and the largest images of a batch."""
        largest = self.data.train_loader.dataset.resolutions[-1]
        text = self.text(batch["tokens"].to(self.device), batch["ntokens"].to(self.device))
        return text, self.image(batch[f"image_{largest}"].to(self.device, non_blocking=True))

    def learns_from(self) -> dict[str, str]:
        """Return number and digest of the rows of each split."""
        return self.data.digests()

    # -- evaluation ----------------------------------------------------------------------------------------------

    def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Return losses and retrieval among the validation pairs, or the first ``limit`` batches of them."""
        encoded = self.encode_split("validation", limit)
        metrics = None
        if distributed.is_main():
            metrics = recall_metrics(self.rank("validation", encoded).retrieval) | encoded.losses
        return distributed.gather_objects(metrics)[0]

    @torch.no_grad()
    def encode_split(self, split: str, limit: int | None = None) -> EncodedPairs:
        """Encode a split, each image with its first caption, or its first ``limit`` batches, on every rank.

        Losses are of each rank's part of a batch alone.
        """
        loader = self.data.loaders[split]
        rows, sums = [], defaultdict(float)
        for batch in progress(loader.batches(0), limit or loader.steps_per_epoch, "encoding"):
            text, image = self.encode(batch)
            parts = self.matching.alone(text, image, batch["class"].to(self.device))
            for name, value in (parts | {"loss": sum(parts.values())}).items():
                sums[name] += float(value) * len(batch["index"])
            rows.append((text.sentences.float().cpu(), image.images.float().cpu(), batch["index"].cpu()))
            if limit is not None and len(rows) >= limit:
                break
        shares = [share for share in distributed.gather_objects((rows, dict(sums))) if share[0]]
        if not shares:
            reason = next(iter(loader.skipped.values()), "see the warnings of the other processes")
            raise UserError(f"none of the {len(loader.dataset)} rows to evaluate on could be used, one is: {reason}")
        every = [row for share, _ in shares for row in share]
        sentences, images, index = (torch.cat(parts) for parts in zip(*every, strict=True))
        order = index.argsort()
        total = {name: sum(found[name] for _, found in shares) / len(index) for name in shares[0][1]}
        return EncodedPairs(sentences[order], images[order], index[order], total)

    def rank(self, split: str, encoded: EncodedPairs) -> Ranked:
        """Rank every caption of a split for every image and the other way round, by sentences and whole images.

        Copies of an image are one candidate, and the captions of all of them are right.
        """
        ids = torch.from_numpy(self.data.loaders[split].dataset.image_ids(encoded.index.tolist()))
        images, image_of = different_images(ids)
        labels = (torch.arange(len(images)), image_of) if len(images) < len(ids) else (None, None)
        found = retrieve(encoded.images[images], encoded.sentences, None, _cosines, 512, *labels)
        return Ranked(found, images, image_of)

    def look_at_held_out(self) -> None:
        """Read what evaluation and report will read, as far as that takes seconds; SampleError where it is broken."""
        self.data.look_at_held_out()

    def examples(self) -> list[Example]:
        """Return the first three validation pairs that can be read."""
        return first_examples(self.data.loaders["validation"])

    def report(self, folder: RunFolder, context: Context) -> dict[str, float]:
        """Evaluate the held-out split; write ``report.html``, ``queries.csv`` and, of silenced words, ``words.csv``."""
        split = self.data.report_split
        encoded = self.encode_split(split)
        skipped = [row for rows in distributed.gather_objects(self.data.skipped) for row in rows]
        if not distributed.is_main():
            return {}
        left_out = self.data.left_out(merge_skipped(folder.path / SKIPPED, skipped), len(encoded.index))
        dataset, ranked = self.data.loaders[split].dataset, self.rank(split, encoded)
        return write_matching_report(folder, context, self, dataset, split, encoded, ranked, left_out)


def _few_pairs(size: int) -> Iterator[Problem]:
    """Yield the error of batches that hold no impostors."""
    if size < FEWEST_PAIRS:
        yield "data.batch_size", f"found {size}, expected at least {FEWEST_PAIRS}: pairs are ranked among each other"


def _nodes(text_encoder: Factory, image_encoder: Factory, text: nn.Module) -> dict[str, dict[str, Any]]:
    """Return the nodes of both encoders with the sizes that the data decide; weights are in the checkpoint."""
    image = image_encoder.node(embedding_dim=text.embedding_dim)
    if "pretrained" in image:
        image["pretrained"] = None
    return {TEXT: text_encoder.node(vocab_size=text.vocab_size), IMAGE: image}


def _cosines(images: Tensor, sentences: Tensor, _: None) -> Tensor:
    return cosine(images[:, None], sentences[None])
