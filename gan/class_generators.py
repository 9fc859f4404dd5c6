"""What generators of classes have in common: classes beside latents, or inside them, and numbers for logs.

Shape letters: B images, D numbers in a latent, K classes, R height and width of the image.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from common.errors import UserError


class ClassGeneratorError(UserError, ValueError):
    """A class that a generator does not have, or latents that do not fit it."""


class ClassGenerator(Protocol):
    """Generate images of classes, as :class:`gan.biggan.generator.BigganGenerator` and R3GAN's do."""

    latent_dim: int  # D
    num_classes: int  # K
    resolution: int  # R
    layer_names: list[str]

    def __call__(self, latents: Tensor, classes: Tensor) -> Tensor:
        """Return images (B, 3, R, R), about -1 to 1, of latents (B, D) and classes (B,) int64, or embeddings (B, E)."""


class _WithoutClasses(nn.Module):
    """Shares the layers of a generator of classes by their names, so that edits and records of either act on both."""

    def __init__(self, generator: ClassGenerator) -> None:
        super().__init__()
        for name, child in generator.named_children():
            self.add_module(name, child)
        self._generator = (generator,)  # in a tuple, so that torch does not count its layers twice
        self.latent_dim, self.resolution = generator.latent_dim, generator.resolution
        self.layer_names = generator.layer_names
        self.training = generator.training


class OfClass(_WithoutClasses):
    """A generator of one class, called with latents alone, as generators without classes are.

    Args:
        generator: of all classes.
        index: of the class, or the indices of several, which the images of a batch take in turn.

    Raises:
        ClassGeneratorError: the generator has no such class.
    """

    def __init__(self, generator: ClassGenerator, index: int | Sequence[int]) -> None:
        super().__init__(generator)
        indices = [index] if isinstance(index, int) else list(index)
        if not indices or not all(0 <= one < generator.num_classes for one in indices):
            raise ClassGeneratorError(f"found class {index}, expected 0 to {generator.num_classes - 1}")
        self.indices, self.latent_weights = indices, generator.latent_weights

    def forward(self, latents: Tensor) -> Tensor:
        """Generate images (B, 3, R, R), about -1 to 1, from latents (B, D)."""
        table = torch.tensor(self.indices, device=latents.device)
        return self._generator[0](latents, table[torch.arange(len(latents), device=latents.device) % len(table)])


class ClassInLatent(_WithoutClasses):
    """A generator whose latents hold the class: the largest of K further numbers is that of the class.

    The numbers are standard normal like the others, so every class is equally likely, and a latent of the table
    (:mod:`gan.latents`) stands for one image for ever, whatever batch it is in.

    Args:
        generator: of K classes and latents of D numbers; latents here have D + K.
    """

    def __init__(self, generator: ClassGenerator) -> None:
        super().__init__(generator)
        self.own_dim, self.num_classes = generator.latent_dim, generator.num_classes
        self.latent_dim = self.own_dim + self.num_classes

    def split(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return the generator's latents (B, D) and classes (B,) int64 of latents (B, D + K).

        Raises ClassGeneratorError at another size.
        """
        if latents.dim() != 2 or latents.shape[1] != self.latent_dim:
            raise ClassGeneratorError(f"found latents {tuple(latents.shape)}, expected (B, {self.latent_dim})")
        return latents[:, : self.own_dim], latents[:, self.own_dim :].argmax(dim=1)

    def forward(self, latents: Tensor) -> Tensor:
        """Generate images (B, 3, R, R), about -1 to 1, from latents (B, D + K)."""
        return self._generator[0](*self.split(latents))

    @torch.no_grad()
    def latent_weights(self) -> dict[str, Tensor]:
        """Return by layer the matrices (rows, D + K) that multiply the latent there; the classes' columns are 0."""
        own = self._generator[0].latent_weights()
        return {name: nn.functional.pad(matrix, (0, self.num_classes)) for name, matrix in own.items()}


@torch.no_grad()
def largest_singular_values(network: nn.Module) -> dict[str, float]:
    """Return by name the largest singular value of each convolution, linear layer and embedding, as a matrix.

    Frozen layers are left out. Of layers with spectral norm it is the estimate by which the weight is divided
    (``sigma`` of gan.biggan.layers). A value that rises without end foretells collapse (arXiv:1809.11096, 4.1).
    """
    found = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding) and module.weight.requires_grad:
            sigma = getattr(module, "sigma", None)
            value = torch.linalg.matrix_norm(module.weight.float().flatten(1), 2) if sigma is None else sigma
            found[name] = float(value)
    return found
