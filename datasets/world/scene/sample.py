"""Draws random scenes in the manner of CLEVR (arXiv:1612.06890, github.com/facebookresearch/clevr-dataset-gen).

Numbers are rounded to four decimals, so that a seed gives the same scene on every machine.
"""

import math
from dataclasses import replace

from datasets.world.scene.objects import (
    COLOURS,
    HALF_VIEW,
    MATERIALS,
    SHAPES,
    SIZES,
    Camera,
    Scene,
    SceneError,
    SceneObject,
    Vector,
    view,
)
from datasets.world.scene.random_stream import Draws

MAX_OBJECTS = 10
MARGIN = 0.3  # smallest gap between two objects on the ground
MIN_VISIBLE = 0.5  # smallest visible part of any object's outline
EDGE = 0.02  # smallest gap to the border, as a fraction of the image
_OUTLINE = {"cube": 1.3, "sphere": 1.0, "cylinder": 1.2}
_FIELD = 2.9  # objects lie within this distance of the origin in x and in y
_CENTRE = 0.25  # the same for the first object of a centred scene
_SPREAD = tuple(  # 32 points spread evenly over the unit disc, on a spiral with the golden angle
    (math.sqrt((k + 0.5) / 32) * math.cos(2.399963 * k), math.sqrt((k + 0.5) / 32) * math.sin(2.399963 * k))
    for k in range(32)
)


def sample_scene(seed: int, min_objects: int = 1, max_objects: int = 5, centred: bool = False) -> Scene:
    """Return a random scene whose objects do not touch, lie inside the image and hide at most half of one another.

    The same seed and arguments give the same scene everywhere; every number of objects between the limits is equally
    likely. ``centred`` puts the first object at the centre, as i-CLEVR does. Raises SceneError where the arguments are
    impossible.
    """
    if not 1 <= min_objects <= max_objects <= MAX_OBJECTS:
        raise SceneError(
            f"min_objects={min_objects} and max_objects={max_objects}; "
            f"expected 1 <= min_objects <= max_objects <= {MAX_OBJECTS}"
        )
    if seed < 0:
        raise SceneError(f"seed={seed}; expected a non-negative whole number")
    draws = Draws(seed)
    count = min_objects + draws.below(max_objects - min_objects + 1)
    while True:  # a crowded start can make the rest impossible; an empty ground never does
        scene = Scene((), _camera(draws), _around(draws, (-5.0, -2.0, 8.0), 1.2), _around(draws, (5.5, -7.0, 4.0), 1.0))
        while len(scene.objects) < count:
            grown = _with_one_more(scene, draws, centred)
            if grown is None:
                break
            scene = grown
        if len(scene.objects) == count:
            return scene


def _around(draws: Draws, middle: Vector, reach: float) -> Vector:
    x, y, z = (round(value + draws.uniform(-reach, reach), 4) for value in middle)
    return x, y, z


def _camera(draws: Draws) -> Camera:
    return Camera(_around(draws, (0.0, -9.6, 5.6), 0.5), _around(draws, (0.0, 0.0, 0.2), 0.15))


def random_object(draws: Draws, field: float) -> SceneObject:
    """Draw an object whose x and y lie within ``field`` of the origin."""
    return SceneObject(
        shape=draws.pick(SHAPES),
        colour=draws.pick(COLOURS),
        material=draws.pick(MATERIALS),
        size=draws.pick(SIZES),
        x=round(draws.uniform(-field, field), 4),
        y=round(draws.uniform(-field, field), 4),
        rotation=round(draws.uniform(0.0, 2 * math.pi), 4),
    )


def _with_one_more(scene: Scene, draws: Draws, centred: bool) -> Scene | None:
    """Add one object that fits; None when forty tries found no room.

    The attributes are drawn once, so that rejection does not favour small objects; only the position is tried again.
    """
    field = _CENTRE if centred and not scene.objects else _FIELD
    fresh = random_object(draws, field)
    for _ in range(40):
        grown = with_object(scene, fresh, MARGIN, MIN_VISIBLE)
        if grown is not None:
            return grown
        x, y = (round(draws.uniform(-field, field), 4) for _ in range(2))
        fresh = replace(fresh, x=x, y=y)
    return None


def with_object(scene: Scene, fresh: SceneObject, gap: float, least: float) -> Scene | None:
    """Add an object; None if it is closer than ``gap`` to another, or an object shows less than ``least`` (0-1)."""
    if any(math.hypot(fresh.x - o.x, fresh.y - o.y) < fresh.foot + o.foot + gap for o in scene.objects):
        return None
    grown = replace(scene, objects=(*scene.objects, fresh))
    return grown if _all_visible(grown, least) else None


def _all_visible(scene: Scene, least: float) -> bool:
    """Return whether all outlines, taken as discs, lie inside the image and show ``least`` (0-1) of themselves."""
    project_point = view(scene.camera)
    discs = []
    for item in scene.objects:
        x, y, depth = project_point(item.x, item.y, item.half)
        radius = item.half * _OUTLINE[item.shape] * 0.5 / (HALF_VIEW * depth)
        if not all(EDGE + radius <= at <= 1 - EDGE - radius for at in (x, y)):
            return False
        discs.append((depth, x, y, radius))
    discs.sort()
    return all(_visible_part(disc, discs[:nearer]) >= least for nearer, disc in enumerate(discs))


def _visible_part(disc: tuple[float, ...], nearer: list[tuple[float, ...]]) -> float:
    """Return the part of a disc (depth, x, y, radius) that nearer ones leave uncovered, by points spread over it."""
    _, x, y, radius = disc
    rivals = [(ox - x, oy - y, size * size) for _, ox, oy, size in nearer if math.hypot(ox - x, oy - y) < radius + size]
    if not rivals:
        return 1.0
    points = [(radius * a, radius * b) for a, b in _SPREAD]
    seen = sum(all((a - ox) ** 2 + (b - oy) ** 2 > square for ox, oy, square in rivals) for a, b in points)
    return seen / len(points)
