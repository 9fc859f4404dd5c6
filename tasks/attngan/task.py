"""Generate images from captions: a generator against one discriminator for each of its images.

"AttnGAN: Fine-Grained Text to Image Generation with Attentional Generative Adversarial Networks", arXiv:1711.10485
(taoxugit/AttnGAN ``trainer.py``), its DCGAN variant, and rivals with other losses and networks in the same task. A
matching model (:mod:`tasks.attngan.damsm`) reads the captions and judges how well the images fit.
``python run.py -f attngan/world_attngan.yaml`` trains one on the embedded world.

Shape letters: B pairs of the global batch, b of this rank, L words, D embedding size, K size of a condition, Z of the
noise, R height and width of an image.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

import losses
from common import distributed
from common.errors import UserError
from common.files import write_whole
from config import Deferred, Problem
from config.limits import BatchSize, Count, Seed, Weight
from datasets.loading.skipped import merge_skipped
from datasets.media_files import encode_image
from datasets.text_image.splits import CaptionedData
from engine.context import Context
from engine.logs import progress
from engine.run_folder import RunFolder
from engine.task import Example, Step
from evaluation.frechet import FeatureNetwork, features_of, frechet_distance, to_uint8
from gan.attngan.generator import GeneratedBatch
from gan.attngan.objectives import Objective, Seen
from gan.augment import DRAWS, DiffAugment
from models.damsm import EncodedText
from published import load_published
from tasks.attngan.examples import first_examples
from tasks.attngan.generated_report import captioned_grid, write_generated_report
from tasks.attngan.matching import Matching
from tasks.attngan.matching_report import attention_sheet_of
from tasks.attngan.trained import (
    GENERATOR,
    IMAGE,
    TEXT,
    TextImageSource,
    TrainedError,
    describe,
    export_weights,
    load,
    write_description,
)
from tasks.checks import Node, plan_errors

log = logging.getLogger(__name__)
SHOWN = 8  # captions in an image of samples
SKIPPED = "skipped.csv"
Network = Annotated[Callable[..., nn.Module], Deferred("embedding_dim")]
Optimise = Annotated[Callable[..., Optimizer], Deferred("params")]


@dataclass
class Measure:
    """Comparison of generated with real images of the same captions.

    Attributes:
        features: network whose features of generated and real images are compared.
        captions: captions of a split, one image each, that are drawn; all there are when None.
        seed: of the noise, the same at every evaluation.
        batch_size: images generated at a time.
    """

    features: FeatureNetwork
    captions: Count | None = None
    seed: Seed = 0
    batch_size: BatchSize = 50


class Attngan:
    """Trains a generator of images from captions.

    Args:
        generator: captions and noise to images of rising resolution.
        discriminators: one for each image of the generator, that of the smallest images first.
        damsm: the trained matching model; both encoders stay as they are.
        objective: losses of the generator and of each discriminator.
        generator_optimizer: of the generator's parameters.
        discriminator_optimizer: of each discriminator's, one for each.
        measure: measurement of the generator.
        matching: comparison of captions and the largest generated images, whose losses the generator minimises too; 5
            is the published weight (lambda) of both for birds, 50 for COCO. 0 and 0 leave it out.
        divergence: weight of the Kullback-Leibler divergence of the conditions.
        pairing: wrong sentences of the discriminators' losses: of ``another_class``, or as ``published``.
        augment: changes to all images that the discriminators see; None for none, as published.
        data: given by main.
        device: given by main.
        folder: given by main; the run folder.

    Raises:
        UserError: networks, matching model and data do not fit one another, or a batch holds no wrong sentence.
    """

    metric = "negative_frechet_distance"
    metrics = (metric,)
    settles = (GENERATOR,)
    shown_metrics = ("frechet_distance",)

    def __init__(
        self,
        generator: Network,
        discriminators: Annotated[list[Network], Field(min_length=1)],
        damsm: TextImageSource,
        objective: Objective,
        generator_optimizer: Optimise,
        discriminator_optimizer: Optimise,
        measure: Measure,
        data: CaptionedData,
        device: torch.device,
        matching: Matching = Matching(words=5.0, sentences=5.0),  # noqa: B008  never changed
        divergence: Weight = 1.0,
        pairing: Literal["another_class", "published"] = "another_class",
        augment: DiffAugment | None = None,
        folder: RunFolder | None = None,
    ) -> None:
        self.data, self.device, self.folder, self.measure = data, device, folder, measure
        self.objective, self.matching, self.divergence = objective, matching, divergence
        self.pairing, self.augment = pairing, augment
        if folder is not None:
            data.keep_skipped(folder.path / SKIPPED)
            data.train_loader.note_small_set()
        loader = data.train_loader
        self.batch_size, self.steps_per_epoch = loader.samples_per_step, loader.steps_per_epoch
        for key, message in _few_pairs(data.batch_size):
            raise UserError(f"{key}: {message}")
        self.matched = matching.words > 0 or matching.sentences > 0
        trained = load(damsm, (TEXT, IMAGE) if self.matched else (TEXT,))
        self._check_words(trained.words.vocabulary.words, trained.words.max_words)
        self.damsm_digest = trained.digest
        self.text = trained.networks[TEXT].to(device).requires_grad_(False)
        self.judge = trained.networks[IMAGE].to(device).requires_grad_(False) if self.matched else None
        size, layout = self.text.embedding_dim, torch.channels_last
        self.generator = generator(embedding_dim=size).to(device, memory_format=layout)
        self.discriminators = [
            network(embedding_dim=size).to(device, memory_format=layout) for network in discriminators
        ]
        self._check_resolutions()
        named = {f"discriminator_{network.resolution}": network for network in self.discriminators}
        self.modules: dict[str, nn.Module] = {GENERATOR: self.generator, **named, TEXT: self.text}
        self.optimizers = {GENERATOR: generator_optimizer(params=list(self.generator.parameters()))}
        for name, network in named.items():
            self.optimizers[name] = discriminator_optimizer(params=list(network.parameters()))
        self.schedulers: dict[str, Any] = {}
        nodes = {TEXT: trained.description["networks"][TEXT], GENERATOR: generator.node(embedding_dim=size)}
        nodes |= {name: made.node(embedding_dim=size) for name, made in zip(named, discriminators, strict=True)}
        self.description = describe(trained.words, nodes)
        self._real: dict[str, np.ndarray] = {}

    @staticmethod
    def validate_with_siblings(
        data: Node,
        discriminators: list[Node],
        trainer: Node | None = None,
        launch: Node | None = None,
    ) -> Iterator[Problem]:
        """Yield the errors of batches without a wrong sentence, and of a training that cannot be as it is planned."""
        yield from _few_pairs(data.get("batch_size", 2))
        names = [f"discriminator_{node.get('resolution')}" for node in discriminators if isinstance(node, dict)]
        yield from plan_errors((GENERATOR, TEXT, *names), Attngan.metrics, data, trainer, launch)

    def _check_words(self, known: list[str], max_words: int) -> None:
        """Refuse data whose words have other numbers than those of the matching model."""
        words = self.data.vocabulary.words
        if words != known:
            differing = next((pair for pair in zip(words, known, strict=False) if pair[0] != pair[1]), None)
            example = f"; the first that differ are {differing[0]!r} and {differing[1]!r}" if differing else ""
            raise TrainedError(
                f"task.damsm reads {len(known)} words with the padding, the data have {len(words)}{example}: expected "
                "a matching model that was trained on these data"
            )
        dataset = self.data.train_loader.dataset
        if dataset.max_words != max_words:
            log.warning("data.train reads %d words of a caption, task.damsm %d", dataset.max_words, max_words)

    def _check_resolutions(self) -> None:
        """Refuse discriminators and data that do not have the generator's resolutions."""
        made, seen = self.generator.resolutions, [network.resolution for network in self.discriminators]
        there = self.data.train_loader.dataset.resolutions
        if made != seen:
            raise UserError(
                f"task.discriminators are for images of {seen} pixels, the generator makes {made}: give one for each"
            )
        if not set(made) <= set(there):
            raise UserError(f"data.train has images of {there} pixels, the generator makes {made}: give all of these")

    # -- training ------------------------------------------------------------------------------------------------

    def begin_epoch(self, epoch: int) -> None:  # noqa: ARG002
        """Write the description of the networks beside their checkpoints."""
        if self.folder is not None and distributed.is_main():
            write_description(self.folder.path, self.description)

    def batches(self, epoch: int, start: int) -> Iterator[dict[str, Any]]:
        """Return this rank's training batches from position ``start`` on."""
        return self.data.train_loader.batches(epoch, start)

    def train_step(self, batch: dict[str, Any], step: Step) -> dict[str, Tensor | float]:
        """Generate once; improve every discriminator on these images, then the generator against all of them."""
        text = self.encode(batch)
        classes = batch["class"].to(self.device)
        noise, variation = self._noise(len(classes), step)
        inputs = (noise, text.sentences, text.words, text.padding, variation)
        generated = self.generator(*inputs)
        step.settle(GENERATOR, *inputs)
        wrong = losses.wrong_captions(classes, self.pairing)
        values: dict[str, Tensor | float] = {}
        for network, fake in zip(self.discriminators, generated.images, strict=True):
            name = f"discriminator_{network.resolution}"
            real = batch[f"image_{network.resolution}"].to(self.device, non_blocking=True)
            seen = Seen(*self._augmented(real, fake.detach(), step), text.sentences, wrong)
            parts = self.objective.discriminator(network, seen, step.index)
            step.update(name, sum(parts.values()), parts=parts)
            values |= {f"{part}_{network.resolution}": value for part, value in parts.items()}
        parts = self._generator_losses(generated, batch, text, wrong, step)
        total = sum(parts.values())
        step.update(GENERATOR, total, parts=parts)
        return {"loss": total, **parts, **values}

    def _generator_losses(
        self, generated: GeneratedBatch, batch: dict[str, Any], text: EncodedText, wrong: Tensor, step: Step
    ) -> dict[str, Tensor]:
        """Return the terms that the generator minimises."""
        parts: dict[str, Tensor] = {}
        for network, fake in zip(self.discriminators, generated.images, strict=True):
            real = batch[f"image_{network.resolution}"].to(self.device, non_blocking=True)
            seen = Seen(*self._augmented(real, fake, step), text.sentences, wrong)
            parts[f"generator_{network.resolution}"] = self.objective.generator(network, seen)
        if self.judge is not None:
            self.judge.eval()
            judged = self.judge(generated.images[-1])
            parts |= self.matching(text, judged, batch["class"].to(self.device))
            if step.wants_images:
                self._show(generated, self.matching.attention(text, judged)[0], batch, step)
        if self.divergence and generated.mean.shape[1]:
            parts["divergence"] = self.divergence * losses.condition_divergence(generated.mean, generated.log_variance)
        return parts

    def encode(self, batch: dict[str, Any]) -> EncodedText:
        """Encode the captions of a batch by the frozen text encoder."""
        self.text.eval()
        with torch.no_grad():
            return self.text(batch["tokens"].to(self.device), batch["ntokens"].to(self.device))

    def _noise(self, count: int, step: Step) -> tuple[Tensor, Tensor]:
        """Draw noise (b, Z) and variations of conditions (b, K), the same whatever the number of ranks."""
        share = self._share(count)
        sizes = (self.generator.noise_dim, self.generator.condition_dim)
        drawn = (torch.randn(count * distributed.world_size(), size, generator=step.generator) for size in sizes)
        noise, variation = (values[share].to(self.device) for values in drawn)
        return noise, variation

    def _augmented(self, real: Tensor, fake: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """Return real and generated images as a discriminator sees them, each changed in its own way."""
        if self.augment is None:
            return real, fake
        share, everything = self._share(len(real)), len(real) * distributed.world_size()
        draws = [torch.rand(everything, DRAWS, generator=step.generator)[share].to(self.device) for _ in range(2)]
        return self.augment(real, draws[0]), self.augment(fake, draws[1])

    def _share(self, count: int) -> slice:
        first = distributed.rank() * count
        return slice(first, first + count)

    def _show(self, generated: GeneratedBatch, found: Tensor, batch: dict[str, Any], step: Step) -> None:
        """Show the first caption's image, where each stage attended to its words and where the matching model does.

        ``found`` (L, H, W) is where the latter finds them.
        """
        dataset, image, tokens = self.data.train_loader.dataset, generated.images[-1][0].detach(), batch["tokens"][0]
        step.show("words found in the generated image", attention_sheet_of(dataset, image, tokens, found))
        for stage, weights in enumerate(generated.attention, start=2):
            step.show(f"words attended to by stage {stage}", attention_sheet_of(dataset, image, tokens, weights[0]))

    def learns_from(self) -> dict[str, str]:
        """Return number and digest of the rows of each split, and what reads the captions."""
        return self.data.digests() | {"matching model": self.damsm_digest}

    # -- evaluation ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def generate(self, split: str, limit: int | None = None) -> Iterator[tuple[Tensor, dict[str, Any]]]:
        """Yield images (n, 3, R, R) uint8, of the largest resolution, of a split's first captions, with the batch."""
        loader = self.data.loaders[split]
        draws = torch.Generator().manual_seed(self.measure.seed)
        wanted = self.measure.captions or len(loader.dataset)
        total = min(loader.steps_per_epoch, limit or loader.steps_per_epoch)
        for number, batch in enumerate(progress(loader.batches(0), total, "generating")):
            text = self.encode(batch)
            sizes = (self.generator.noise_dim, self.generator.condition_dim)
            noise, variation = (torch.randn(len(text.lengths), size, generator=draws).to(self.device) for size in sizes)
            made = self.generator(noise, text.sentences, text.words, text.padding, variation)
            kept = min(wanted, len(text.lengths))
            yield to_uint8(made.images[-1][:kept]), batch
            wanted -= kept
            if not wanted or number + 1 == limit:
                return

    def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Return the Fréchet distance of the validation captions' images; leave samples in the run folder."""
        found = None
        if distributed.is_main():
            found = self.distance("validation", limit)
            if self.folder is not None and limit is None:
                self._write_samples(self.folder.path / "samples")
        value = distributed.gather_objects(found)[0]
        return {"frechet_distance": value, self.metric: -value}

    def distance(self, split: str, limit: int | None = None) -> float:
        """Return the Fréchet distance between generated and real images of a split's captions."""
        network = self.measure.features
        if isinstance(network, nn.Module):
            network.to(self.device)
        largest = self.generator.resolutions[-1]
        generated, real = [], []
        for images, batch in self.generate(split, limit):
            generated.append(features_of([images], network))
            if split not in self._real:
                real.append(features_of([to_uint8(batch[f"image_{largest}"][: len(images)]).to(self.device)], network))
        features = self._real.get(split, None)
        if features is None:
            features = np.concatenate(real)
            if limit is None:
                self._real[split] = features
        return frechet_distance(np.concatenate(generated), features, network, largest).value

    def _write_samples(self, folder: Path) -> None:
        images, batch = next(iter(self.generate("validation", 1)))
        sheet = captioned_grid(batch, images, self.generator.resolutions[-1], SHOWN)
        write_whole(folder / f"samples_{len(list(folder.glob('*.png'))):04d}.png", encode_image(sheet, "png"))

    def look_at_held_out(self) -> None:
        """Read what evaluation and report will read, as far as that takes seconds; SampleError where it is broken."""
        self.data.look_at_held_out()

    def examples(self) -> list[Example]:
        """Return the first three validation pairs that can be read."""
        return first_examples(self.data.loaders["validation"])

    def report(self, folder: RunFolder, context: Context) -> dict[str, float]:
        """Measure the generator on the held-out split and write ``report.html`` with captions and images."""
        split = self.data.report_split
        skipped = [row for rows in distributed.gather_objects(self.data.skipped) for row in rows]
        if not distributed.is_main():
            return {}
        value = self.distance(split)
        dataset, largest = self.data.loaders[split].dataset, self.generator.resolutions[-1]
        left_out = self.data.left_out(merge_skipped(folder.path / SKIPPED, skipped), len(dataset))
        images, batch = next(iter(self.generate(split, 1)))
        metrics = {"frechet_distance": value, self.metric: -value, "images": float(len(self._real[split]))}
        protocol = f"{self.measure.features.name}; resize: {self.measure.features.resize}; {largest} pixels"
        return write_generated_report(folder, context, dataset, batch, images, largest, metrics, protocol, left_out)

    # -- published weights ---------------------------------------------------------------------------------------

    read_export = staticmethod(export_weights)

    @staticmethod
    def holds_published(folder: Path) -> bool:
        """Distinguish a folder of ``netG*.pth`` and ``netD0.pth`` ... from a run folder here."""
        return any(folder.glob("netG*.pth"))

    @staticmethod
    def read_published(path: Path) -> dict[str, dict[str, Tensor]]:
        """Read a generator's file, or a folder with one and its discriminators, for ``init_from``."""
        file = path if path.is_file() else max(path.glob("netG*.pth"), key=_epoch_of)
        weights = {GENERATOR: load_published("attngan", file).state_dict()}
        if path.is_dir() and any(path.glob("netD[0-9].pth")):
            networks = load_published("attngan_discriminators", path)
            weights |= {f"discriminator_{network.resolution}": network.state_dict() for network in networks}
        return weights


def _few_pairs(size: int) -> Iterator[Problem]:
    """Yield the error of batches without a wrong sentence."""
    if size < 2:
        yield "data.batch_size", f"found {size}, expected at least 2: a pair needs another pair's sentence to be wrong"


def _epoch_of(file: Path) -> int:
    """Return the epoch that a generator's file name ends in, -1 without one."""
    digits = file.stem.rpartition("_")[2]
    return int(digits) if digits.isdecimal() else -1
