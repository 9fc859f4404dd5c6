"""Train a generator of images of classes against a discriminator that knows the class.

"Large Scale GAN Training for High Fidelity Natural Image Synthesis" (BigGAN, arXiv:1809.11096, public code
ajbrock/BigGAN-PyTorch ``train_fns.py``) or R3GAN (arXiv:2501.05441), by config: networks, objective and schedules are
objects. Generated images have the classes of the real ones in their batch (BigGAN draws them uniformly).
``python run.py -f gan/r3gan_world.yaml`` trains a small one on the embedded world on one CPU core,
``visual_vocab/biggan_imagenet_128.yaml`` has the published values.

Shape letters: B images of a global batch, b of this rank, R height and width, D numbers in a latent, K classes.
"""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import losses
from common import distributed
from common.errors import UserError
from common.files import write_whole
from config import Deferred, Problem
from config.limits import BatchSize, Chance, Count, Seed, Weight
from datasets.class_images.dataset import ClassBatch, ClassImages
from datasets.media_files import encode_image
from engine.context import Context
from engine.optimization import Length, Optimization
from engine.run_folder import RunFolder
from engine.task import Example, Step
from evaluation.frechet import FeatureNetwork, features_of, frechet_distance, to_uint8
from evaluation.image_metrics import MetricSettings, kernel_distance
from gan.augment import DRAWS, DiffAugment
from gan.biggan.standing_statistics import has_statistics, kept_statistics, standing_statistics
from gan.class_generators import largest_singular_values
from gan.objectives import Objective
from tasks.checks import Node, plan_errors
from tasks.gan.class_networks import DISCRIMINATOR, GENERATOR, describe, write_description
from tasks.gan.sheets import class_examples, class_sheet

log = logging.getLogger(__name__)
Network = Annotated[Callable[..., nn.Module], Deferred("num_classes")]


@dataclass
class Measure:
    """Measurement of a generator while it is trained.

    Attributes:
        features: network whose features of generated and real images are compared.
        images: generated images, of the classes of the validation images, compared with as many of these or all.
        batch_size: images generated at a time.
        seed: of latents, the same at every evaluation.
        standing: batches from which standing statistics are taken before, where there are batch norms; 16 as published.
        metrics: numbers on which the kernel distance depends.
    """

    features: FeatureNetwork
    images: Count = 2000
    batch_size: BatchSize = 50
    seed: Seed = 0
    standing: Count = 16
    metrics: MetricSettings = field(default_factory=MetricSettings)


@dataclass
class Accumulation:
    """Batches of one optimisation step; every one has ``data.batch_size`` images.

    Attributes:
        discriminator_steps: updates of the discriminator for one of the generator, 2 of ImageNet's BigGAN.
        discriminator: batches whose gradients are summed for one update, 8 of the published bs256x8.
        generator: the same of the generator.
        fresh_latents: the generator draws images of its own as published; otherwise it takes those that the
            discriminator saw last, which saves a pass (only for one batch of the generator).
    """

    discriminator_steps: Count = 1
    discriminator: Count = 1
    generator: Count = 1
    fresh_latents: bool = False

    @property
    def real_batches(self) -> int:
        """Return the batches of real images in an optimisation step."""
        return self.discriminator_steps * self.discriminator


@dataclass
class BetaRise:
    """Second-moment decay of Adam that rises by a cosine, as R3GAN trains: gradients change fast at first.

    Attributes:
        steps: optimisation steps until the last value.
        first: beta2 of the first step.
        last: beta2 after ``steps``.
    """

    steps: Count
    first: Chance = 0.9
    last: Chance = 0.99

    def at(self, step: int) -> float:
        """Return beta2 after so many optimisation steps."""
        done = min(1.0, step / self.steps)
        return self.last + (self.first - self.last) * 0.5 * (1 + math.cos(math.pi * done))


class Pair(NamedTuple):
    """Real images and generated ones of the same classes."""

    real: Tensor  # (b, 3, R, R) in [-1, 1]
    fake: Tensor  # the same, with its graph
    classes: Tensor  # (b,)


class ConditionalGan:
    """Trains a generator of classes against a discriminator of classes.

    Args:
        generator: latents and classes to images.
        discriminator: images and classes to logits.
        objective: losses of both networks.
        generator_optimization: of the generator's parameters.
        discriminator_optimization: of the discriminator's.
        measure: measurement of the generator.
        data: given by main.
        device: given by main.
        length: given by main.
        accumulation: batches of one optimisation step.
        generator_orthogonal: weight of orthogonal regularisation of the generator, 1e-4 as published (``G_ortho``).
        discriminator_orthogonal: the same of the discriminator, 0 as published.
        augment: changes to all images that the discriminator sees; None for none.
        beta2: rise of both optimisers' second-moment decay; None leaves it.
        spectra_every: optimisation steps between two logs of every layer's largest singular value; None logs none.
        folder: given by main; the run folder.

    Raises:
        UserError: networks and images do not fit one another.
    """

    metric = "negative_frechet_distance"
    metrics = (metric, "negative_kernel_distance")
    module_names = (GENERATOR, DISCRIMINATOR)
    shown_metrics = ("frechet_distance", "kernel_distance")

    def __init__(
        self,
        generator: Network,
        discriminator: Network,
        objective: Objective,
        generator_optimization: Optimization,
        discriminator_optimization: Optimization,
        measure: Measure,
        data: ClassImages,
        device: torch.device,
        length: Length,
        accumulation: Accumulation = Accumulation(),  # noqa: B008  never changed
        generator_orthogonal: Weight = 0.0,
        discriminator_orthogonal: Weight = 0.0,
        augment: DiffAugment | None = None,
        beta2: BetaRise | None = None,
        spectra_every: Count | None = None,
        folder: RunFolder | None = None,
    ) -> None:
        layout = torch.channels_last
        self.generator = generator(num_classes=data.num_classes).to(device, memory_format=layout)
        self.discriminator = discriminator(num_classes=data.num_classes).to(device, memory_format=layout)
        self.data, self.device, self.folder, self.measure = data, device, folder, measure
        self.objective, self.augment, self.accumulation = objective, augment, accumulation
        self.beta2, self.spectra_every = beta2, spectra_every
        self.orthogonal = {GENERATOR: generator_orthogonal, DISCRIMINATOR: discriminator_orthogonal}
        self._check()
        self.batch_size = data.batch_size * accumulation.real_batches
        self.steps_per_epoch = max(1, len(data.train) // self.batch_size)
        self.modules: dict[str, nn.Module] = {GENERATOR: self.generator, DISCRIMINATOR: self.discriminator}
        groups = {GENERATOR: generator_optimization, DISCRIMINATOR: discriminator_optimization}
        started = {
            name: group.start([self.modules[name]], self.steps_per_epoch, length) for name, group in groups.items()
        }
        self.optimizers = {name: optimizer for name, (optimizer, _) in started.items()}
        self.schedulers = {name: schedule for name, (_, schedule) in started.items() if schedule is not None}
        nodes = {GENERATOR: generator.node(num_classes=data.num_classes)}
        self.description = describe(nodes, data.class_names, data.size)
        self._real_features: np.ndarray | None = None

    @staticmethod
    def validate_with_siblings(
        data: Node, trainer: Node | None = None, launch: Node | None = None
    ) -> Iterator[Problem]:
        """Yield the errors of a training that cannot be as it is planned."""
        yield from plan_errors(ConditionalGan.module_names, ConditionalGan.metrics, data, trainer, launch)

    def _check(self) -> None:
        """Refuse networks of another resolution than the images'."""
        sizes = {"task.generator": self.generator.resolution, "task.discriminator": self.discriminator.resolution}
        for key, size in sizes.items():
            if size != self.data.size:
                raise UserError(f"{key} is for images of {size} pixels, {self.data.folder} holds {self.data.size}")

    # -- training ------------------------------------------------------------------------------------------------

    def begin_epoch(self, epoch: int) -> None:  # noqa: ARG002
        """Write the description of the generator beside its checkpoints."""
        if self.folder is not None and distributed.is_main():
            write_description(self.folder.path, self.description)

    def batches(self, epoch: int, start: int) -> Iterator[list[ClassBatch]]:
        """Yield this rank's real images, the batches of an optimisation step together."""
        count = self.accumulation.real_batches
        first = epoch * self.steps_per_epoch
        for step in range(first + start, first + self.steps_per_epoch):
            yield [self.data.batch(step * count + number) for number in range(count)]

    def train_step(self, batch: list[ClassBatch], step: Step) -> dict[str, Tensor | float]:
        """Improve the discriminator so often as asked for, then the generator against it."""
        self._set_beta2(step.index)
        reals = iter(batch)
        values: dict[str, Tensor | float] = {}
        for _ in range(self.accumulation.discriminator_steps):
            pair, terms = self._discriminator_update(reals, step)
        values |= terms
        loss = self._generator_update(pair, batch, step)
        if self.spectra_every is not None and step.index % self.spectra_every == 0:
            for name, network in self.modules.items():
                values |= {f"spectrum/{name}.{k}": v for k, v in largest_singular_values(network).items()}
        return {"generator": loss, **values, "images": float((step.index + 1) * self.batch_size)}

    def _set_beta2(self, step: int) -> None:
        if self.beta2 is not None:
            for optimizer in self.optimizers.values():
                for group in optimizer.param_groups:
                    group["betas"] = (group["betas"][0], self.beta2.at(step))

    def _discriminator_update(self, reals: Iterator[ClassBatch], step: Step) -> tuple[Pair, dict[str, Tensor]]:
        """Update the discriminator on the next batches of real images; return the last pair and the last terms."""
        count = self.accumulation.discriminator
        for number in range(count):
            last = number == count - 1
            # the graph of the last generated images is the generator's, if it takes them
            with torch.set_grad_enabled(last and not self._draws_anew):
                pair = self._pair(next(reals), step)
            shown = self._augmented(pair, step)
            mix = self._drawn(len(pair.real), (), step, torch.rand)
            fake = shown.fake.detach()
            terms = self.objective.discriminator(self._critic(shown), shown.real, fake, step.index, mix)
            loss = sum(terms.values()) / count
            if not last:
                step.accumulate(DISCRIMINATOR, loss, parts=terms)
                continue
            if weight := self.orthogonal[DISCRIMINATOR]:
                matrices = (one for one in self.discriminator.parameters() if one.dim() > 1 and one.requires_grad)
                terms["discriminator_orthogonal"] = weight * losses.orthogonal_regularisation(matrices)
                loss = loss + terms["discriminator_orthogonal"]
            step.update(DISCRIMINATOR, loss, parts=terms)
        return pair, terms

    def _critic(self, pair: Pair) -> Callable[[Tensor], Tensor]:
        """Return the discriminator of images of a pair's classes."""
        return lambda images: self.discriminator(images, pair.classes)

    def _generator_update(self, pair: Pair, batch: list[ClassBatch], step: Step) -> Tensor:
        """Update the generator on the last pair, or on pairs of its own."""
        count = self.accumulation.generator
        for number in range(count):
            if self._draws_anew:
                pair = self._pair(batch[number % len(batch)], step)
            shown = self._augmented(pair, step)
            found = self.objective.generator(self._critic(shown), shown.real, shown.fake)
            terms = {GENERATOR: found}
            loss = found / count
            if number < count - 1:
                step.accumulate(GENERATOR, loss, parts=terms)
                continue
            if weight := self.orthogonal[GENERATOR]:
                terms["orthogonal"] = weight * losses.orthogonal_regularisation(self.generator.regularised_weights())
                loss = loss + terms["orthogonal"]
            step.update(GENERATOR, loss, parts=terms)
        return found

    @property
    def _draws_anew(self) -> bool:
        return self.accumulation.fresh_latents or self.accumulation.generator > 1

    def _pair(self, batch: ClassBatch, step: Step) -> Pair:
        """Generate as many images as there are real ones."""
        real = batch.images.to(self.device, non_blocking=True).float().div(127.5).sub(1)
        real = real.contiguous(memory_format=torch.channels_last)
        classes = batch.classes.to(self.device)
        latents = self._drawn(len(real), (self.generator.latent_dim,), step, torch.randn)
        return Pair(real, self.generator(latents, classes), classes)

    def _augmented(self, pair: Pair, step: Step) -> Pair:
        """Return the images as the discriminator sees them, each changed in its own way."""
        if self.augment is None:
            return pair
        draws = [self._drawn(len(pair.real), (DRAWS,), step, torch.rand) for _ in range(2)]
        return pair._replace(real=self.augment(pair.real, draws[0]), fake=self.augment(pair.fake, draws[1]))

    def _drawn(self, count: int, shape: tuple[int, ...], step: Step, draw: Callable[..., Tensor]) -> Tensor:
        """Draw numbers (b, *shape), the same whatever the number of ranks."""
        everyones = draw(count * distributed.world_size(), *shape, generator=step.generator)
        return everyones[distributed.rank() * count :][:count].to(self.device)

    def learns_from(self) -> dict[str, str]:
        """Return number and digest of the images."""
        return self.data.digests()

    # -- evaluation ----------------------------------------------------------------------------------------------

    def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Return both distances to the validation images; leave a sheet of samples in the run folder."""
        found = {}
        with self.settled():
            if distributed.is_main():
                found = self.distances(limit)
                if self.folder is not None and limit is None:
                    self._write_sheet(self.folder.path / "samples")
        return distributed.gather_objects(found)[0]

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Give batch norms standing statistics within the block, on every rank alike; networks without stay."""
        if not has_statistics(self.generator):
            yield
            return
        draws = torch.Generator().manual_seed(self.measure.seed + 1)
        with kept_statistics(self.generator):
            batches = (self._draw(self.measure.batch_size, draws) for _ in range(self.measure.standing))
            standing_statistics(self.generator, batches)
            yield

    def _draw(self, count: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw latents (count, D) and classes (count,)."""
        latents = torch.randn(count, self.generator.latent_dim, generator=draws)
        classes = torch.randint(self.data.num_classes, (count,), generator=draws)
        return latents.to(self.device), classes.to(self.device)

    @torch.no_grad()
    def generate(self, classes: Tensor) -> Iterator[Tensor]:
        """Yield images (n, 3, R, R) uint8 of classes (N,), batch by batch, over fixed latents."""
        draws = torch.Generator().manual_seed(self.measure.seed)
        for part in classes.split(self.measure.batch_size):
            latents = torch.randn(len(part), self.generator.latent_dim, generator=draws)
            yield to_uint8(self.generator(latents.to(self.device), part.to(self.device)))

    def distances(self, limit: int | None = None) -> dict[str, float]:
        """Measure the generator against the validation images, or ``limit`` batches of them."""
        size, network = self.measure.batch_size, self.measure.features
        if isinstance(network, nn.Module):
            network.to(self.device)
        number = self.measure.images if limit is None else min(self.measure.images, limit * size)
        if self._real_features is None or limit is not None:
            batches = self.data.validation_batches(size, -(-number // size))
            self._real_features = features_of((batch.images.to(self.device) for batch in batches), network)
        classes = torch.from_numpy(np.resize(self.data.validation_classes, number))
        generated = features_of(self.generate(classes), network)
        fid = frechet_distance(generated, self._real_features, network, self.data.size).value
        kid = kernel_distance(generated, self._real_features, self.measure.metrics).value
        values = {"frechet_distance": fid, "kernel_distance": kid}
        return values | {f"negative_{name}": -value for name, value in values.items()}

    def sheet(self) -> np.ndarray:
        """Return samples of each class over fixed latents, (H, W, 3) uint8; the last column is real."""
        return class_sheet(self.generator, self.data, self.device, self.measure.seed)

    def _write_sheet(self, folder: Path) -> None:
        number = len(list(folder.glob("samples_*.png")))
        write_whole(folder / f"samples_{number:04d}.png", encode_image(self.sheet(), "png"))

    def examples(self) -> list[Example]:
        """Return three validation images with their classes."""
        return class_examples(self.data)

    def report(self, folder: RunFolder, context: Context) -> dict[str, float]:  # noqa: ARG002
        """Measure the generator and write ``samples.png``: samples of each class, the last column is real."""
        found = {}
        with self.settled():
            if distributed.is_main():
                found = self.distances()
                write_whole(folder.path / "samples.png", encode_image(self.sheet(), "png"))
        return distributed.gather_objects(found)[0]
