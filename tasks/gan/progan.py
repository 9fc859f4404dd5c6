"""Train a Progressive GAN (arXiv:1710.10196) on renders of the embedded world, resolution by resolution.

The generator of "Learning Words by Drawing Images" (CVPR 2019) makes from latents what that system then edits.
``python run.py -f gan/progan_world_cpu.yaml`` trains a small one on one core, ``gan/progan_world.yaml`` a larger one on
GPUs. The real images seen decide the resolution and how far it is faded in, so that a resumed run goes on exactly.

Shape letters: B global batch, b batch of this rank, R height and width of the images.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer

from common import distributed
from common.errors import UserError
from common.files import write_whole
from config import Deferred, Problem
from config.limits import BatchSize, Count
from datasets.loading.batch_sizes import uneven_share
from datasets.media_files import encode_image
from datasets.world.renders import Renders
from engine.context import Context
from engine.run_folder import RunFolder
from engine.task import Example, Step
from evaluation.frechet import FeatureNetwork, FrechetDistance, features_of, frechet_distance, to_uint8
from gan.latents import latents
from gan.objectives import Objective
from gan.progan.growing import GrowingGenerator, ProganDiscriminator, blend
from gan.progan.schedule import Growth, GrowthStep, Phase
from tasks.checks import Node, plan_errors, unshared_batch
from tasks.gan.sheets import tiled

log = logging.getLogger(__name__)

Optimise = Annotated[Callable[..., Optimizer], Deferred("params")]
GRID = (6, 10)  # rows and columns of an image of samples


@dataclass
class Measure:
    """Measurement of a generator while it is trained.

    Attributes:
        features: network whose features of generated and real images are compared.
        images: generated images, compared with as many real ones or all there are.
        batch_size: images generated at a time.
        samples: folder for an image of samples at every evaluation; None writes none.
    """

    features: FeatureNetwork
    images: Count = 2000
    batch_size: BatchSize = 50
    samples: Path | None = None


class Progan:
    """Trains a growing generator against a growing discriminator.

    Args:
        generator: see :class:`gan.progan.growing.GrowingGenerator`.
        discriminator: see :class:`gan.progan.growing.ProganDiscriminator`.
        objective: losses of both networks.
        generator_optimizer: of the generator's parameters.
        discriminator_optimizer: of the discriminator's.
        phases: resolutions, and how many images each is trained with.
        measure: measurement of the generator.
        steps_per_epoch: optimisation steps that count as an epoch, after which the trainer may evaluate.
        data: given by main.
        device: given by main.

    Raises:
        UserError: networks, phases and images do not fit one another, or batches cannot be shared by the ranks.
    """

    metric = "negative_frechet_distance"
    metrics = (metric,)
    module_names = ("generator", "discriminator")
    shown_metrics = ("frechet_distance", "resolution", "alpha")

    def __init__(
        self,
        generator: GrowingGenerator,
        discriminator: ProganDiscriminator,
        objective: Objective,
        generator_optimizer: Optimise,
        discriminator_optimizer: Optimise,
        phases: Annotated[list[Phase], Field(min_length=1)],
        measure: Measure,
        steps_per_epoch: Count,
        data: Renders,
        device: torch.device,
    ) -> None:
        layout = torch.channels_last
        self.generator = generator.to(device, memory_format=layout)
        self.discriminator = discriminator.to(device, memory_format=layout)
        self.objective, self.measure, self.data, self.device = objective, measure, data, device
        self.growth = Growth(phases)
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = phases[-1].batch_size
        self._check(phases)
        self.modules = {"generator": self.generator, "discriminator": self.discriminator}
        self.optimizers = {
            "generator": generator_optimizer(params=list(self.generator.parameters())),
            "discriminator": discriminator_optimizer(
                params=[value for value in self.discriminator.parameters() if value.requires_grad]
            ),
        }
        self.schedulers: dict[str, Any] = {}
        self._real_features: np.ndarray | None = None

    @staticmethod
    def validate_with_siblings(
        phases: list[Node], data: Node, trainer: Node | None = None, launch: Node | None = None
    ) -> Iterator[Problem]:
        """Yield the errors of a training that cannot be as it is planned; each phase has its own batch."""
        yield from plan_errors(Progan.module_names, Progan.metrics, data, trainer, launch)
        for key, size in Progan.batch_sizes({"phases": phases}):
            yield from unshared_batch(key, size, launch)

    @staticmethod
    def batch_sizes(task: Node) -> Iterator[tuple[str, int]]:
        """Yield the key path below ``task``, the task's node, and the size of every phase's batch."""
        for number, phase in enumerate(task["phases"]):
            if "batch_size" in phase:
                yield f"phases.{number}.batch_size", phase["batch_size"]

    def _check(self, phases: list[Phase]) -> None:
        last = phases[-1]
        entries = {
            "generator.widths": len(self.generator.grown.widths),
            "discriminator.widths": len(self.discriminator.inputs),
        }
        for name, count in entries.items():
            if count != last.stage + 1:
                raise UserError(
                    f"{name} has {count} entries, but the last phase is at {last.resolution} pixels, which needs "
                    f"{last.stage + 1}"
                )
        if self.data.size != last.resolution:
            raise UserError(
                f"{self.data.folder} holds images of {self.data.size} pixels, the last phase is at {last.resolution}"
            )
        for phase in phases:
            if uneven := uneven_share(phase.batch_size, self.data.world_size):
                raise UserError(f"phases: the batch at {phase.resolution} pixels: {uneven}")

    # -- training ------------------------------------------------------------------------------------------------

    def begin_epoch(self, epoch: int) -> None:
        """Nothing changes from epoch to epoch."""

    def batches(self, epoch: int, start: int) -> Iterator[Tensor]:
        """Yield this rank's real images (b, 3, S, S) uint8 at full size."""
        first = epoch * self.steps_per_epoch
        for step in range(first + start, first + self.steps_per_epoch):
            now = self.growth.at(step)
            yield self.data.batch(now.images, now.batch_size)

    def train_step(self, batch: Tensor, step: Step) -> dict[str, Tensor | float]:
        """Generate once; improve the discriminator on these images, then the generator against it."""
        now = self.growth.at(step.index)
        self.generator.reach(now.stage, now.alpha)
        real = self._real(batch, now)
        share = slice(self.data.rank * len(batch), (self.data.rank + 1) * len(batch))
        latent = torch.randn(now.batch_size, self.generator.grown.latent_dim, generator=step.generator)
        mix = torch.rand(now.batch_size, generator=step.generator)
        fake = self.generator(latent[share].to(self.device), now.stage, now.alpha)

        def critic(images: Tensor) -> Tensor:
            return self.discriminator(images, now.stage, now.alpha)

        terms = self.objective.discriminator(critic, real, fake.detach(), step.index, mix[share].to(self.device))
        step.update("discriminator", sum(terms.values()), parts=terms)
        loss = self.objective.generator(critic, real, fake)
        step.update("generator", loss)
        progress = {"resolution": float(real.shape[-1]), "alpha": now.alpha, "images": float(now.images)}
        return {"generator": loss, **terms, **progress}

    def _real(self, batch: Tensor, now: GrowthStep) -> Tensor:
        """Turn full-size uint8 images into those of a stage, (b, 3, R, R) in [-1, 1], faded like the generated."""
        full = batch.to(self.device, non_blocking=True).float().div(127.5).sub(1)
        factor = full.shape[-1] // (4 * 2**now.stage)
        images = F.avg_pool2d(full, factor) if factor > 1 else full
        if now.alpha < 1:
            images = blend(F.avg_pool2d(images, 2), images, now.alpha)
        return images.contiguous(memory_format=torch.channels_last)

    # -- evaluation ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(self, number: int) -> Iterator[Tensor]:
        """Yield ``number`` latents' images at full size, batches (n, 3, S, S) uint8; small ones are enlarged."""
        table = latents(number, self.generator.grown.latent_dim)
        for part in table.split(self.measure.batch_size):
            images = self.generator.generate(part.to(self.device))
            if images.shape[-1] != self.data.size:
                images = F.interpolate(images, size=(self.data.size, self.data.size), mode="bilinear")
            yield to_uint8(images)

    def distance(self, limit: int | None = None) -> FrechetDistance:
        """Measure the generator against the validation images, or ``limit`` batches of them, at full size."""
        number, size, network = self.measure.images, self.measure.batch_size, self.measure.features
        if isinstance(network, torch.nn.Module):
            network.to(self.device)
        number = number if limit is None else min(number, limit * size)
        if self._real_features is None or limit is not None:
            real = self.data.validation_batches(size, limit)
            self._real_features = features_of((batch.to(self.device) for batch in real), network)
        generated = features_of(self.sample(number), network)
        return frechet_distance(generated, self._real_features, network, self.data.size)

    def learns_from(self) -> dict[str, str]:
        """Return number and digest of the images."""
        return self.data.digests()

    def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Return the Fréchet distance and how far training has come; leave an image of samples where asked for."""
        stage, alpha = self.generator.reached.tolist()
        found = None
        if distributed.is_main():
            found = self.distance(limit).value
            if self.measure.samples is not None and limit is None:
                self._write_samples(self.measure.samples)
        value = distributed.gather_objects(found)[0]
        return {
            "frechet_distance": value,
            self.metric: -value,
            "resolution": 4.0 * 2**stage,
            "alpha": alpha,
        }

    def _write_samples(self, folder: Path) -> None:
        number = len(list(folder.glob("samples_*.png")))
        write_whole(folder / f"samples_{number:04d}.png", encode_image(self.grid(), "png"))

    def grid(self) -> np.ndarray:
        """Return samples over fixed latents and, below them, one row of real images, (H, W, 3) uint8."""
        rows, columns = GRID
        made = torch.cat(list(self.sample(rows * columns))).cpu()
        return tiled(torch.cat([made, next(self.data.validation_batches(columns))]), columns)

    def examples(self) -> list[Example]:
        """Return three validation images."""
        images = next(self.data.validation_batches(3))
        return [Example(image.permute(1, 2, 0).numpy(), None, "a real image") for image in images]

    def report(self, folder: RunFolder, context: Context) -> dict[str, float]:  # noqa: ARG002
        """Measure the generator and write ``samples.png``: samples over fixed latents, the last row is real."""
        metrics = self.evaluate()
        if distributed.is_main():
            write_whole(folder.path / "samples.png", encode_image(self.grid(), "png"))
        return metrics
