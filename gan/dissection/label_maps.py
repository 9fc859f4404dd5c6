"""Label maps of many images at an eighth of a byte a pixel.

Shape letters: N images, L labels, H, W of a label map, P = H * W pixels.
"""

import torch
from torch import Tensor


class PackedMaps:
    """Keep bool maps (N, L, H, W), one bit a pixel, written image by image; ``size`` is H and W."""

    def __init__(self, images: int, labels: int, size: tuple[int, int], device: torch.device | str = "cpu") -> None:
        self.size = size
        self.pixels = size[0] * size[1]
        self._bits = torch.zeros(images, labels, -(-self.pixels // 8), dtype=torch.uint8, device=device)
        self._shifts = torch.arange(8, dtype=torch.uint8, device=device)

    def __len__(self) -> int:
        return len(self._bits)

    @property
    def device(self) -> torch.device:
        """Return where the bits lie."""
        return self._bits.device

    @property
    def labels(self) -> int:
        """Return L."""
        return self._bits.shape[1]

    def put(self, first: int, maps: Tensor) -> None:
        """Write maps (B, L, H, W) bool as those of the images from ``first`` on."""
        flat = maps.to(self._bits.device).flatten(2)
        flat = torch.nn.functional.pad(flat, (0, self._bits.shape[2] * 8 - self.pixels))
        eights = flat.unflatten(2, (-1, 8)).to(torch.uint8)
        self._bits[first : first + len(maps)] = (eights << self._shifts).sum(3, dtype=torch.uint8)

    def images(self, first: int, last: int) -> Tensor:
        """Return the maps of the images ``first`` to before ``last``, bool (last - first, L, P)."""
        return self._unpacked(self._bits[first:last])

    def label(self, number: int) -> Tensor:
        """Return one label's maps of all images, bool (N, P)."""
        return self._unpacked(self._bits[:, number])

    def present(self) -> Tensor:
        """Return which labels occur in which image, bool (N, L)."""
        return (self._bits != 0).any(2)

    def _unpacked(self, bits: Tensor) -> Tensor:
        return ((bits[..., None] >> self._shifts) & 1).bool().flatten(-2)[..., : self.pixels]
