"""Rays against spheres, cubes and upright cylinders, as flat batches of (ray, object) pairs in torch.

Each object is moved to its own frame and scaled to its unit shape: the unit sphere, the cube [-1, 1]³, or the cylinder
of radius 1 between z = -1 and z = 1. Vectors are (3, P): one row per axis, so that every operation runs over contiguous
memory. Only additions, products, quotients and square roots are used, which IEEE 754 rounds in one way, so that the
result for a ray does not depend on what else is in the batch.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from datasets.world.scene.objects import COLOURS, MATERIALS, SHAPES, Scene

# sRGB values of CLEVR's generator (clevr-dataset-gen, image_generation/data/properties.json).
_SRGB = ((87, 87, 87), (173, 35, 35), (42, 75, 215), (29, 105, 20), (129, 74, 25), (129, 38, 192), (41, 208, 208))
_SRGB = (*_SRGB, (255, 238, 51))
CUBE, SPHERE, CYLINDER = range(len(SHAPES))
_BEVEL = 0.08  # width of the rounded edges of cubes and cylinders, relative to their half size


class Table(NamedTuple):
    """Scenes as tensors; N = B * K objects, K the largest number of objects in a scene."""

    kind: Tensor  # (N,) index into `SHAPES`, -1 where a scene has fewer objects
    half: Tensor  # (N,) half size
    centre: Tensor  # (3, N)
    turn: Tensor  # (2, N) cosine and sine of the rotation
    colour: Tensor  # (3, N) linear albedo
    metal: Tensor  # (N,) bool
    eye: Tensor  # (3, B) camera position
    axes: Tensor  # (3, 3, B) right, up and forward vectors of the camera
    key: Tensor  # (3, B) position of the main light
    fill: Tensor  # (3, B) position of the weak light


def pack(scenes: list[Scene], slots: int, device: str | torch.device) -> Table:
    """Put B scenes into tensors; ``slots`` is K, at least the largest number of objects and at least 1."""
    rows, kinds, views = [], [], []
    for scene in scenes:
        for item in scene.objects:
            rows.append((item.half, item.x, item.y, item.half, item.rotation, item.material == MATERIALS[1]))
            rows[-1] += tuple((value / 255) ** 2 for value in _SRGB[COLOURS.index(item.colour)])
            kinds.append(SHAPES.index(item.shape))
        for _ in range(slots - len(scene.objects)):
            rows.append((1.0, 0.0, 0.0, 1.0, 0.0, False, 0.0, 0.0, 0.0))
            kinds.append(-1)
        views.append((scene.camera.position, *scene.camera.axes(), scene.key, scene.fill))
    table = torch.tensor(rows, dtype=torch.float64)
    turn = torch.stack([table[:, 4].cos(), table[:, 4].sin()]).float().to(device)
    table = table.float().T.contiguous().to(device)
    view = torch.tensor(views, dtype=torch.float32).permute(1, 2, 0).contiguous().to(device)
    kind = torch.tensor(kinds, device=device)
    return Table(kind, table[0], table[1:4], turn, table[6:9], table[5] > 0, view[0], view[1:4], view[4], view[5])


def to_local(table: Table, item: Tensor, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Move rays, origin and direction (3, P), into the frames of the objects (P,) that they are paired with.

    Units become the half size; distances along the ray keep their meaning.
    """
    cos, sin = table.turn[0, item], table.turn[1, item]
    scale = 1.0 / table.half[item]
    cos, sin = cos * scale, sin * scale
    x, y, z = origin - table.centre.index_select(1, item)
    p, q, r = direction
    moved = torch.stack((x * cos + y * sin, y * cos - x * sin, z * scale))
    return moved, torch.stack((p * cos + q * sin, q * cos - p * sin, r * scale))


def interval(kind: Tensor, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distances (P,) at which rays (3, P) of any length but zero enter and leave unit shapes ``kind`` (P,).

    A ray that misses leaves before it enters, by the more the wider it misses, which soft shadows use.
    """
    near, far = torch.full_like(origin[0], torch.inf), torch.full_like(origin[0], -torch.inf)
    for shape, function in ((CUBE, _cube), (SPHERE, _round), (CYLINDER, _cylinder)):
        chosen = (kind == shape).nonzero()[:, 0]
        if len(chosen):
            near[chosen], far[chosen] = function(origin.index_select(1, chosen), direction.index_select(1, chosen))
    return near, far


def _slab(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Enter and leave |coordinate| <= 1, elementwise."""
    steep = torch.where(direction.abs() < 1e-8, 1e-8, direction)
    one, two = (-1.0 - origin) / steep, (1.0 - origin) / steep
    return torch.minimum(one, two), torch.maximum(one, two)


def _round(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Enter and leave the unit ball in as many dimensions as the vectors (n, P) have."""
    a = (direction * direction).sum(0).clamp_min(1e-12)
    b = (origin * direction).sum(0)
    root = b * b - a * ((origin * origin).sum(0) - 1.0)
    root = torch.where(root < 0, -1.0, 1.0) * root.abs().sqrt()
    return (-b - root) / a, (root - b) / a


def _cube(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    near, far = _slab(origin, direction)
    return near.amax(0), far.amin(0)


def _cylinder(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    side, caps = _round(origin[:2], direction[:2]), _slab(origin[2], direction[2])
    return torch.maximum(side[0], caps[0]), torch.minimum(side[1], caps[1])


def normals(table: Table, item: Tensor, point: Tensor) -> Tensor:
    """Return outward unit normals (3, P) in the world's frame at points (3, P) in the frames of objects (P,).

    Those of cubes and cylinders bend at the edges as if these were rounded.
    """
    kind = table.kind[item]
    flat = point.sign() * (point.abs() - (1.0 - _BEVEL)).clamp_min(0.0)
    radius = (point[:2] * point[:2]).sum(0).sqrt().clamp_min(1e-6)
    level = point[:2] * ((radius - (1.0 - _BEVEL)).clamp_min(0.0) / radius)
    local = torch.where(kind == CUBE, flat, torch.cat((level, flat[2:])))
    local = torch.where(kind == SPHERE, point, local)
    x, y, z = local / (local * local).sum(0).sqrt().clamp_min(1e-9)
    cos, sin = table.turn[0, item], table.turn[1, item]
    return torch.stack((x * cos - y * sin, x * sin + y * cos, z))


def nearest(
    table: Table, pairs: list[tuple[Tensor, Tensor]], origin: Tensor, direction: Tensor, reach: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the distance (R,) to the first object on each ray (3, R), and its index (R,); ``reach`` and -1 for none.

    ``pairs`` are, for each slot, the rays to try and the objects to try them on; no ray twice in a slot.
    """
    best, found = reach.clone(), torch.full_like(reach, -1, dtype=torch.int64)
    ray, item = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    near, far = interval(
        table.kind[item], *to_local(table, item, origin.index_select(1, ray), direction.index_select(1, ray))
    )
    near = torch.where((near < far) & (near > 1e-4), near, torch.inf)
    counts = [len(part) for part, _ in pairs]
    for (rays, items), distance in zip(pairs, near.split(counts), strict=True):
        closer = distance < best[rays]
        chosen = rays[closer]
        best[chosen], found[chosen] = distance[closer], items[closer]
    return best, found


def lit(
    table: Table, pairs: list[tuple[Tensor, Tensor]], origin: Tensor, target: Tensor, own: Tensor, radius: float
) -> Tensor:
    """Return the part (R,) of a round light that each point (3, R) sees, from 0, in the shadow, to 1.

    The part of a ray inside an object says how far the ray is from the object's outline; compared with the width of the
    penumbra there, it gives a soft border from one ray. ``pairs`` are, for each slot, the points to try and the objects
    that may stand in their light; ``target`` (3, R) is the light's position, ``own`` (R,) the object of a point, which
    does not count, or -1.
    """
    light = torch.ones_like(origin[0])
    ray, item = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    start, direction = origin.index_select(1, ray), target.index_select(1, ray) - origin.index_select(1, ray)
    near, far = interval(table.kind[item], *to_local(table, item, start, direction))
    length = (direction * direction).sum(0).sqrt()
    middle = (0.5 * (near + far)).clamp(0.0, 0.9)
    width = 2 * radius * middle / (1 - middle) + 0.02
    depth = ((far - near) * length / width * 0.5 + 0.35).clamp(0.0, 1.0)
    hidden = depth * depth * (3 - 2 * depth)
    hidden = torch.where((far > 1e-4) & (near < 1.0) & (own[ray] != item), hidden, 0.0)
    counts = [len(part) for part, _ in pairs]
    for (rays, _), part in zip(pairs, hidden.split(counts), strict=True):
        light[rays] *= 1.0 - part
    return light
