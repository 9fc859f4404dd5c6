"""Pictures of scenes by ray casting in batched torch, the same code on CPU and GPU.

All objects of a batch are intersected at once, as flat lists of (ray, object) pairs: an object is tried only by the
pixels inside the rectangle that holds it, a shadow only by the pixels inside the rectangle that holds the object and
its shadow. Every pixel is shaded once; those on an edge are shaded again with several rays.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from datasets.world.intersect import CUBE, Table, lit, nearest, pack
from datasets.world.scenes import HALF_VIEW, Scene, SceneError
from datasets.world.shading import LIGHT_RADIUS, Surface, shade, tone

_RAYS = {"cpu": 2**16, "cuda": 2**22}  # pixels at a time: they stay in the cache of a core, and fill a GPU
_EDGE = 0.05  # smallest difference of neighbouring pixels (0-1) that gets more rays


class Rendering(NamedTuple):
    """Pictures of B scenes and what can be seen where.

    Attributes:
        image: (B, H, W, 3) uint8 RGB.
        instances: (B, H, W) int16: 0 is the background, k the k-th object of the scene, counted from 1.
    """

    image: Tensor
    instances: Tensor


def render(
    scenes: list[Scene], size: int | tuple[int, int] = 128, device: str = "cpu", antialias: int = 2
) -> Rendering:
    """Render scenes.

    Args:
        scenes: B scenes with any numbers of objects.
        size: Side of the square pictures, or (height, width), in pixels; the height sees the same angle at any width.
        device: Where to compute; the result stays there.
        antialias: Rays per side of a pixel that lies on an edge; 1 means one ray for every pixel.

    Returns:
        Pictures and instance masks.

    Raises:
        SceneError: If there is no scene, or size or antialias is not positive.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise SceneError(f"size={size}; expected a positive number of pixels, or (height, width)")
    if antialias < 1:
        raise SceneError(f"antialias={antialias}; expected at least 1 ray per side of a pixel")
    if not scenes:
        raise SceneError("there is no scene to render; pass at least one")
    chunk = max(1, _RAYS["cpu" if torch.device(device).type == "cpu" else "cuda"] // (height * width))
    with torch.inference_mode():
        parts = [_Frame(scenes[i : i + chunk], height, width, device) for i in range(0, len(scenes), chunk)]
        pictures = [part.picture(antialias) for part in parts]
    return Rendering(*(torch.cat(tensors) for tensors in zip(*pictures, strict=True)))


class _Frame:
    """A chunk of scenes that is rendered at once.

    Pixels are numbered p = (b * H + row) * W + column.
    """

    def __init__(self, scenes: list[Scene], height: int, width: int, device: str) -> None:
        self.shape = (len(scenes), height, width)
        self.slots = max(1, *(len(scene.objects) for scene in scenes))
        self.table = pack(scenes, self.slots, device)
        self.device = device
        self.objects = self._near(_corners(self.table, self.slots))
        self.shadows = self._near(_shadow_corners(self.table, self.slots))

    def picture(self, antialias: int) -> tuple[Tensor, Tensor]:
        """Return uint8 pictures (B, H, W, 3) and int16 instances (B, H, W)."""
        B, H, W = self.shape
        every = torch.arange(B * H * W, device=self.device)
        colour, instance = self._cast(every, 0.5, 0.5, self.objects, self.shadows)
        if antialias > 1:
            edge = _edges(colour.view(3, B, H, W), instance.view(B, H, W))
            if len(edge):
                pairs = self.objects[:, edge], self.shadows[:, edge]
                steps = [(k + 0.5) / antialias for k in range(antialias)]
                rays = [self._cast(edge, dx, dy, *pairs)[0] for dy in steps for dx in steps]
                colour[:, edge] = sum(rays) / len(rays)
        image = (colour * 255 + 0.5).to(torch.uint8).view(3, B, H, W).permute(1, 2, 3, 0).contiguous()
        return image, instance.to(torch.int16).view(B, H, W)

    def _near(self, corners: Tensor) -> Tensor:
        """Which pixels may see the hulls of corners (3, C, B, K): a mask (K, B * H * W)."""
        B, H, W = self.shape
        x, y, depth = _to_picture(self.table, corners, H, W)
        every = (depth < 0.1).any(0)[..., None]  # a corner beside or behind the camera has no place in the picture
        column = torch.arange(W, device=self.device)
        row = torch.arange(H, device=self.device)
        columns = ((column + 2 > x.amin(0)[..., None]) & (column - 1 < x.amax(0)[..., None])) | every
        rows = ((row + 2 > y.amin(0)[..., None]) & (row - 1 < y.amax(0)[..., None])) | every
        real = (self.table.kind >= 0).view(B, self.slots, 1, 1)
        mask = rows[..., :, None] & columns[..., None, :] & real
        return mask.transpose(0, 1).reshape(self.slots, B * H * W)

    def _pairs(self, mask: Tensor, scene: Tensor) -> list[tuple[Tensor, Tensor]]:
        """List for each slot the marked rays, and the objects (into the table) that they may meet."""
        rays = [row.nonzero()[:, 0] for row in mask]
        return [(ray, scene[ray] * self.slots + slot) for slot, ray in enumerate(rays)]

    def _cast(self, pixel: Tensor, dx: float, dy: float, objects: Tensor, shadows: Tensor) -> tuple[Tensor, Tensor]:
        """Shade one ray through (dx, dy) of each pixel (R,): colours (3, R) in 0-1 and instances (R,)."""
        _, H, W = self.shape
        scene = torch.div(pixel, H * W, rounding_mode="floor")
        inside = pixel - scene * (H * W)
        row = torch.div(inside, W, rounding_mode="floor")
        across = ((inside - row * W).float() + (dx - 0.5 * W)) * (2 * HALF_VIEW / H)
        above = (row.float() + (dy - 0.5 * H)) * (-2 * HALF_VIEW / H)
        right, up, ahead = (axis[:, scene] for axis in self.table.axes.unbind(1))
        direction = ahead + across * right + above * up
        eye = self.table.eye[:, scene]
        ground = -eye[2] / direction[2].clamp_max(-1e-3)
        distance, item = nearest(self.table, self._pairs(objects, scene), eye, direction, ground)
        surface = Surface(scene, eye + distance * direction, direction, item)
        key = self.table.key[:, scene]
        light = lit(self.table, self._pairs(shadows, scene), surface.position, key, item, LIGHT_RADIUS)
        colour = shade(self.table, self.slots, surface, light)
        vignette = 1.0 - 0.3 * (across * across + above * above) / (2 * HALF_VIEW**2)
        return tone(colour * vignette), torch.where(item >= 0, item - scene * self.slots + 1, 0)


def _corners(table: Table, slots: int) -> Tensor:
    """Corners (3, 8, B, K) of boxes that hold the objects."""
    cube = table.half * torch.where(table.kind == CUBE, 2**0.5, 1.0)
    reach = torch.stack((cube, cube, table.half))
    signs = torch.tensor([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)], device=reach.device)
    corners = table.centre[:, None] + signs.T[:, :, None] * reach[:, None]
    return corners.view(3, 8, -1, slots)


def _shadow_corners(table: Table, slots: int) -> Tensor:
    """Corners (3, 16, B, K) of hulls that hold the objects and their shadows on the ground, penumbra included."""
    corners = _corners(table._replace(half=table.half * 1.25), slots)
    key = table.key[:, None, :, None]
    fall = (key[2:] / (key[2:] - corners[2:]).clamp_min(0.5)).clamp_min(1.0)
    return torch.cat((corners, key + fall * (corners - key)), 1)


def _to_picture(table: Table, points: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Project points (3, C, B, K): column, row and depth (C, B, K)."""
    away = points - table.eye[:, None, :, None]
    across, above, depth = ((axis[:, None, :, None] * away).sum(0) for axis in table.axes.unbind(1))
    scale = height / (2 * HALF_VIEW * depth.clamp_min(0.1))
    return 0.5 * width + across * scale, 0.5 * height - above * scale, depth


def _edges(colour: Tensor, instance: Tensor) -> Tensor:
    """Find pixels that differ from a neighbour: colours (3, B, H, W), instances (B, H, W) to pixel numbers (E,)."""
    edge = torch.zeros_like(instance, dtype=torch.bool)
    for axis in (1, 2):
        count = instance.shape[axis] - 1
        one, two = (slice(None),) * axis + (slice(0, count),), (slice(None),) * axis + (slice(1, None),)
        step = (colour[(slice(None), *two)] - colour[(slice(None), *one)]).abs().amax(0) > _EDGE
        step |= instance[one] != instance[two]
        edge[one] |= step
        edge[two] |= step
    return edge.flatten().nonzero()[:, 0]
