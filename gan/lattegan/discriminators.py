"""Discriminators of LatteGAN (arXiv:2112.13985): is an image what an instruction makes of the previous one?

Must match smatsumori/LatteGAN ``src/modules/propv1`` (``discriminator.py``, ``stap_discriminator.py``,
``unet_discriminator.py``; parity kinds ``lattegan``, ``lattegan_parts``).

Shape letters: B images, L words, D size of the text's embeddings, C channels, H, W height and width of a map, R of the
images, K classes of objects.
"""

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from config import Deferred
from config.limits import Count, Width
from gan.lattegan.attention import MultiHeadAttention
from gan.lattegan.generator import Resolution
from gan.lattegan.layers import DownBlock, Instructions, LatteganError, UpBlock, check_instructions, convolution, linear

Comparison = Literal["subtract", "concat", "all"]
Match = Annotated[Callable[..., nn.Module], Deferred("image_dim", "text_dim", "spectral")]


class TurnLogits(NamedTuple):
    """Keep what a discriminator says of images."""

    fitting: Tensor  # (B,) that the image is real and what its instruction makes of the previous one
    pixels: Tensor | None  # (B, 1, R, R) that each pixel is real; None where the discriminator has no such logits
    objects: Tensor  # (B, K) that an object of each class was added


class SentenceMatch(nn.Module):
    """Score features by their product with the projected sentence (arXiv:1802.05637).

    Args:
        image_dim: C; given by the discriminator.
        text_dim: D; given by the discriminator.
        spectral: not used: as published this layer has no spectral norm.
    """

    def __init__(self, image_dim: Width, text_dim: Width, spectral: bool = False) -> None:  # noqa: ARG002
        super().__init__()
        self.project = linear(text_dim, image_dim, spectral=False)

    def forward(self, maps: Tensor, instructions: Instructions) -> Tensor:
        """Return scores (B,) of maps (B, C, H, W)."""
        return (maps.sum(dim=(2, 3)) * self.project(instructions.sentences)).sum(dim=1)


class _Gate(nn.Module):
    """Weigh parts (B, N, X) of a whole (B, X), 0-1 each (B, N)."""

    def __init__(self, features: int, spectral: bool) -> None:
        super().__init__()
        self.weigh = linear(2 * features, 1, spectral)

    def forward(self, whole: Tensor, parts: Tensor) -> Tensor:
        both = torch.cat((whole[:, None].expand_as(parts), parts), dim=2)
        return self.weigh(both).squeeze(2).sigmoid()


class WordMatch(nn.Module):
    """Score each word by how well it fits what it finds in the image (source-target attention projection, STAP).

    Args:
        image_dim: C; given by the discriminator.
        text_dim: D; given by the discriminator.
        spectral: given by the discriminator.
        width: size of the space of both.
        heads: of the attention.
        gate: weigh each word given the sentence (``use_gate_for_stap``).
    """

    def __init__(
        self,
        image_dim: Width,
        text_dim: Width,
        spectral: bool = True,
        width: Width = 512,
        heads: Count = 8,
        gate: bool = False,
    ) -> None:
        super().__init__()
        self.query = linear(text_dim, width, spectral)
        self.attention = MultiHeadAttention(width, image_dim, width, heads, spectral)
        self.found = linear(width, width, spectral)
        self.gate = _Gate(text_dim, spectral) if gate else None

    def forward(self, maps: Tensor, instructions: Instructions) -> Tensor:
        """Return scores (B,) of maps (B, C, H, W)."""
        query = self.query(instructions.words)
        found = F.relu(self.found(self.attention(query, maps.flatten(2).transpose(1, 2))))
        scores = (query * found).sum(dim=2)
        if self.gate is not None:
            scores = scores * self.gate(instructions.sentences, instructions.words)
        return scores.masked_fill(instructions.padding, 0).sum(dim=1)


class CoAttention(nn.Module):
    """Score words by what they find in the image, and places of the image by what they find among the words.

    Args: as of :class:`WordMatch` (``use_co_attention``); the public code has 8 heads whatever its config says. The sum
    of all places stands before them as one more.
    """

    def __init__(
        self,
        image_dim: Width,
        text_dim: Width,
        spectral: bool = True,
        width: Width = 512,
        heads: Count = 8,
        gate: bool = False,
    ) -> None:
        super().__init__()
        self.image, self.text = linear(image_dim, width, spectral), linear(text_dim, width, spectral)
        self.image_attention = MultiHeadAttention(width, width, width, heads, spectral)  # of words
        self.text_attention = MultiHeadAttention(width, width, width, heads, spectral)  # of places
        self.in_image, self.in_text = linear(width, width, spectral), linear(width, width, spectral)
        self.image_gate = _Gate(image_dim, spectral) if gate else None
        self.text_gate = _Gate(text_dim, spectral) if gate else None

    def forward(self, maps: Tensor, instructions: Instructions) -> Tensor:
        """Return scores (B,) of maps (B, C, H, W)."""
        places = maps.flatten(2).transpose(1, 2)
        whole = places.sum(dim=1)
        places = torch.cat((whole[:, None], places), dim=1)
        image, text, padding = self.image(places), self.text(instructions.words), instructions.padding
        in_image = F.relu(self.in_image(self.image_attention(text, image)))
        in_text = F.relu(self.in_text(self.text_attention(image, text, padding)))
        of_words, of_places = (text * in_image).sum(dim=2), (image * in_text).sum(dim=2)
        if self.text_gate is not None:
            of_words = of_words * self.text_gate(instructions.sentences, instructions.words)
            of_places = of_places * self.image_gate(whole, places)
        return of_words.masked_fill(padding, 0).sum(dim=1) + of_places.sum(dim=1)


class _Discriminator(nn.Module):
    """What both discriminators share: blocks for either image, blocks for the comparison of the two, heads."""

    def __init__(
        self, text_dim: int, num_objects: int, match: Match, compared: int, width: int, resolution: int, spectral: bool
    ) -> None:
        super().__init__()
        self.text_dim, self.resolution = text_dim, resolution
        self.each = nn.ModuleList(
            (
                DownBlock(3, width, spectral, first=True),
                DownBlock(width, 2 * width, spectral),
                DownBlock(2 * width, 4 * width, spectral),
            )
        )
        self.both = nn.Sequential(
            DownBlock(compared * 4 * width, 8 * width, spectral),
            DownBlock(8 * width, 16 * width, spectral),
            DownBlock(16 * width, 16 * width, spectral, halve=False),
            nn.ReLU(),
        )
        self.logit = linear(16 * width, 1, spectral)
        self.match = match(image_dim=16 * width, text_dim=text_dim, spectral=spectral)
        self.objects = nn.Sequential(
            linear(16 * width, 4 * width, spectral), nn.ReLU(), linear(4 * width, num_objects, spectral)
        )

    def features(self, images: Tensor) -> list[Tensor]:
        """Return what is seen of images (B, 3, R, R) in [-1, 1]: maps (B, C, H, W), the finest first.

        Raises LatteganError for images of another resolution.
        """
        expected = (len(images), 3, self.resolution, self.resolution)
        if images.shape != expected:
            raise LatteganError(f"found images {tuple(images.shape)}; expected {expected}")
        maps = [images]
        for block in self.each:
            maps.append(block(maps[-1]))
        return maps[1:]

    def forward(self, previous: Tensor, images: Tensor, instructions: Instructions) -> TurnLogits:
        """Score images (B, 3, R, R) in [-1, 1], and what became of the previous ones.

        Raises LatteganError where a size does not fit, or an instruction has no word.
        """
        if previous.shape != images.shape:
            raise LatteganError(
                f"found previous images {tuple(previous.shape)} and images {tuple(images.shape)}; expected the same"
            )
        parts = [one.chunk(2) for one in self.features(torch.cat((previous, images)))]
        return self.compare([one[0] for one in parts], [one[1] for one in parts], instructions)

    def _heads(self, compared: Tensor, instructions: Instructions, pixels: Tensor | None) -> TurnLogits:
        """Return logits of what the two images have to do with each other (B, C, H, W)."""
        check_instructions(instructions, len(compared), self.text_dim)
        maps = self.both(compared)
        pooled = maps.sum(dim=(2, 3))
        fitting = self.logit(pooled).squeeze(1) + self.match(maps, instructions)
        return TurnLogits(fitting, pixels, self.objects(pooled))


class LatteganDiscriminator(_Discriminator):
    """Score images given the previous ones and their instructions.

    Args:
        text_dim: D; given by the task.
        num_objects: K; given by the task.
        match: how the text's part of the score is made: :class:`SentenceMatch`, :class:`WordMatch` or
            :class:`CoAttention`.
        comparison: what the maps of both images become (``disc_fusion``): their difference, both, or all three.
        width: channels of the first block; later ones have up to 16 times as many.
        resolution: R, in pixels.
        spectral: with spectral norm (``discriminator_sn``).
    """

    def __init__(
        self,
        text_dim: Width,
        num_objects: Count,
        match: Match = SentenceMatch,
        comparison: Comparison = "subtract",
        width: Width = 64,
        resolution: Resolution = 128,
        spectral: bool = True,
    ) -> None:
        compared = {"subtract": 1, "concat": 2, "all": 3}[comparison]
        super().__init__(text_dim, num_objects, match, compared, width, resolution, spectral)
        self.comparison = comparison

    def compare(
        self,
        previous: list[Tensor],
        images: list[Tensor],
        instructions: Instructions,
        pixels: bool = True,  # noqa: ARG002  of the other discriminator
    ) -> TurnLogits:
        """Score images by their features and those of the previous ones; see :meth:`UnetDiscriminator.compare`."""
        before, after = previous[-1], images[-1]
        parts = {"subtract": (after - before,), "concat": (before, after), "all": (before, after, after - before)}
        return self._heads(torch.cat(parts[self.comparison], dim=1), instructions, None)


class UnetDiscriminator(_Discriminator):
    """Score images given the previous ones and their instructions, and each pixel alone (arXiv:2002.12655).

    As published, it compares by the difference and matches sentences.

    Args:
        text_dim: D; given by the task.
        num_objects: K; given by the task.
        width: channels of the first block; later ones have up to 16 times as many.
        resolution: R, in pixels.
        spectral: with spectral norm (``discriminator_sn``).
    """

    def __init__(
        self,
        text_dim: Width,
        num_objects: Count,
        width: Width = 64,
        resolution: Resolution = 128,
        spectral: bool = True,
    ) -> None:
        super().__init__(text_dim, num_objects, SentenceMatch, 1, width, resolution, spectral)
        self.bottleneck = DownBlock(4 * width, 8 * width, spectral)
        self.up = nn.ModuleList(
            UpBlock(channels * width, out_channels * width, spectral)
            for channels, out_channels in ((8, 4), (8, 2), (4, 1), (2, 1))
        )
        self.pixel = nn.Sequential(nn.ReLU(), convolution(width, 1, 1, spectral))

    def compare(
        self, previous: list[Tensor], images: list[Tensor], instructions: Instructions, pixels: bool = True
    ) -> TurnLogits:
        """Score images by their features and those of the previous ones, as :meth:`features` returns them.

        Pairs that share an image need not look at it twice. Without ``pixels`` there are none of their logits.
        """
        maps = None
        if pixels:
            maps = self.up[0](self.bottleneck(images[-1]))
            for block, finer in zip(self.up[1:], reversed(images), strict=True):
                maps = block(torch.cat((maps, finer), dim=1))
            maps = self.pixel(maps)
        return self._heads(images[-1] - previous[-1], instructions, maps)
