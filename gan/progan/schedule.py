"""The plan of phases in which a progressive GAN grows, and the growth at an optimisation step."""

from dataclasses import dataclass
from typing import NamedTuple

from config.limits import BatchSize, CountOrZero, Resolution
from gan.progan.generator import FIRST_RESOLUTION, ProganError


@dataclass(frozen=True)
class Phase:
    """Training at one resolution.

    Attributes:
        resolution: height and width of the images, pixels: 4, 8, 16 ...
        stable_images: real images seen at this resolution once it is faded in; the last phase goes on for ever.
        batch_size: images in a global batch.
        fade_images: real images seen before that, while the resolution is faded in; 0 for the first phase.

    Raises:
        ProganError: the resolution is not 4, 8, 16 ... pixels, or a number is too small.
    """

    resolution: Resolution
    stable_images: CountOrZero
    batch_size: BatchSize
    fade_images: CountOrZero = 0

    def __post_init__(self) -> None:
        ratio = self.resolution // FIRST_RESOLUTION
        if self.resolution % FIRST_RESOLUTION or ratio < 1 or ratio & (ratio - 1):
            raise ProganError(f"resolution: found {self.resolution}, expected 4, 8, 16, 32 ... pixels")
        if self.batch_size < 1 or self.stable_images < 0 or self.fade_images < 0:
            raise ProganError(
                f"a phase has batch_size={self.batch_size}, stable_images={self.stable_images}, fade_images="
                f"{self.fade_images}; expected at least 1, 0 and 0"
            )

    @property
    def stage(self) -> int:
        """Return 0 for 4 pixels, 1 for 8 ..."""
        return (self.resolution // FIRST_RESOLUTION).bit_length() - 1

    @property
    def steps(self) -> int:
        """Return the optimisation steps."""
        return -(-(self.fade_images + self.stable_images) // self.batch_size)


class GrowthStep(NamedTuple):
    """Say how far the GAN has grown at one optimisation step."""

    stage: int  # 0 is 4 pixels
    alpha: float  # share to which the stage is faded in, 1 is wholly
    batch_size: int  # images in the global batch
    images: int  # real images seen before this step


class Growth:
    """Plan phases of rising resolution, one for each resolution that is trained.

    Raises ProganError where there is no phase, or resolutions do not double from phase to phase.
    """

    def __init__(self, phases: list[Phase]) -> None:
        stages = [phase.stage for phase in phases]
        if not phases or stages != list(range(stages[0], stages[0] + len(stages))):
            found = [phase.resolution for phase in phases]
            raise ProganError(f"phases: found the resolutions {found}, expected each twice the one before")
        self.phases = list(phases)

    def at(self, step: int) -> GrowthStep:
        """Return the growth after so many optimisation steps, a function of these alone: a resumed run agrees."""
        images = 0
        for phase in self.phases[:-1]:
            if step < phase.steps:
                return self._within(phase, step, images)
            step -= phase.steps
            images += phase.steps * phase.batch_size
        return self._within(self.phases[-1], step, images)

    @staticmethod
    def _within(phase: Phase, step: int, before: int) -> GrowthStep:
        seen = step * phase.batch_size
        alpha = min(1.0, (seen + phase.batch_size) / phase.fade_images) if phase.fade_images else 1.0
        return GrowthStep(phase.stage, alpha, phase.batch_size, before + seen)
