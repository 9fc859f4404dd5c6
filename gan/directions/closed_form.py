"""Directions without optimisation: of a generator's weights (SeFa) and of its activations (GANSpace).

Shape letters as in :mod:`gan.directions.directions`; F numbers in a layer's output.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from config.limits import BatchSize, Count
from gan.directions.activations import Batches, layer_output
from gan.directions.directions import DirectionError, Directions, check_inputs, check_room

NO_VARIANCE = 1e-10  # of the largest


@dataclass(frozen=True)
class Sefa:
    """Right singular vectors of the matrices that multiply the latent, arXiv:2007.06600.

    Of all directions they change those layers most. They are orthogonal and hold for all latents; scores are the
    singular values, largest first.

    Attributes:
        number: K.
        layers: whose matrices, by the names of the generator's ``latent_weights``, are stacked; None for all.
    """

    number: Count = 12
    layers: list[str] | None = None

    def find(self, generator: nn.Module, latents: Tensor, classes: Tensor | None = None, seed: int = 0) -> Directions:  # noqa: ARG002
        """Decompose the weights; only the size of latents counts. DirectionError: something does not fit."""
        check_inputs(generator, latents, classes)
        check_room(self.number, latents.shape[1])
        weights_of = getattr(generator, "latent_weights", None)
        if weights_of is None:
            raise DirectionError(
                f"{type(generator).__name__} does not say by which weights its latent is multiplied; give it a method "
                "latent_weights, as the Progressive GAN and BigGAN have, or take GANSpace"
            )
        weights: Mapping[str, Tensor] = weights_of()
        names = list(weights) if self.layers is None else self.layers
        if unknown := [name for name in names if name not in weights]:
            raise DirectionError(f"the latent does not enter layer {unknown[0]!r}; choose among {', '.join(weights)}")
        _, values, vectors = torch.linalg.svd(
            torch.cat([weights[name] for name in names]).double(), full_matrices=False
        )
        if self.number > len(values):
            raise DirectionError(f"layers {', '.join(names)} have {len(values)} directions; ask for at most as many")
        vectors = signed(vectors[: self.number]).to(latents)
        return Directions(vectors[None], ["+".join(names)] * self.number, values[None, : self.number].float().cpu())


@dataclass(frozen=True)
class GanSpace:
    """Principal components of a layer's output, carried over to the latent by regression (arXiv:2004.02546).

    Scores are the components' shares of the variance, largest first. Directions hold for all latents.

    Attributes:
        layer: its name.
        number: K, below the number of latents.
        batch_size: most latents at a time; halved when memory is lacking.
    """

    layer: str
    number: Count = 12
    batch_size: BatchSize = 64

    @torch.no_grad()
    def find(self, generator: nn.Module, latents: Tensor, classes: Tensor | None = None, seed: int = 0) -> Directions:  # noqa: ARG002
        """Take components over latents (Z, D), many more than K. Raises DirectionError where something does not fit."""
        check_inputs(generator, latents, classes)
        if self.number >= len(latents):
            raise DirectionError(f"{len(latents)} latents have fewer than {self.number} components; give more latents")

        def outputs(latents: Tensor, classes: Tensor | None) -> tuple[Tensor]:
            return (layer_output(generator, self.layer, latents, classes).flatten(1),)

        (activations,) = Batches(self.batch_size).map(outputs, latents, classes)
        centred = (activations - activations.mean(dim=0)).double()
        variances, rows = torch.linalg.eigh(centred @ centred.T)  # of Z x Z, since F is often larger
        variances, rows = variances.flip(0)[: self.number], rows.flip(1)[:, : self.number]
        if variances[-1] <= NO_VARIANCE * variances[0]:
            raise DirectionError(
                f"the output of layer {self.layer!r} has fewer than {self.number} components; ask for less"
            )
        # coordinates are rows * sqrt(variances): their regression onto the latents is rows^T latents, up to its length
        vectors = F.normalize(rows.T @ (latents - latents.mean(dim=0)).double(), dim=1)
        shares = variances / centred.square().sum()
        return Directions(signed(vectors).to(latents)[None], [self.layer] * self.number, shares[None].float().cpu())


def signed(vectors: Tensor) -> Tensor:
    """Return vectors (K, D) whose largest number is positive, so that every machine gives the same."""
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    return vectors * largest.sign()
