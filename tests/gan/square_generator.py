"""A tiny generator and segmenter whose dissection is known: label k is that of unit k of "paint", a square."""

import torch
from torch import Tensor, nn

RESOLUTION = 8


class Painter(nn.Module):
    """Latents (B, 4) switch squares on: unit k of ``paint`` (B, 4, 4, 4) is latent k in quarter k of the image."""

    def __init__(self):
        super().__init__()
        self.paint = nn.Identity()
        self.flat = nn.Flatten()
        self.unused = nn.Identity()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, latents: Tensor) -> Tensor:
        maps = torch.zeros(len(latents), 4, 4, 4, device=latents.device)
        for k in range(4):
            row, column = 2 * (k // 2), 2 * (k % 2)
            maps[:, k, row : row + 2, column : column + 2] = latents[:, k, None, None].clamp(min=0)
        maps = self.paint(maps + self.bias)
        self.flat(maps)
        channels = torch.stack([maps[:, 0] + maps[:, 3], maps[:, 1] + maps[:, 3], maps[:, 2]], 1)
        return 2 * nn.functional.interpolate(channels.clamp(0, 1), RESOLUTION) - 1


class Finder:
    """Labels: red, green, blue and yellow, wherever a pixel has them."""

    def __init__(self):
        self.labels = ["red", "green", "blue", "yellow"]
        self.categories = ["colour", "colour", "colour", "mixture"]

    def segment(self, images: Tensor) -> Tensor:
        red, green, blue = (images > -0.5).unbind(1)
        return torch.stack([red & ~green, green & ~red, blue, red & green], 1)
