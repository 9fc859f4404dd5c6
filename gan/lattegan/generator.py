"""The generator of LatteGAN (arXiv:2112.13985): the next image of a dialogue from its instruction and the last image.

Must match smatsumori/LatteGAN ``src/modules/propv1`` (``image_encoder.py``, ``generator.py``; parity kind
``lattegan``). :class:`MultiScaleGenerator` is its variant with a gate at every resolution (TIDG). A condition that is
no Gaussian (``cond_kl_reg: 0``) is not carried: the public code fails with it.

Shape letters: B dialogues, L words, D size of the text's embeddings, K size of a condition, Z of the noise, C channels
of an image's map, R height and width of the images.
"""

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor, nn

from config import Deferred
from config.limits import Depth, Width
from gan.lattegan.attention import MultiHeadAttention
from gan.lattegan.fusion import ScaleGate
from gan.lattegan.layers import (
    ConditioningAugmentation,
    DownBlock,
    Instructions,
    LatteganError,
    Norm,
    UpBlock,
    check_instructions,
    convolution,
    linear,
    normalised,
)

Resolution = Literal[64, 128, 256]
Fusion = Annotated[
    Callable[..., nn.Module], Deferred("image_dim", "text_dim", "word_dim", "positions", "norm", "spectral")
]


class GeneratedTurn(NamedTuple):
    """Keep the output of a generator."""

    images: Tensor  # (B, 3, R, R) in [-1, 1]
    gate: Tensor | None  # (B, C or 1, R / 8, R / 8) in 0-1, open where nothing changes; None where there is none
    mean: Tensor  # (B, K) of the condition given the sentence
    log_variance: Tensor  # (B, K)


class ImageEncoder(nn.Module):
    """Turn the previous image into a map of an eighth of its resolution.

    Args:
        image_dim: C (``image_feat_dim``).
        width: channels of the first block, half of those of the second.
        norm: which norm stands in the blocks; of instance norm nothing is learned.
        spectral: with spectral norm.
    """

    def __init__(
        self, image_dim: Width = 512, width: Width = 64, norm: Norm = "instance", spectral: bool = True
    ) -> None:
        super().__init__()
        self.image_dim = image_dim
        self.blocks = nn.Sequential(
            DownBlock(3, width, spectral, norm, first=True),
            DownBlock(width, 2 * width, spectral, norm),
            DownBlock(2 * width, image_dim, spectral, norm),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, C, R / 8, R / 8) of images (B, 3, R, R) in [-1, 1]."""
        return self.blocks(images)


class MultiScaleImageEncoder(nn.Module):
    """Turn the previous image into maps of half its resolution, a quarter and so on.

    Args:
        image_dim: channels of the coarsest map; each finer one has half as many, from ``width`` on.
        width: channels of the finest map.
        depth: number of maps.
        norm: which norm stands in the blocks.
        spectral: with spectral norm.

    Raises:
        LatteganError: channels that double from ``width`` on do not reach ``image_dim`` in so many maps.
    """

    def __init__(
        self,
        image_dim: Width = 512,
        width: Width = 64,
        depth: Depth = 4,
        norm: Norm = "instance",
        spectral: bool = True,
    ) -> None:
        super().__init__()
        widths = [min(width * 2**stage, image_dim) for stage in range(depth)]
        if widths[-1] != image_dim:
            raise LatteganError(f"{depth} maps have {widths} channels; expected {image_dim} in the last")
        self.image_dim = image_dim
        self.blocks = nn.ModuleList(
            DownBlock(before, after, spectral, norm, first=not stage)
            for stage, (before, after) in enumerate(zip([3, *widths], widths, strict=False))
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return maps (B, C, R / 2, R / 2), (B, C, R / 4, R / 4) ... of images (B, 3, R, R) in [-1, 1]."""
        maps = []
        for block in self.blocks:
            images = block(images)
            maps.append(images)
        return maps


class _Generator(nn.Module):
    """What both generators share: noise and a sentence's condition make the first map."""

    def __init__(
        self, text_dim: int, condition_dim: int, noise_dim: int, channels: int, first: int, spectral: bool
    ) -> None:
        super().__init__()
        self.text_dim, self.condition_dim, self.noise_dim, self.first = text_dim, condition_dim, noise_dim, first
        self.augmentation = ConditioningAugmentation(text_dim, condition_dim, spectral)
        self.fc = linear(condition_dim + noise_dim, channels * first**2, spectral)

    @property
    def mixed_masks(self) -> bool:
        """Tell whether words are masked as the public code does in batches; may be set."""
        return any(part.mixed_masks for part in self.modules() if isinstance(part, MultiHeadAttention))

    @mixed_masks.setter
    def mixed_masks(self, mixed: bool) -> None:
        """Choose whether words are masked as the public code does."""
        for part in self.modules():
            if isinstance(part, MultiHeadAttention):
                part.mixed_masks = mixed

    def _begin(
        self, noise: Tensor, instructions: Instructions, variation: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the first map (B, channels, first, first), mean and log-variance, after checking the inputs."""
        batch = len(noise)
        if noise.shape != (batch, self.noise_dim):
            raise LatteganError(f"found noise {tuple(noise.shape)}, expected (B, {self.noise_dim})")
        check_instructions(instructions, batch, self.text_dim)
        mean, log_variance = self.augmentation(instructions.sentences)
        variation = torch.randn_like(mean) if variation is None else variation
        if variation.shape != mean.shape:
            raise LatteganError(f"found variation {tuple(variation.shape)}, expected {tuple(mean.shape)}")
        codes = torch.cat((noise, mean + variation * (log_variance / 2).exp()), dim=1)
        return self.fc(codes).unflatten(1, (-1, self.first, self.first)), mean, log_variance


class LatteganGenerator(_Generator):
    """Generate the next image of dialogues.

    Args:
        text_dim: D; given by the task.
        fusion: how the instruction's map and the previous image's come together.
        image_dim: C, of the image encoder.
        width: channels of the last block; earlier ones have up to 16 times as many.
        condition_dim: K (``condaug_out_dim``).
        noise_dim: Z.
        resolution: R, in pixels.
        norm: which norm stands in the blocks (``generator_norm``).
        spectral: with spectral norm (``generator_sn``).
    """

    def __init__(
        self,
        text_dim: Width,
        fusion: Fusion,
        image_dim: Width = 512,
        width: Width = 64,
        condition_dim: Width = 256,
        noise_dim: Width = 100,
        resolution: Resolution = 128,
        norm: Norm = "instance",
        spectral: bool = True,
    ) -> None:
        super().__init__(text_dim, condition_dim, noise_dim, 16 * width, resolution // 32, spectral)
        self.resolution, self.image_dim = resolution, image_dim

        def up(channels: int, out_channels: int) -> UpBlock:
            return UpBlock(channels, out_channels, spectral, norm, text_dim)

        self.text = nn.ModuleList((up(16 * width, 16 * width), up(16 * width, 8 * width)))
        self.fusion = fusion(
            image_dim=image_dim,
            text_dim=8 * width,
            word_dim=text_dim,
            positions=resolution // 8,
            norm=norm,
            spectral=spectral,
        )
        self.image = nn.ModuleList(
            (up(self.fusion.out_channels, 4 * width), up(4 * width, 2 * width), up(2 * width, width))
        )
        self.last = nn.Sequential(*normalised(width, norm), convolution(width, 3, 3, spectral), nn.Tanh())

    def forward(
        self, noise: Tensor, instructions: Instructions, image_maps: Tensor, variation: Tensor | None = None
    ) -> GeneratedTurn:
        """Generate images.

        Args:
            noise: (B, Z), standard normal.
            instructions: encoded, of B dialogues.
            image_maps: (B, C, R / 8, R / 8) of the previous images.
            variation: (B, K), standard normal: where in its Gaussian each condition lies. Drawn when None, in
                evaluation too, as published; zeros give the mean.

        Raises:
            LatteganError: a size does not fit, or an instruction has no word.
        """
        expected = (len(noise), self.image_dim, self.resolution // 8, self.resolution // 8)
        if image_maps.shape != expected:
            raise LatteganError(f"found maps of images {tuple(image_maps.shape)}, expected {expected}")
        maps, mean, log_variance = self._begin(noise, instructions, variation)
        for block in self.text:
            maps = block(maps, instructions.sentences)
        maps, gate = self.fusion(image_maps, maps, instructions)
        for block in self.image:
            maps = block(maps, instructions.sentences)
        return GeneratedTurn(self.last(maps), gate, mean, log_variance)


class MultiScaleGenerator(_Generator):
    """Generate the next image of dialogues, with a gate at every resolution behind the fusion.

    Args: as of :class:`LatteganGenerator`, and

        fusion_resolution: pixels of the maps that the fusion brings together, R / 16 or more; the image encoder has
            as many halvings.
        channel_gate: the further gates are of each channel.
        mask_residual: the further gates mask what comes from below.

    Raises:
        LatteganError: the fusion has no such resolution.
    """

    def __init__(
        self,
        text_dim: Width,
        fusion: Fusion,
        image_dim: Width = 512,
        width: Width = 64,
        condition_dim: Width = 256,
        noise_dim: Width = 100,
        resolution: Resolution = 128,
        fusion_resolution: Literal[4, 8, 16, 32, 64] = 8,
        norm: Norm = "instance",
        spectral: bool = True,
        channel_gate: bool = True,
        mask_residual: bool = True,
    ) -> None:
        first = resolution // 32
        super().__init__(text_dim, condition_dim, noise_dim, 16 * width, first, spectral)
        if not 2 * first <= fusion_resolution <= resolution // 2:
            raise LatteganError(
                f"fusion_resolution is {fusion_resolution}, expected {2 * first} to {resolution // 2} of images of "
                f"{resolution} pixels"
            )
        self.resolution, self.image_dim = resolution, image_dim

        def up(channels: int, out_channels: int) -> UpBlock:
            return UpBlock(channels, out_channels, spectral, norm, text_dim)

        channels, pixels = 8 * width, 2 * first
        self.text = nn.ModuleList((up(16 * width, channels),))
        while pixels < fusion_resolution:
            self.text.append(up(channels, channels // 2))
            channels, pixels = channels // 2, pixels * 2
        self.fusion = fusion(
            image_dim=image_dim,
            text_dim=channels,
            word_dim=text_dim,
            positions=fusion_resolution,
            norm=norm,
            spectral=spectral,
        )
        before, channels = self.fusion.out_channels, channels // 2
        self.image, self.gates = nn.ModuleList(), nn.ModuleList()
        while pixels < resolution // 2:
            self.image.append(up(before, channels))
            self.gates.append(ScaleGate(channels, text_dim, norm, spectral, channel_gate, mask_residual))
            before, channels, pixels = channels, channels // 2, pixels * 2
        self.image.append(up(before, channels))
        self.last = nn.Sequential(*normalised(channels, norm), convolution(channels, 3, 3, spectral), nn.Tanh())

    def forward(
        self, noise: Tensor, instructions: Instructions, image_maps: list[Tensor], variation: Tensor | None = None
    ) -> GeneratedTurn:
        """Generate images, as :meth:`LatteganGenerator.forward`, of maps of every resolution, the finest first.

        Raises LatteganError where a size does not fit, there are more or fewer maps, or an instruction has no word.
        """
        if len(image_maps) != len(self.gates) + 1:
            raise LatteganError(f"found {len(image_maps)} maps of an image, expected {len(self.gates) + 1}")
        maps, mean, log_variance = self._begin(noise, instructions, variation)
        for block in self.text:
            maps = block(maps, instructions.sentences)
        *finer, coarsest = image_maps
        maps, gate = self.fusion(coarsest, maps, instructions)
        for block, scale_gate, image in zip(self.image, self.gates, reversed(finer), strict=False):
            maps, _ = scale_gate(image, block(maps, instructions.sentences), instructions.sentences)
        maps = self.image[-1](maps, instructions.sentences)
        return GeneratedTurn(self.last(maps), gate, mean, log_variance)
