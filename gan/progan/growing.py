"""The Progressive GAN while it grows: both networks with what each resolution needs, faded in by ``alpha``.

"Progressive Growing of GANs", arXiv:1710.10196 (sections 2 to 4.1, appendix A.1): equalised learning rates, pixel norm
in the generator, the standard deviation within a minibatch shown to the discriminator, new layers faded in. Stage k
works at 4 * 2^k pixels.

Shape letters: B batch, C channels, R height and width of the image.
"""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from config.limits import Width
from gan.progan.generator import FIRST_RESOLUTION, SLOPE, OutputBlock, ProganError, ProganGenerator, ScaledConv


def blend(coarse: Tensor, fine: Tensor, alpha: float) -> Tensor:
    """Fade from upsampled ``coarse`` to ``fine`` as alpha goes to 1: arXiv:1710.10196, section 2.

    ``coarse`` are images or maps (B, C, H/2, W/2), upsampled by repeating pixels, and ``fine`` those of (B, C, H, W).
    """
    return torch.lerp(F.interpolate(coarse, scale_factor=2, mode="nearest"), fine, alpha)


class GrowingGenerator(nn.Module):
    """Train a generator resolution by resolution: it also keeps the RGB outputs of the lower ones.

    ``grown`` is the fully grown generator, whose blocks are used from the start, ``early_outputs`` are the RGB outputs
    of every resolution but the last, and ``reached`` (2,) is the stage and alpha that training has come to.

    Args:
        latent_dim: numbers in a latent.
        widths: channels at 4, 8, 16 ... pixels.
    """

    def __init__(self, latent_dim: Width, widths: Annotated[list[Width], Field(min_length=1, max_length=20)]) -> None:
        super().__init__()
        self.grown = ProganGenerator(latent_dim, widths)
        self.early_outputs = nn.ModuleList(OutputBlock(width) for width in widths[:-1])
        self.register_buffer("reached", torch.tensor([0.0, 1.0], dtype=torch.float64))

    def reach(self, stage: int, alpha: float) -> None:
        """Remember, with the weights, how far the generator has grown: the stage, and its share alpha of 0 to 1."""
        self.reached.copy_(torch.tensor([stage, alpha], dtype=torch.float64))

    def generate(self, latents: Tensor) -> Tensor:
        """Generate images (B, 3, R, R), roughly in [-1, 1], at the stage and alpha that were reached.

        Latents (B, latent_dim) are standard normal.
        """
        stage, alpha = self.reached.tolist()
        return self(latents, int(stage), alpha)

    def _output(self, stage: int) -> nn.Module:
        return self.grown.output if stage == len(self.early_outputs) else self.early_outputs[stage]

    def forward(self, latents: Tensor, stage: int, alpha: float = 1.0) -> Tensor:
        """Generate images (B, 3, R, R) of R = 4 * 2^stage pixels from latents (B, latent_dim).

        ``alpha`` 1 is the stage alone, 0 the upsampled images of the one below.
        """
        maps = self.grown.as_maps(latents)
        for number in range(1, 2 * stage + 1):
            maps = self.grown.get_submodule(f"layer{number}")(maps)
        below = maps
        for number in (2 * stage + 1, 2 * stage + 2):
            maps = self.grown.get_submodule(f"layer{number}")(maps)
        image = self._output(stage)(maps)
        if stage == 0 or alpha >= 1:
            return image
        return blend(self._output(stage - 1)(below), image, alpha)

    def export(self, stage: int | None = None) -> ProganGenerator:
        """Return the plain generator of a stage (the last by default), with copies of the weights."""
        widths = self.grown.widths if stage is None else self.grown.widths[: stage + 1]
        plain = ProganGenerator(self.grown.latent_dim, widths)
        state = {name: self.grown.state_dict()[name] for name in plain.state_dict() if not name.startswith("output.")}
        state |= {f"output.{name}": value for name, value in self._output(len(widths) - 1).state_dict().items()}
        plain.load_state_dict(state)
        return plain.eval()


def minibatch_std(maps: Tensor, group: int) -> Tensor:
    """Append one channel: the mean standard deviation over the samples of a group (arXiv:1710.10196, section 3).

    ``maps`` (B, C, H, W) become (B, C + 1, H, W). Groups are neighbouring samples, so that processes which share a
    batch in whole groups see what one process sees; the batch is one group where ``group`` does not divide it.
    """
    B, C, H, W = maps.shape
    size = group if B % group == 0 else B
    groups = maps.reshape(B // size, size, C, H, W)
    std = (groups.var(dim=1, correction=0) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    return torch.cat([maps, std.repeat_interleave(size).view(B, 1, 1, 1).expand(B, 1, H, W)], dim=1)


class DiscriminatorBlock(nn.Module):
    """Apply a convolution (left out when ``convolutions`` is 1), and a downsampling one."""

    def __init__(self, in_channels: int, out_channels: int, convolutions: Literal[1, 2]) -> None:
        super().__init__()
        self.conv = ScaledConv(in_channels, in_channels, 3) if convolutions == 2 else None
        self.halve = ScaledConv(in_channels, out_channels, 3, resample="downsample")

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, C, R, R) into (B, O, R / 2, R / 2)."""
        if self.conv is not None:
            maps = F.leaky_relu(self.conv(maps), SLOPE)
        return F.leaky_relu(self.halve(maps), SLOPE)


class ProganDiscriminator(nn.Module):
    """Distinguishes images of any trained resolution from generated ones.

    Args:
        widths: channels at 4, 8, 16 ... pixels.
        group: samples over which the standard deviation is taken.
        convolutions: convolutions per resolution, 2 as published; 1 halves the work.

    Raises:
        ProganError: there are no widths, or a width or ``group`` is below 1.
    """

    def __init__(
        self,
        widths: Annotated[list[Width], Field(min_length=1, max_length=20)],
        group: Annotated[int, Field(gt=0, le=1024)] = 4,
        convolutions: Literal[1, 2] = 2,
    ) -> None:
        super().__init__()
        if not widths or min(widths) < 1 or group < 1:
            raise ProganError(f"widths are {widths} and group {group}; expected positive channels at 4, 8 ... pixels")
        self.group = group
        self.inputs = nn.ModuleList(ScaledConv(3, width, 1) for width in widths)
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(widths[stage], widths[stage - 1], convolutions) for stage in range(1, len(widths))
        )
        self.last = ScaledConv(widths[0] + 1, widths[0], 3)
        self.whole = ScaledConv(widths[0], widths[0], FIRST_RESOLUTION, padding=0)
        self.logit = ScaledConv(widths[0], 1, 1, gain=1.0)

    def forward(self, images: Tensor, stage: int, alpha: float = 1.0) -> Tensor:
        """Score images (B, 3, R, R) of R = 4 * 2^stage pixels: logits (B,), larger for images that look real.

        ``alpha`` 1 is the stage alone, 0 what the stage below makes of the downsampled images. Raises ProganError at
        another resolution.
        """
        resolution = FIRST_RESOLUTION * 2**stage
        if tuple(images.shape[1:]) != (3, resolution, resolution):
            raise ProganError(
                f"found images {tuple(images.shape)}, expected (B, 3, {resolution}, {resolution}) at stage {stage}"
            )
        maps = F.leaky_relu(self.inputs[stage](images), SLOPE)
        for number in range(stage, 0, -1):
            maps = self.blocks[number - 1](maps)
            if number == stage and alpha < 1:
                coarse = F.leaky_relu(self.inputs[stage - 1](F.avg_pool2d(images, 2)), SLOPE)
                maps = torch.lerp(coarse, maps, alpha)
        maps = F.leaky_relu(self.last(minibatch_std(maps, self.group)), SLOPE)
        return self.logit(F.leaky_relu(self.whole(maps), SLOPE)).flatten()
