"""Positions of objects, as a person who looks at the image would say them.

A direction is only claimed when it holds by a margin both on the ground and in the image.
"""

import math
from typing import NamedTuple

from datasets.world.scene.objects import Scene, project

_GAP = 0.5  # smallest difference on the ground
_GAP_SEEN = 0.03  # smallest difference in the image, as a fraction of its width
_SLANT = 0.6  # smallest part of the direction that must point the way that is named
_SECTOR = math.tan(math.pi / 8)  # half an eighth of a turn: borders between "left" and "in front on the left"


class Position(NamedTuple):
    """The position of one object."""

    right: float  # distance to the right of the camera's target, on the ground
    ahead: float  # distance behind the camera's target, on the ground
    x: float  # of its centre in the image, from 0 at the left to 1
    y: float  # the same from the top
    depth: float  # from the camera


class Relation(NamedTuple):
    """Object `subject` is in `direction` ("left", "right", "front", "behind") of object `anchor`, numbers from 0."""

    subject: int
    direction: str
    anchor: int


def positions(scene: Scene) -> list[Position]:
    """Return the positions of all objects of ``scene``, in their order."""
    (rx, ry, _), _, _ = scene.camera.axes()
    tx, ty, _ = scene.camera.target
    rows = []
    for item, (x, y, depth) in zip(scene.objects, project(scene, 1), strict=True):
        a, b = item.x - tx, item.y - ty
        rows.append(Position(rx * a + ry * b, rx * b - ry * a, float(x), float(y), float(depth)))
    return rows


def relations(scene: Scene) -> list[Relation]:
    """Return all clear relations between two objects of ``scene``."""
    where = positions(scene)
    return [
        Relation(a, direction, b)
        for a in range(len(where))
        for b in range(len(where))
        if a != b
        for direction in _clear(where[a], where[b])
    ]


def _clear(one: Position, other: Position) -> list[str]:
    right, ahead, seen, deeper = _differences(one, other)
    found = []
    if abs(right) >= max(_GAP, _SLANT * abs(ahead)) and abs(seen) >= _GAP_SEEN and right * seen > 0:
        found.append("right" if right > 0 else "left")
    if abs(ahead) >= max(_GAP, _SLANT * abs(right)) and ahead * deeper > 0:
        found.append("behind" if ahead > 0 else "front")
    return found


def _differences(one: Position, other: Position) -> tuple[float, float, float, float]:
    return one.right - other.right, one.ahead - other.ahead, one.x - other.x, one.depth - other.depth


def bearing(one: Position, other: Position) -> tuple[str | None, str | None]:
    """Return the eighth of a turn in which an object stands, seen from another.

    It is "behind", "front" or None, and "left", "right" or None, one of them at least unless image and ground disagree.
    """
    right, ahead, seen, deeper = _differences(one, other)
    across = "right" if right > 0 else "left"
    along = "behind" if ahead > 0 else "front"
    no_side = abs(right) < _SECTOR * abs(ahead) or right * seen <= 0 or abs(seen) < _GAP_SEEN
    no_depth = abs(ahead) < _SECTOR * abs(right) or ahead * deeper <= 0
    return None if no_depth else along, None if no_side else across


def spot(position: Position) -> tuple[str | None, str | None]:
    """Return an object's part of the image: "behind" (the back), "front" or None, and "left", "right" or None."""
    along = "behind" if position.y < 0.36 else "front" if position.y > 0.6 else None
    across = "left" if position.x < 0.38 else "right" if position.x > 0.62 else None
    return along, across
