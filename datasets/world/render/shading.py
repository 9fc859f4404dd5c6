"""Light in the scenes: a grey ground, matte rubber, and metal that mirrors the ground, the sky and other objects.

Colours are linear in 0-1 until `tone` turns them into display values with a gamma of 2. Powers are repeated squares, so
that no result depends on how a library approximates them.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from datasets.world.render.intersect import Table, nearest, normals, to_local

LIGHT_RADIUS = 0.45
_GROUND = 0.36
_NOMINAL = 85.0  # squared distance at which the main light has its full strength


class Surface(NamedTuple):
    """The points that R rays meet."""

    scene: Tensor  # (R,) scene of each ray
    position: Tensor  # (3, R)
    direction: Tensor  # (3, R) of the rays, from the eye, not normalised
    item: Tensor  # (R,) object met, -1 for the ground
    key: Tensor  # (3, R) position of the main light

    def at(self, index: Tensor) -> "Surface":
        """Return the points of an index (P,) int64."""
        return Surface(*(value.index_select(value.dim() - 1, index) for value in self))


def shade(table: Table, slots: int, surface: Surface, light: Tensor) -> Tensor:
    """Return linear colours (3, R) of points that see the part ``light`` (R,) of the main light.

    ``slots`` is the number of objects of a scene in the table, empty ones included.
    """
    ground = _ground(surface.key, surface.position, light)
    colour = ground.expand(3, -1).clone()
    hit = (surface.item >= 0).nonzero()[:, 0]
    if len(hit):
        met = surface.at(hit)
        met = met._replace(direction=_unit(met.direction))
        normal = normals(table, met.item, to_local(table, met.item, met.position, met.direction)[0])
        solid = _rubber(table, met, normal, light[hit])
        metal = table.metal[met.item].nonzero()[:, 0]
        if len(metal):
            part = met.at(metal)
            solid[:, metal] = _metal(table, slots, part, normal.index_select(1, metal), light[hit[metal]])
        colour[:, hit] = solid
    return colour


def tone(colour: Tensor) -> Tensor:
    """Turn linear colours (3, ...), cut to 0-1, into display values with a gamma of 2."""
    return colour.clamp(0.0, 1.0).sqrt()


def _unit(vector: Tensor) -> Tensor:
    return vector / (vector * vector).sum(0).sqrt().clamp_min(1e-9)


def _dot(one: Tensor, two: Tensor) -> Tensor:
    return (one * two).sum(0)


def _power(value: Tensor, doublings: int) -> Tensor:
    """Raise to the power 2 ** doublings."""
    for _ in range(doublings):
        value = value * value
    return value


def _ground(key: Tensor, position: Tensor, light: Tensor) -> Tensor:
    """Return the brightness (R,) of the ground, brightest under the main light."""
    beam = key - position
    square = (beam * beam).sum(0)
    strength = beam[2] / square.sqrt() * (_NOMINAL / (0.5 * square + 0.5 * _NOMINAL))
    return _GROUND * (0.42 + 0.85 * strength * light)


def _diffuse(table: Table, met: Surface, normal: Tensor, light: Tensor) -> Tensor:
    """Return the light (R,) that a matte surface sends back: both lights and surroundings."""
    key = _dot(normal, _unit(met.key - met.position)).clamp_min(0.0)
    fill = _dot(normal, _unit(table.fill.index_select(1, met.scene) - met.position)).clamp_min(0.0)
    height = (met.position[2] / table.half[met.item]).clamp(0.0, 1.0)
    ambient = (0.3 + 0.2 * normal[2]) * (0.45 + 0.55 * height)
    return ambient + 0.85 * key * light + 0.3 * fill


def _highlight(table: Table, met: Surface, normal: Tensor, sharpness: int) -> Tensor:
    """Return the highlights (R,) of both lights; the cosine is raised to 2 ** sharpness."""
    key, fill = (
        _dot(normal, _unit(_unit(point - met.position) - met.direction)).clamp_min(0.0)
        for point in (met.key, table.fill.index_select(1, met.scene))
    )
    return _power(key, sharpness) + 0.4 * _power(fill, sharpness)


def _rubber(table: Table, met: Surface, normal: Tensor, light: Tensor) -> Tensor:
    """Return matte colours (3, R) with a faint wide sheen."""
    sheen = 0.05 * _highlight(table, met, normal, 4) * light
    return table.colour.index_select(1, met.item) * _diffuse(table, met, normal, light) + sheen


def _metal(table: Table, slots: int, met: Surface, normal: Tensor, light: Tensor) -> Tensor:
    """Return metallic colours (3, R): what the surface mirrors, tinted by its colour, and a sharp highlight."""
    colour = table.colour.index_select(1, met.item)
    slant = _dot(met.direction, normal)
    mirror = met.direction - 2 * slant * normal
    tint = 0.04 + 0.96 * colour + 0.35 * _power((1.0 + slant).clamp(0.0, 1.0), 2)
    seen = _mirrored(table, slots, met, mirror)
    shine = 0.9 * _highlight(table, met, normal, 7) * (0.3 + 0.7 * light)
    shine = shine + tint * _streak(table, met, normal) * (0.3 + 0.7 * light)
    return 0.25 * colour * _diffuse(table, met, normal, light) + 1.7 * tint * seen + shine


def _streak(table: Table, met: Surface, normal: Tensor) -> Tensor:
    """Return upright reflections (R,) of the lights on walls as of lamp stands; from above, walls mirror the ground."""
    wall = 1.0 - (1.4 * normal[2].abs()).clamp_max(1.0)
    shine = torch.zeros_like(wall)
    for point, weight in ((met.key, 0.8), (table.fill.index_select(1, met.scene), 0.5)):
        level = _unit((point - met.position)[:2]) - _unit(met.direction[:2])
        shine = shine + weight * _power(_dot(normal[:2], _unit(level)).clamp_min(0.0), 5)
    height = (0.5 * met.position[2] / table.half[met.item]).clamp(0.0, 1.0)
    return wall * shine * height


def _mirrored(table: Table, slots: int, met: Surface, direction: Tensor) -> Tensor:
    """Return colours (3, R) that metal mirrors: objects in flat light, ground, dark beneath itself, or the studio."""
    falls = direction[2] < -1e-3
    drop = torch.where(falls, met.position[2] / -direction[2].clamp_max(-1e-3), 60.0).clamp_max(60.0)
    point = met.position + drop * direction
    shade = (0.08 + drop / (4.0 * table.half[met.item])).clamp_max(1.25)
    ground = _ground(met.key, point, torch.ones_like(drop)) * shade
    softbox = _power(_dot(direction, _unit(met.key - met.position)).clamp_min(0.0), 4)
    studio = 0.08 + 0.6 * direction[2].clamp_min(0.0) + 1.3 * softbox
    seen = torch.where(falls, ground, studio).expand(3, -1).clone()
    rays = torch.arange(len(met.item), device=met.item.device)
    pairs = [
        (rays[other != met.item], other[other != met.item]) for other in (met.scene * slots + k for k in range(slots))
    ]
    distance, item = nearest(table, pairs, met.position, direction, torch.where(falls, drop, torch.inf))
    hit = (item >= 0).nonzero()[:, 0]
    if len(hit):
        other = met._replace(position=met.position + distance * direction, direction=direction, item=item).at(hit)
        normal = normals(table, other.item, to_local(table, other.item, other.position, other.direction)[0])
        albedo = table.colour.index_select(1, other.item)
        matte = albedo * _diffuse(table, other, normal, torch.ones_like(distance[hit]))
        seen[:, hit] = 0.7 * matte + 0.3 * seen.index_select(1, hit)
    return seen
