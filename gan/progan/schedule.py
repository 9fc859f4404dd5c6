"""When a progressive GAN grows: a plan of phases, and where in it an optimisation step lies."""

from dataclasses import dataclass
from typing import NamedTuple

from config.limits import BatchSize, CountOrNone, Resolution
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
    stable_images: CountOrNone
    batch_size: BatchSize
    fade_images: CountOrNone = 0

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
    def level(self) -> int:
        """0 for 4 pixels, 1 for 8 ..."""
        return (self.resolution // FIRST_RESOLUTION).bit_length() - 1

    @property
    def steps(self) -> int:
        """Optimisation steps."""
        return -(-(self.fade_images + self.stable_images) // self.batch_size)


class Stage(NamedTuple):
    """Where one optimisation step lies.

    Attributes:
        level: 0 is 4 pixels.
        alpha: how far the level is faded in, 1 is wholly.
        batch_size: images in the global batch.
        images: real images seen before this step.
    """

    level: int
    alpha: float
    batch_size: int
    images: int


class Growth:
    """A plan: phases of rising resolution.

    Args:
        phases: one for each resolution that is trained.

    Raises:
        ProganError: there is no phase, or resolutions do not double from phase to phase.
    """

    def __init__(self, phases: list[Phase]) -> None:
        levels = [phase.level for phase in phases]
        if not phases or levels != list(range(levels[0], levels[0] + len(levels))):
            found = [phase.resolution for phase in phases]
            raise ProganError(f"phases: found the resolutions {found}, expected each twice the one before")
        self.phases = list(phases)

    def at(self, step: int) -> Stage:
        """Return the stage of an optimisation step; a function of the step alone, so that a resumed run agrees.

        Args:
            step: optimisation steps done before.
        """
        images = 0
        for phase in self.phases[:-1]:
            if step < phase.steps:
                return self._within(phase, step, images)
            step -= phase.steps
            images += phase.steps * phase.batch_size
        return self._within(self.phases[-1], step, images)

    @staticmethod
    def _within(phase: Phase, step: int, before: int) -> Stage:
        seen = step * phase.batch_size
        alpha = min(1.0, (seen + phase.batch_size) / phase.fade_images) if phase.fade_images else 1.0
        return Stage(phase.level, alpha, phase.batch_size, before + seen)
