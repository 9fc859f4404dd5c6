"""Makes scenes of objects seen in images, so that the grammar of captions can describe images of any origin."""

from collections.abc import Iterable
from typing import Protocol

from datasets.world.scene.near import NEAR_CAMERA
from datasets.world.scene.objects import HALF_VIEW, Camera, Scene, SceneError, SceneObject
from datasets.world.scene.sample import MAX_OBJECTS


class Seen(Protocol):
    """What has to be known of an object; `models.segmenter.objects.SeenObject` is one.

    Attributes:
        size: One of `SIZES`.
        material: One of `MATERIALS`.
        shape: One of `SHAPES`.
        colour: One of `COLOURS`.
        x: Its middle from the left, 0-1 of the square image.
        y: Its middle from the top.
    """

    size: str
    material: str
    shape: str
    colour: str
    x: float
    y: float


def seen_scene(objects: Iterable[Seen], camera: Camera = NEAR_CAMERA) -> Scene:
    """Place seen objects on the ground.

    Args:
        objects: One to ten.
        camera: From where the image shows them.

    Returns:
        The scene: captions of it hold for the image. Rotations are unknown and left at 0.

    Raises:
        SceneError: There are none or too many, a label is unknown (as the unused fourth shape of the published
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
    """Find the point of a height that is seen at a position of the image.

    Args:
        x: From the left, 0-1.
        y: From the top, 0-1.
        height: Of the point above the ground, world units.
        camera: The viewer.

    Returns:
        Its x and y on the ground; the inverse of `datasets.world.scene.objects.project`.

    Raises:
        SceneError: No point of that height is seen there.
    """
    right, up, forward = camera.axes()
    across, above = (x - 0.5) * 2 * HALF_VIEW, (0.5 - y) * 2 * HALF_VIEW
    ray = [f + across * r + above * u for f, r, u in zip(forward, right, up, strict=True)]
    drop = camera.position[2] - height
    if ray[2] >= 0 or drop <= 0:
        raise SceneError(f"nothing of height {height:.2f} can be seen at ({x:.2f}, {y:.2f}) of the image")
    distance = drop / -ray[2]
    return camera.position[0] + distance * ray[0], camera.position[1] + distance * ray[1]
