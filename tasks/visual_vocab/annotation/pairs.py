"""Images before and after a step along a direction, in the order in which they are annotated.

Row k * L + l is direction k at the l-th of its L latents where all latents share the directions, and row z * K + k is
direction k of latent z where each has its own. Both ways, the second half of the rows goes against the directions.
Shape letters: B rows, D numbers in a latent, R pixels high and wide.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gan.directions.directions import DirectionError, shifted
from gan.directions.files import FoundDirections
from gan.directions.subjects import Subjects, class_names, draw_images
from gan.latents import latent_dim_of


class Pair(NamedTuple):
    """Name the latent and the direction of a row, and which way it goes: 1, or -1 against the direction."""

    latent: int
    direction: int
    way: int = 1


class ShownPairs:
    """Every direction at every latent that it is shown at.

    Args:
        found: directions.
        latents: L, at which each shared direction is shown; at most as many as there are.
        generator: whose images are shown.
        both_ways: show each pair against its direction, too.

    Raises:
        DirectionError: the latents are another generator's, or there are fewer.
    """

    def __init__(self, found: FoundDirections, latents: int, generator: nn.Module, both_ways: bool = False) -> None:
        dim = latent_dim_of(generator)
        if found.latents.shape[1] != dim:
            raise DirectionError(
                f"the directions have {found.latents.shape[1]} numbers and the generator's latents {dim}; take the "
                "generator they were found for"
            )
        names = class_names(generator)
        if bool(names) != (found.classes is not None):
            raise DirectionError(
                "the directions were found for a generator with classes, or this one has some; one lacks"
            )
        if found.classes is not None and not 0 <= int(found.classes.min()) <= int(found.classes.max()) < len(names):
            raise DirectionError(f"the directions' classes go beyond the {len(names)} of this generator")
        self.found, self.names, self.generator = found, names, generator
        many = len(found.latents)
        if latents > many:
            raise DirectionError(f"directions are to be shown at {latents} latents, but the file has {many}")
        number = len(found.directions.layers)
        if len(found.directions.vectors) > 1:
            self.pairs = [Pair(z, k) for z in range(many) for k in range(number)]
        else:
            self.pairs = [Pair((k * latents + l) % many, k) for k in range(number) for l in range(latents)]  # noqa: E741
        if both_ways:
            self.pairs += [pair._replace(way=-1) for pair in self.pairs]

    def __len__(self) -> int:
        return len(self.pairs)

    def vectors(self, rows: Sequence[int]) -> Tensor:
        """Return the directions (B, D) of rows, as they are shown."""
        pairs = [self.pairs[row] for row in rows]
        return torch.stack([pair.way * self.found.directions.of(pair.latent)[pair.direction] for pair in pairs])

    def subjects(self, rows: Sequence[int]) -> Subjects:
        """Return latents and classes of rows."""
        return Subjects(self.found.latents, self.found.classes).take(
            torch.tensor([self.pairs[row].latent for row in rows])
        )

    def metadata(self, row: int, alpha: float) -> dict[str, str]:
        """Return what the data set says of a row."""
        pair = self.pairs[row]
        classes = self.found.classes
        return {
            "latent": str(pair.latent),
            "direction": str(pair.direction),
            "way": "along" if pair.way > 0 else "against",
            "layer": self.found.directions.layers[pair.direction],
            "alpha": f"{alpha:g}",
            "class": "" if classes is None else self.names[int(classes[pair.latent])],
        }

    def images(self, rows: Sequence[int], alpha: float) -> tuple[Tensor, Tensor]:
        """Return images (B, 3, R, R) of rows before and after the step, where the generator is."""
        device = next(self.generator.parameters()).device
        before = Subjects(*(None if one is None else one.to(device) for one in self.subjects(rows)))
        after = before._replace(latents=shifted(before.latents, self.vectors(rows).to(device), alpha))
        return draw_images(self.generator, before), draw_images(self.generator, after)
