"""The parts of a small 3-D scene in the manner of CLEVR, its projection and its JSON.

The world is right-handed with z up; objects stand on the ground plane z = 0. Lengths have no unit, angles are radians.
Seen from the camera, x grows to the right and y grows away from the viewer, up to the camera jitter.
"""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from common.errors import UserError

# The orders are the label orders of the CLEVR segmenter in surisdi/learning-by-drawing (`experiments.py`).
SIZES = ("large", "small")
MATERIALS = ("rubber", "metal")
SHAPES = ("cube", "sphere", "cylinder")
COLOURS = ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")

HALF_VIEW = 0.345  # tangent of half the field of view

_RADIUS = {"large": 0.88, "small": 0.5}
_SCALE = {"cube": 0.76, "sphere": 1.0, "cylinder": 0.84}  # equal radii would make cubes look largest
_FOOT = {"cube": math.sqrt(2.0), "sphere": 1.0, "cylinder": 1.0}
_LOWEST_KEY = 2.5

Vector = tuple[float, float, float]


class SceneError(UserError, ValueError):
    """A scene that cannot be made, read or rendered."""


@dataclass(frozen=True)
class SceneObject:
    """One object on the ground; raises SceneError for an attribute that is not among those allowed."""

    shape: str  # one of `SHAPES`
    colour: str  # one of `COLOURS`
    material: str  # one of `MATERIALS`
    size: str  # one of `SIZES`
    x: float  # of its centre, growing to the right
    y: float  # of its centre, growing away from the viewer
    rotation: float = 0.0  # about the vertical axis in radians

    def __post_init__(self) -> None:
        for name, allowed in (("shape", SHAPES), ("colour", COLOURS), ("material", MATERIALS), ("size", SIZES)):
            value = getattr(self, name)
            if value not in allowed:
                raise SceneError(f"object {name} is {value!r}; expected one of {', '.join(allowed)}")

    @property
    def half(self) -> float:
        """Half its height, which is also its radius, or half the edge of a cube."""
        return _RADIUS[self.size] * _SCALE[self.shape]

    @property
    def foot(self) -> float:
        """Radius of the circle on the ground that holds the object whatever its rotation."""
        return self.half * _FOOT[self.shape]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with square pixels and an upright image."""

    position: Vector
    target: Vector  # the point in the middle of the image

    def axes(self) -> tuple[Vector, Vector, Vector]:
        """Return the unit vectors (right, up, forward) of the image; SceneError if it looks straight down."""
        ahead = [b - a for a, b in zip(self.position, self.target, strict=True)]
        length, level = math.hypot(*ahead), math.hypot(ahead[0], ahead[1])
        if level < 1e-6:
            raise SceneError("the camera looks straight down or nowhere; move its target sideways from its position")
        fx, fy, fz = (a / length for a in ahead)
        rx, ry = ahead[1] / level, -ahead[0] / level
        return (rx, ry, 0.0), (ry * fz, -rx * fz, rx * fy - ry * fx), (fx, fy, fz)


@dataclass(frozen=True)
class Scene:
    """Objects, a camera and two lights; raises SceneError where the main light is not above all objects."""

    objects: tuple[SceneObject, ...]  # in the order in which they are added turn by turn
    camera: Camera = Camera((0.0, -9.6, 5.6), (0.0, 0.0, 0.2))
    key: Vector = (-5.0, -2.0, 8.0)  # position of the main light, which throws shadows
    fill: Vector = (5.5, -7.0, 4.0)  # position of the weak light, which does not

    def __post_init__(self) -> None:
        if self.key[2] < _LOWEST_KEY:
            raise SceneError(
                f"the main light is {self.key[2]} high; expected at least {_LOWEST_KEY}, above all objects"
            )

    def prefix(self, count: int) -> "Scene":
        """Return the scene with its first `count` objects under the same camera and lights."""
        if not 0 <= count <= len(self.objects):
            raise SceneError(f"a prefix of {count} objects was asked from a scene of {len(self.objects)}")
        return replace(self, objects=self.objects[:count])

    @staticmethod
    def from_json(text: str) -> "Scene":
        """Return the scene of the JSON of its fields; raise SceneError where the text is not JSON or not a scene."""
        try:
            raw = json.loads(text)
            return Scene(
                objects=tuple(SceneObject(**entry) for entry in raw["objects"]),
                camera=Camera(_vector(raw["camera"]["position"]), _vector(raw["camera"]["target"])),
                key=_vector(raw["key"]),
                fill=_vector(raw["fill"]),
            )
        except SceneError:
            raise
        except (ValueError, RecursionError, KeyError, TypeError, OverflowError) as error:
            raise SceneError(f"not a scene: {error!r}; expected the JSON of a scene, as in scenes.jsonl") from error


def _vector(values: Iterable[float]) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z


def project(scene: Scene, size: int = 128) -> np.ndarray:
    """Return x and y in pixels of a square image and depth in world units of n objects' centres, (n, 3) float64.

    Pixels count from the left and upper border, depth along the camera's axis. Raises SceneError where the size is not
    positive or an object lies behind the camera.
    """
    if size <= 0:
        raise SceneError(f"size={size}; expected a positive number of pixels")
    seen = view(scene.camera)
    points = [seen(item.x, item.y, item.half) for item in scene.objects]
    if any(depth <= 0 for _, _, depth in points):
        raise SceneError("an object lies behind the camera; move the camera back")
    return np.array([(x * size, y * size, depth) for x, y, depth in points], dtype=np.float64).reshape(-1, 3)


def view(camera: Camera) -> Callable[[float, float, float], Vector]:
    """Return a camera's projection of a point (x, y, z) to x and y as fractions of the square image and its depth."""
    right, up, forward = camera.axes()
    cx, cy, cz = camera.position

    def project_point(x: float, y: float, z: float) -> Vector:
        a, b, c = x - cx, y - cy, z - cz
        depth = forward[0] * a + forward[1] * b + forward[2] * c
        scale = 0.5 / (HALF_VIEW * depth) if depth > 0 else math.inf
        across, above = (axis[0] * a + axis[1] * b + axis[2] * c for axis in (right, up))
        return 0.5 + across * scale, 0.5 - above * scale, depth

    return project_point
