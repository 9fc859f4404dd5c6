"""Makes scenes of objects seen in images, so that the grammar of captions can describe images of any origin."""

from collections.abc import Iterable
from typing import Protocol

from datasets.world.scene.near import NEAR_CAMERA
from datasets.world.scene.objects import HALF_VIEW, Camera, Scene, SceneError, SceneObject
from datasets.world.scene.sample import MAX_OBJECTS


class Seen(Protocol):
    """The knowledge that is needed of an object; `models.segmenter.objects.SeenObject` has it."""

    size: str  # one of `SIZES`
    material: str  # one of `MATERIALS`
    shape: str  # one of `SHAPES`
    colour: str  # one of `COLOURS`
    x: float  # its middle from the left, 0-1 of the square image
    y: float  # its middle from the top


def seen_scene(objects: Iterable[Seen], camera: Camera = NEAR_CAMERA) -> Scene:
    """Put one to ten seen objects on the ground: captions of the scene hold for the image. Rotations are left at 0.

    Raises SceneError where there are none or too many, a label is unknown (as the unused fourth shape of the published
    segmenter), or an object is seen above the horizon.
    """
    placed = []
    for item in objects:
        upright = SceneObject(item.shape, item.colour, item.material, item.size, 0.0, 0.0)
        x, y = ground(item.x, item.y, upright.half, camera)
        placed.append(SceneObject(item.shape, item.colour, item.material, item.size, round(x, 4), round(y, 4)))
    if not 1 <= len(placed) <= MAX_OBJECTS:
        raise SceneError(f"{len(placed)} objects were seen; expected 1 to {MAX_OBJECTS}")
    return Scene(tuple(placed), camera)


def ground(x: float, y: float, height: float, camera: Camera = NEAR_CAMERA) -> tuple[float, float]:
    """Return x and y on the ground of the point of a ``height`` (world units) seen at (x, y), 0-1 from left and top.

    It is the inverse of `datasets.world.scene.objects.project`. Raises SceneError where no such point is seen there.
    """
    right, up, forward = camera.axes()
    across, above = (x - 0.5) * 2 * HALF_VIEW, (0.5 - y) * 2 * HALF_VIEW
    ray = [f + across * r + above * u for f, r, u in zip(forward, right, up, strict=True)]
    drop = camera.position[2] - height
    if ray[2] >= 0 or drop <= 0:
        raise SceneError(f"nothing of height {height:.2f} can be seen at ({x:.2f}, {y:.2f}) of the image")
    distance = drop / -ray[2]
    return camera.position[0] + distance * ray[0], camera.position[1] + distance * ray[1]
