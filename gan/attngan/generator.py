"""The generators of AttnGAN (arXiv:1711.10485): three stages with an image each, or one image at the end.

Must match taoxugit/AttnGAN ``code/model.py`` (``G_NET``, ``G_DCGAN``; parity kinds ``attngan``, ``attngan_dcgan``).

Shape letters: B captions, L words, D size of embeddings, K size of a condition, Z size of the noise, C channels,
H, W height and width of a map, R of an image.
"""

from itertools import pairwise
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from common.errors import UserError
from config.limits import Width
from gan.attngan.attention import WordAttention

FIRST_RESOLUTION = 4  # of the first map


class AttnganError(UserError, ValueError):
    """A generator that cannot be made, or a call that does not fit it."""


class GeneratedBatch(NamedTuple):
    """Keep the output of a generator."""

    images: list[Tensor]  # (B, 3, R, R) in [-1, 1] of each stage that has an image, the smallest first
    attention: list[Tensor]  # (B, L, R / 2, R / 2) weights of the words of each later stage
    mean: Tensor  # (B, K) of the condition given the sentence
    log_variance: Tensor  # (B, K)


def gated(channels: int, out_channels: int, upsample: bool = False) -> nn.Sequential:
    """Return convolution, batch norm and gated linear unit, on maps that are upsampled first (``double``) or kept.

    The convolution makes twice as many channels as come out: one half opens the other.
    """
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest") if upsample else nn.Identity(),
        nn.Conv2d(channels, 2 * out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(2 * out_channels),
        nn.GLU(dim=1),
    )


class Residual(nn.Module):
    """Add two convolutions to the identity, of C channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            *gated(channels, channels)[1:], nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        """Add what the convolutions make of (B, C, H, W) to it."""
        return maps + self.block(maps)


class ConditioningAugmentation(nn.Module):
    """Draw a condition (K) from a Gaussian that follows from the sentence (D), arXiv:1612.03242 section 3.2."""

    def __init__(self, sentence_dim: int, condition_dim: int) -> None:
        super().__init__()
        self.fc = nn.Linear(sentence_dim, 4 * condition_dim)

    def forward(self, sentences: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (B, K) each, given (B, D)."""
        mean, log_variance = F.glu(self.fc(sentences), dim=1).chunk(2, dim=1)
        return mean, log_variance


class FirstStage(nn.Module):
    """Make the first stage's map from noise and condition, K + Z numbers, in ``doublings`` steps.

    The result has ``width`` channels, the first map of 4 x 4 twice as many for each doubling.
    """

    def __init__(self, in_dim: int, width: int, doublings: int) -> None:
        super().__init__()
        widths = [width * 2**power for power in range(doublings, -1, -1)]
        features = 2 * widths[0] * FIRST_RESOLUTION**2
        self.fc = nn.Sequential(nn.Linear(in_dim, features, bias=False), nn.BatchNorm1d(features), nn.GLU(dim=1))
        self.blocks = nn.Sequential(*(gated(a, b, upsample=True) for a, b in pairwise(widths)))

    def forward(self, codes: Tensor) -> Tensor:
        """Turn (B, K + Z) into (B, width, H, W)."""
        return self.blocks(self.fc(codes).view(codes.shape[0], -1, FIRST_RESOLUTION, FIRST_RESOLUTION))


class NextStage(nn.Module):
    """Attend to the words, refine by residual blocks, and upsample, with C = ``width`` channels in and out."""

    def __init__(self, width: int, word_dim: int, residuals: int, mixed_masks: bool) -> None:
        super().__init__()
        self.attention = WordAttention(width, word_dim, mixed_masks)
        self.residual = nn.Sequential(*(Residual(2 * width) for _ in range(residuals)))
        self.upsample = gated(2 * width, width, upsample=True)

    def forward(self, maps: Tensor, words: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        """Turn (B, C, H, W) into (B, C, 2H, 2W) and the words' weights (B, L, H, W)."""
        context, weights = self.attention(maps, words, padding)
        return self.upsample(self.residual(torch.cat((maps, context), dim=1))), weights


class AttnganGenerator(nn.Module):
    """Generate images from the embeddings of words and sentences.

    Args:
        width: channels of the maps that become images (GF_DIM): 32 for birds, 48 for COCO.
        embedding_dim: D, of words and sentences.
        condition_dim: K.
        noise_dim: Z.
        residuals: residual blocks of each later stage (R_NUM): 2 for birds, 3 for COCO, 0 in the DCGAN variant.
        stages: 1 to 3 as published, of 64, 128 and 256 pixels.
        first_resolution: pixels of the first stage (BASE_SIZE), 64 as published; each later stage has twice as many.
        every_stage: each stage has an image; otherwise only the last, as in the DCGAN variant.
        mixed_masks: mask words as the public code does in batches (:class:`gan.attngan.attention.WordAttention`).
    """

    def __init__(
        self,
        width: Width = 32,
        embedding_dim: Width = 256,
        condition_dim: Width = 100,
        noise_dim: Width = 100,
        residuals: Annotated[int, Field(ge=0, le=256)] = 2,
        stages: Annotated[int, Field(gt=0, le=6)] = 3,
        every_stage: bool = True,
        mixed_masks: bool = False,
        first_resolution: Literal[8, 16, 32, 64, 128] = 64,
    ) -> None:
        super().__init__()
        self.first_resolution = first_resolution
        self.noise_dim, self.condition_dim, self.embedding_dim = noise_dim, condition_dim, embedding_dim
        self.augmentation = ConditioningAugmentation(embedding_dim, condition_dim)
        doublings = (first_resolution // FIRST_RESOLUTION).bit_length() - 1
        self.first = FirstStage(condition_dim + noise_dim, width, doublings)
        self.next = nn.ModuleList(
            NextStage(width, embedding_dim, residuals, mixed_masks) for _ in range(stages - 1)
        )  # fmt: skip
        self.images = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, 3, 3, padding=1, bias=False), nn.Tanh())
            for _ in range(stages if every_stage else 1)
        )

    @property
    def mixed_masks(self) -> bool:
        """Return whether all stages mask words as the public code does in batches; may be set."""
        return any(stage.attention.mixed_masks for stage in self.next)

    @mixed_masks.setter
    def mixed_masks(self, mixed: bool) -> None:
        """Choose whether all stages mask words as the public code does."""
        for stage in self.next:
            stage.attention.mixed_masks = mixed

    @property
    def resolutions(self) -> list[int]:
        """Return the height and width of the images in pixels, the smallest first."""
        stages = 1 + len(self.next)
        return [self.first_resolution * 2**stage for stage in range(stages - len(self.images), stages)]

    def forward(
        self, noise: Tensor, sentences: Tensor, words: Tensor, padding: Tensor, variation: Tensor | None = None
    ) -> GeneratedBatch:
        """Generate images.

        Args:
            noise: (B, Z), standard normal.
            sentences: (B, D).
            words: (B, D, L).
            padding: (B, L) bool, true where there is no word.
            variation: (B, K), standard normal: where in its Gaussian each condition lies. Drawn when None, in
                evaluation too, as published; zeros give the mean.

        Raises:
            AttnganError: a size does not fit, or a caption has no word.
        """
        check_inputs(self, noise, sentences, words, padding, variation)
        mean, log_variance = self.augmentation(sentences)
        variation = torch.randn_like(mean) if variation is None else variation
        condition = mean + variation * (log_variance / 2).exp()
        maps = [self.first(torch.cat((condition, noise), dim=1))]
        attention = []
        for stage in self.next:
            made, weights = stage(maps[-1], words, padding)
            maps.append(made)
            attention.append(weights)
        own = maps[len(maps) - len(self.images) :]
        images = [head(one) for head, one in zip(self.images, own, strict=True)]
        return GeneratedBatch(images, attention, mean, log_variance)


def check_inputs(
    generator: nn.Module, noise: Tensor, sentences: Tensor, words: Tensor, padding: Tensor, variation: Tensor | None
) -> None:
    """Raise an AttnganError for inputs of other sizes than a generator's, and captions without words."""
    if padding.dim() != 2 or padding.all(dim=1).any():
        raise AttnganError(f"found padding {tuple(padding.shape)}, expected (B, L) with a word in each caption")
    batch, length = padding.shape
    if variation is not None and variation.shape != (batch, generator.condition_dim):
        raise AttnganError(f"found variation {tuple(variation.shape)}, expected ({batch}, {generator.condition_dim})")
    found = [tuple(one.shape) for one in (noise, sentences, words)]
    dim = generator.embedding_dim
    expected = [(batch, generator.noise_dim), (batch, dim), (batch, dim, length)]
    if found != expected:
        raise AttnganError(
            f"found noise {found[0]}, sentences {found[1]} and words {found[2]} with padding ({batch}, {length}); "
            f"expected {expected[0]}, {expected[1]} and {expected[2]}"
        )
