"""Small 3-D scenes in the manner of CLEVR: sampling, geometry and JSON.

The world is right-handed with z up; objects stand on the ground plane z = 0. Lengths have no unit, angles are radians.
Seen from the camera, x grows to the right and y grows away from the viewer, up to the camera jitter.
Scenes follow the generator of CLEVR (arXiv:1612.06890, github.com/facebookresearch/clevr-dataset-gen).
Numbers are rounded to four decimals, so that a seed gives the same scene on every machine.
"""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace

import numpy as np

from datasets.world.draws import Draws
from engine.errors import UserError

# The orders are the label orders of the CLEVR segmenter in surisdi/learning-by-drawing (`experiments.py`).
SIZES = ("large", "small")
MATERIALS = ("rubber", "metal")
SHAPES = ("cube", "sphere", "cylinder")
COLOURS = ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")

MAX_OBJECTS = 10
HALF_VIEW = 0.36  # tangent of half the field of view
MARGIN = 0.3  # smallest gap between two objects on the ground
MIN_VISIBLE = 0.5  # smallest visible part of any object's outline
EDGE = 0.02  # smallest gap to the border, as a fraction of the picture

_RADIUS = {"large": 0.82, "small": 0.44}
_SCALE = {"cube": 0.76, "sphere": 1.0, "cylinder": 0.84}  # equal radii would make cubes look largest
_FOOT = {"cube": math.sqrt(2.0), "sphere": 1.0, "cylinder": 1.0}
_OUTLINE = {"cube": 1.3, "sphere": 1.0, "cylinder": 1.2}
_FIELD = 2.9  # objects lie within this distance of the origin in x and in y
_CENTRE = 0.25  # the same for the first object of a centred scene
_SPREAD = tuple(  # 32 points spread evenly over the unit disc, on a spiral with the golden angle
    (math.sqrt((k + 0.5) / 32) * math.cos(2.399963 * k), math.sqrt((k + 0.5) / 32) * math.sin(2.399963 * k))
    for k in range(32)
)

Vector = tuple[float, float, float]


class SceneError(UserError, ValueError):
    """A scene that cannot be made, read or drawn."""


@dataclass(frozen=True)
class SceneObject:
    """One object on the ground.

    Args:
        shape: One of `SHAPES`.
        colour: One of `COLOURS`.
        material: One of `MATERIALS`.
        size: One of `SIZES`.
        x: Position of its centre, growing to the right.
        y: Position of its centre, growing away from the viewer.
        rotation: Turn about the vertical axis in radians.
    """

    shape: str
    colour: str
    material: str
    size: str
    x: float
    y: float
    rotation: float = 0.0

    def __post_init__(self) -> None:
        for name, allowed in (("shape", SHAPES), ("colour", COLOURS), ("material", MATERIALS), ("size", SIZES)):
            value = getattr(self, name)
            if value not in allowed:
                raise SceneError(f"object {name} is {value!r}; expected one of {', '.join(allowed)}")

    @property
    def half(self) -> float:
        """Half its height, which is also its radius, or half the side of a cube."""
        return _RADIUS[self.size] * _SCALE[self.shape]

    @property
    def foot(self) -> float:
        """Radius of the circle on the ground that holds the object whatever its rotation."""
        return self.half * _FOOT[self.shape]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with square pixels and an upright picture.

    Args:
        position: Where it stands.
        target: The point in the middle of the picture.
    """

    position: Vector
    target: Vector

    def axes(self) -> tuple[Vector, Vector, Vector]:
        """Return the unit vectors (right, up, forward) of the picture."""
        ahead = [b - a for a, b in zip(self.position, self.target, strict=True)]
        length, level = math.hypot(*ahead), math.hypot(ahead[0], ahead[1])
        if level < 1e-6:
            raise SceneError("the camera looks straight down or nowhere; move its target sideways from its position")
        fx, fy, fz = (a / length for a in ahead)
        rx, ry = ahead[1] / level, -ahead[0] / level
        return (rx, ry, 0.0), (ry * fz, -rx * fz, rx * fy - ry * fx), (fx, fy, fz)


@dataclass(frozen=True)
class Scene:
    """Objects, a camera and two lights.

    Args:
        objects: The objects, in the order in which they are drawn turn by turn.
        camera: The viewer.
        key: Position of the main light, which throws shadows.
        fill: Position of the weak light, which does not.
    """

    objects: tuple[SceneObject, ...]
    camera: Camera = Camera((0.0, -9.6, 5.6), (0.0, 0.0, 0.2))
    key: Vector = (-4.5, 1.0, 8.0)
    fill: Vector = (5.5, -7.0, 4.0)

    def prefix(self, count: int) -> "Scene":
        """Return the scene with its first `count` objects under the same camera and lights.

        Raises:
            SceneError: If `count` is negative or larger than the number of objects.
        """
        if not 0 <= count <= len(self.objects):
            raise SceneError(f"a prefix of {count} objects was asked from a scene of {len(self.objects)}")
        return replace(self, objects=self.objects[:count])

    def to_json(self) -> str:
        """Return the scene as one line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> "Scene":
        """Return the scene that `to_json` wrote.

        Raises:
            SceneError: If the text is not JSON or not a scene.
        """
        try:
            raw = json.loads(text)
            return Scene(
                objects=tuple(SceneObject(**entry) for entry in raw["objects"]),
                camera=Camera(_vector(raw["camera"]["position"]), _vector(raw["camera"]["target"])),
                key=_vector(raw["key"]),
                fill=_vector(raw["fill"]),
            )
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise SceneError(f"not a scene: {error!r}; expected the JSON that Scene.to_json writes") from error


def _vector(values: Iterable[float]) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z


def sample_scene(seed: int, min_objects: int = 1, max_objects: int = 5, centred: bool = False) -> Scene:
    """Draw a scene whose objects do not touch, lie inside the picture and hide at most half of one another.

    Args:
        seed: Non-negative; the same seed and arguments give the same scene everywhere.
        min_objects: Smallest number of objects, at least 1.
        max_objects: Largest number of objects, at most `MAX_OBJECTS`; every number between is equally likely.
        centred: Put the first object at the centre, as i-CLEVR does for its first turn.

    Returns:
        The scene.

    Raises:
        SceneError: If the arguments are impossible.
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
        scene = Scene((), _camera(draws), _around(draws, (-4.5, 1.0, 8.0), 1.2), _around(draws, (5.5, -7.0, 4.0), 1.0))
        while len(scene.objects) < count:
            grown = _with_one_more(scene, draws, centred)
            if grown is None:
                break
            scene = grown
        if len(scene.objects) == count:
            return scene


def project(scene: Scene, size: int = 128) -> np.ndarray:
    """Project the centres of a scene's objects into the square picture.

    Args:
        scene: n objects.
        size: Side of the picture in pixels.

    Returns:
        (n, 3) float64: x and y in pixels from the left and upper border, depth along the camera's axis in world units.

    Raises:
        SceneError: If the size is not positive or an object lies behind the camera.
    """
    if size <= 0:
        raise SceneError(f"size={size}; expected a positive number of pixels")
    view = _view(scene.camera)
    places = [view(item.x, item.y, item.half) for item in scene.objects]
    if any(depth <= 0 for _, _, depth in places):
        raise SceneError("an object lies behind the camera; move the camera back")
    return np.array([(x * size, y * size, depth) for x, y, depth in places], dtype=np.float64).reshape(-1, 3)


def _view(camera: Camera) -> Callable[[float, float, float], Vector]:
    """Return the function from a point to its x and y as fractions of the picture and its depth."""
    right, up, forward = camera.axes()
    cx, cy, cz = camera.position

    def view(x: float, y: float, z: float) -> Vector:
        a, b, c = x - cx, y - cy, z - cz
        depth = forward[0] * a + forward[1] * b + forward[2] * c
        scale = 0.5 / (HALF_VIEW * depth) if depth > 0 else math.inf
        across, above = (axis[0] * a + axis[1] * b + axis[2] * c for axis in (right, up))
        return 0.5 + across * scale, 0.5 - above * scale, depth

    return view


def _around(draws: Draws, middle: Vector, reach: float) -> Vector:
    x, y, z = (round(value + draws.uniform(-reach, reach), 4) for value in middle)
    return x, y, z


def _camera(draws: Draws) -> Camera:
    return Camera(_around(draws, (0.0, -9.6, 5.6), 0.5), _around(draws, (0.0, 0.0, 0.2), 0.15))


def _random_object(draws: Draws, field: float) -> SceneObject:
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

    The attributes are drawn once, so that rejection does not favour small objects; only the place is tried again.
    """
    field = _CENTRE if centred and not scene.objects else _FIELD
    fresh = _random_object(draws, field)
    for _ in range(40):
        free = all(
            math.hypot(fresh.x - other.x, fresh.y - other.y) >= fresh.foot + other.foot + MARGIN
            for other in scene.objects
        )
        grown = replace(scene, objects=(*scene.objects, fresh))
        if free and _all_visible(grown):
            return grown
        x, y = (round(draws.uniform(-field, field), 4) for _ in range(2))
        fresh = replace(fresh, x=x, y=y)
    return None


def _all_visible(scene: Scene) -> bool:
    """Whether all outlines, taken as discs, lie inside the picture and show at least `MIN_VISIBLE` of themselves."""
    view = _view(scene.camera)
    discs = []
    for item in scene.objects:
        x, y, depth = view(item.x, item.y, item.half)
        radius = item.half * _OUTLINE[item.shape] * 0.5 / (HALF_VIEW * depth)
        if not all(EDGE + radius <= place <= 1 - EDGE - radius for place in (x, y)):
            return False
        discs.append((depth, x, y, radius))
    discs.sort()
    return all(_visible_part(disc, discs[:nearer]) >= MIN_VISIBLE for nearer, disc in enumerate(discs))


def _visible_part(disc: tuple[float, ...], nearer: list[tuple[float, ...]]) -> float:
    """Part of a disc (depth, x, y, radius) that nearer ones leave uncovered, by counting points spread over it."""
    _, x, y, radius = disc
    rivals = [(ox - x, oy - y, size * size) for _, ox, oy, size in nearer if math.hypot(ox - x, oy - y) < radius + size]
    if not rivals:
        return 1.0
    points = [(radius * a, radius * b) for a, b in _SPREAD]
    seen = sum(all((a - ox) ** 2 + (b - oy) ** 2 > square for ox, oy, square in rivals) for a, b in points)
    return seen / len(points)
