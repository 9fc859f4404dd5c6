"""Images of scenes by ray casting in batched torch, the same code on CPU and GPU.

All objects of a batch are intersected at once, as flat lists of (ray, object) pairs: an object is tried only by the
pixels inside the rectangle that holds it, a shadow only by the pixels inside the rectangle that holds the object and
its shadow. Every pixel is shaded once; those on an edge are shaded again with several rays.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from datasets.world.render.intersect import CUBE, Table, lit, nearest, pack
from datasets.world.render.shading import LIGHT_RADIUS, Surface, shade, tone
from datasets.world.scene.objects import HALF_VIEW, Scene, SceneError

_RAYS = {"cpu": 2**16, "cuda": 2**22}  # pixels at a time: they stay in the cache of a core, and fill a GPU
_EDGE = 0.05  # smallest difference of neighbouring pixels (0-1) that gets more rays


class Rendering(NamedTuple):
    """Images of B scenes and the objects that each pixel shows."""

    image: Tensor  # (B, H, W, 3) uint8 RGB
    instances: Tensor  # (B, H, W) int16: 0 is the background, k the k-th object of the scene, counted from 1


def render(
    scenes: list[Scene],
    size: int | tuple[int, int] = 128,
    device: str = "cpu",
    antialias: int = 2,
    half_view: float = HALF_VIEW,
) -> Rendering:
    """Render B scenes of ``size``, or (height, width), in pixels; the height sees the same angle at any width.

    ``antialias`` squared rays go through a pixel that lies on an edge; 1 means one ray for every pixel. ``half_view``
    is the tangent of half the angle that the height sees. The result stays on ``device``. Raises SceneError where there
    is no scene, or size or antialias is not positive.
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
        parts = [_Frame(scenes[i : i + chunk], height, width, device, half_view) for i in range(0, len(scenes), chunk)]
        images = [part.trace(antialias) for part in parts]
    return Rendering(*(torch.cat(tensors) for tensors in zip(*images, strict=True)))


class Rays(NamedTuple):
    """R rays from the cameras."""

    scene: Tensor  # (R,) scene of each ray
    eye: Tensor  # (3, R) where it starts
    direction: Tensor  # (3, R), as long as one unit of depth
    key: Tensor  # (3, R) position of the main light
    vignette: Tensor  # (R,) factor that darkens the corners of the image


class _Frame:
    """A chunk of scenes that is rendered at once.

    Pixels are numbered p = (b * H + row) * W + column.
    """

    def __init__(self, scenes: list[Scene], height: int, width: int, device: str, half_view: float) -> None:
        self.shape = (len(scenes), height, width)
        self.half_view = half_view
        self.slots = max(1, *(len(scene.objects) for scene in scenes))
        self.table = pack(scenes, self.slots, device)
        self.device = device
        self.objects = self._near(_corners(self.table, self.slots))
        self.shadows = self._near(_shadow_corners(self.table, self.slots))

    def trace(self, antialias: int) -> tuple[Tensor, Tensor]:
        """Return uint8 images (B, H, W, 3) and int16 instances (B, H, W)."""
        B, H, W = self.shape
        colour, instance = self._cast(self._all_rays(), self.objects, self.shadows)
        if antialias > 1:
            edge = _edges(colour.view(3, B, H, W), instance.view(B, H, W))
            if len(edge):
                objects, shadows = (
                    m.index_select(1, edge).repeat(1, antialias**2) for m in (self.objects, self.shadows)
                )
                finer = self._cast(self._rays_through(edge, antialias), objects, shadows)[0]
                colour[:, edge] = finer.view(3, antialias**2, -1).mean(1)
        image = (colour * 255 + 0.5).to(torch.uint8).view(3, B, H, W).permute(1, 2, 3, 0).contiguous()
        return image, instance.to(torch.int16).view(B, H, W)

    def _near(self, corners: Tensor) -> Tensor:
        """Return a mask (K, B * H * W) of the pixels that may see the hulls of corners (3, C, B, K)."""
        B, H, W = self.shape
        x, y, depth = _to_image(self.table, corners, H, W, self.half_view)
        every = (depth < 0.1).any(0)[..., None]  # a corner beside or behind the camera has no position in the image
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

    def _all_rays(self) -> Rays:
        """Return one ray through the centre of each pixel."""
        B, H, W = self.shape
        row = torch.arange(H, device=self.device).float() + 0.5
        column = torch.arange(W, device=self.device).float() + 0.5
        across, above = self._plane(column.view(1, 1, W), row.view(1, H, 1))
        right, up, ahead = self.table.axes[..., None, None]
        direction = (ahead + across * right + above * up).view(3, -1)
        eye, key = (
            position[..., None].expand(3, B, H * W).reshape(3, -1) for position in (self.table.eye, self.table.key)
        )
        scene = torch.arange(B, device=self.device).repeat_interleave(H * W)
        return Rays(scene, eye, direction, key, _vignette(across, above).expand(B, H, W).reshape(-1))

    def _rays_through(self, pixel: Tensor, count: int) -> Rays:
        """Return `count` squared rays through each of E pixels: first one position in all pixels, then the next."""
        _, H, W = self.shape
        steps = (torch.arange(count, device=self.device).float() + 0.5) / count
        scene = torch.div(pixel, H * W, rounding_mode="floor")
        row = torch.div(pixel, W, rounding_mode="floor")
        column = (pixel - row * W).float() + steps.view(1, -1, 1)
        row = (row - scene * H).float() + steps.view(-1, 1, 1)
        across, above = self._plane(column, row)
        right, up, ahead = (axis.index_select(1, scene)[:, None, None] for axis in self.table.axes)
        direction = (ahead + across * right + above * up).reshape(3, -1)
        scene = scene.repeat(count * count)
        eye, key = self.table.eye.index_select(1, scene), self.table.key.index_select(1, scene)
        return Rays(scene, eye, direction, key, _vignette(across, above).reshape(-1))

    def _plane(self, column: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        """Turn positions in the image (pixels) into those on the plane at depth 1: across and above the axis."""
        _, H, W = self.shape
        return (column - 0.5 * W) * (2 * self.half_view / H), (row - 0.5 * H) * (-2 * self.half_view / H)

    def _cast(self, rays: Rays, objects: Tensor, shadows: Tensor) -> tuple[Tensor, Tensor]:
        """Shade R rays that may meet the marked objects and shadows (K, R): colours (3, R) in 0-1, instances (R,)."""
        ground = -rays.eye[2] / rays.direction[2].clamp_max(-1e-3)
        distance, item = nearest(self.table, self._pairs(objects, rays.scene), rays.eye, rays.direction, ground)
        surface = Surface(rays.scene, rays.eye + distance * rays.direction, rays.direction, item, rays.key)
        light = lit(self.table, self._pairs(shadows, rays.scene), surface.position, rays.key, item, LIGHT_RADIUS)
        colour = shade(self.table, self.slots, surface, light)
        return tone(colour * rays.vignette), torch.where(item >= 0, item - rays.scene * self.slots + 1, 0)


def _vignette(across: Tensor, above: Tensor) -> Tensor:
    return 1.0 - 0.3 * (across * across + above * above) / (2 * HALF_VIEW**2)


def _corners(table: Table, slots: int) -> Tensor:
    """Return the corners (3, 8, B, K) of boxes that hold the objects."""
    cube = table.half * torch.where(table.kind == CUBE, 2**0.5, 1.0)
    reach = torch.stack((cube, cube, table.half))
    signs = torch.tensor([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)], device=reach.device)
    corners = table.centre[:, None] + signs.T[:, :, None] * reach[:, None]
    return corners.view(3, 8, -1, slots)


def _shadow_corners(table: Table, slots: int) -> Tensor:
    """Return the corners (3, 16, B, K) of hulls that hold the objects and their shadows, penumbra included."""
    corners = _corners(table._replace(half=table.half * 1.25), slots)
    key = table.key[:, None, :, None]
    fall = (key[2:] / (key[2:] - corners[2:]).clamp_min(0.5)).clamp_min(1.0)
    return torch.cat((corners, key + fall * (corners - key)), 1)


def _to_image(table: Table, points: Tensor, height: int, width: int, half_view: float) -> tuple[Tensor, Tensor, Tensor]:
    """Project points (3, C, B, K): column, row and depth (C, B, K)."""
    away = points - table.eye[:, None, :, None]
    across, above, depth = ((axis[:, None, :, None] * away).sum(0) for axis in table.axes)
    scale = height / (2 * half_view * depth.clamp_min(0.1))
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
