"""Scenes for small images: one camera close to one or two objects that hardly hide each other, and one light.

At 64 pixels large objects are about 25 pixels wide and small ones 14, so that shape, colour, material and size can be
seen. The ordinary scenes (sample.py) hold more and are seen from farther away.
"""

from collections.abc import Sequence
from dataclasses import replace

from datasets.world.scene.objects import Camera, Scene, SceneError
from datasets.world.scene.random_stream import Draws
from datasets.world.scene.sample import random_object, with_object

NEAR_CAMERA = Camera((0.0, -6.0, 4.1), (0.0, -0.1, 0.3))
MOST = 3
_ACROSS, _AWAY = 1.7, 1.2  # positions lie within these distances of the origin
_GAP = 0.2
_MIN_VISIBLE = 0.85


def near_scene(seed: int, min_objects: int = 1, max_objects: int = 2, sizes: Sequence[str] = ()) -> Scene:
    """Return a scene seen from near by; the same seed and arguments give the same scene everywhere.

    It has at most 3 objects, every number between the limits being equally likely, under a camera and lights that never
    change. The first objects have the ``sizes``, others any. Raises SceneError where the arguments are impossible.
    """
    if not 1 <= min_objects <= max_objects <= MOST or seed < 0:
        raise SceneError(
            f"seed={seed}, min_objects={min_objects}, max_objects={max_objects}; expected a non-negative seed and "
            f"1 <= min_objects <= max_objects <= {MOST}"
        )
    draws = Draws(seed)
    count = min_objects + draws.below(max_objects - min_objects + 1)
    while True:
        scene: Scene | None = Scene((), NEAR_CAMERA)
        while scene is not None and len(scene.objects) < count:
            scene = _with_one_more(scene, draws, sizes)
        if scene is not None:
            return scene


def _with_one_more(scene: Scene, draws: Draws, sizes: Sequence[str]) -> Scene | None:
    """Add one object that fits; None when forty tries found no room."""
    fresh = random_object(draws, 1.0)
    if len(scene.objects) < len(sizes):
        fresh = replace(fresh, size=sizes[len(scene.objects)])
    for _ in range(40):
        position = {"x": round(draws.uniform(-_ACROSS, _ACROSS), 4), "y": round(draws.uniform(-_AWAY, _AWAY), 4)}
        grown = with_object(scene, replace(fresh, **position), _GAP, _MIN_VISIBLE)
        if grown is not None:
            return grown
    return None
