"""Random changes to what a discriminator sees, through which gradients reach the generator.

DiffAugment (arXiv:2006.10738): real and generated images are changed alike before every discriminator, so that it
cannot learn single training images by heart. Shape letters: B images, R their height and width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from config.limits import Chance

DRAWS = 7  # random numbers of an image


@dataclass(frozen=True)
class DiffAugment:
    """Changes and how strong they are; 0 leaves one out.

    Attributes:
        translation: largest shift in each direction, a share of R; what moves in is black (0).
        cutout: edge of the square that is made black, a share of R.
        brightness: width of the range of what is added to all channels of an image.
        contrast: factors of the distance from an image's mean lie between 1 - contrast and 1 + contrast.
        saturation: factors of the distance from grey lie between 1 - saturation and 1 + saturation. Words of colours
            bear only little of it.
    """

    translation: Chance = 0.125
    cutout: Chance = 0.5
    brightness: Chance = 0.0
    contrast: Chance = 0.0
    saturation: Chance = 0.0

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Change images (B, 3, R, R) in [-1, 1], each as its ``draws`` (B, DRAWS), uniform in 0-1, say."""
        images = self._coloured(images, draws[:, :3])
        if self.translation:
            images = self._shifted(images, draws[:, 3:5])
        if self.cutout:
            images = images * self._kept(images, draws[:, 5:7])
        return images

    def _coloured(self, images: Tensor, draws: Tensor) -> Tensor:
        """Change brightness, saturation and contrast by ``draws`` (B, 3), uniform in 0-1."""
        brightness, saturation, contrast = draws.to(images.dtype)[:, :, None, None, None].unbind(1)
        if self.brightness:
            images = images + self.brightness * (brightness - 0.5)
        if self.saturation:
            grey = images.mean(1, keepdim=True)
            images = grey + (images - grey) * (1 + self.saturation * (2 * saturation - 1))
        if self.contrast:
            mean = images.mean((1, 2, 3), keepdim=True)
            images = mean + (images - mean) * (1 + self.contrast * (2 * contrast - 1))
        return images

    def _shifted(self, images: Tensor, draws: Tensor) -> Tensor:
        """Move each image by up to ``translation`` of its size."""
        size = images.shape[-1]
        most = round(self.translation * size)
        offsets = (draws * (2 * most + 1)).long()  # 0 to 2 * most
        padded = F.pad(images, (most,) * 4)
        steps = torch.arange(size, device=images.device)
        rows, columns = offsets[:, :1] + steps, offsets[:, 1:] + steps
        batch = torch.arange(len(images), device=images.device)[:, None, None]
        return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)

    def _kept(self, images: Tensor, draws: Tensor) -> Tensor:
        """Return 1 where an image stays and 0 in its square, (B, 1, R, R); the square may stick out."""
        size = images.shape[-1]
        edge = round(self.cutout * size)
        first = (draws * size).long() - edge // 2
        steps = torch.arange(size, device=images.device)
        inside = (steps >= first[:, :, None]) & (steps < first[:, :, None] + edge)  # (B, 2, R)
        cut = inside[:, 0, :, None] & inside[:, 1, None, :]
        return (~cut)[:, None].to(images.dtype)
