from typing import NamedTuple

import pytest

from datasets.world.scene.near import NEAR_CAMERA, near_scene
from datasets.world.scene.objects import Camera, SceneError, project
from datasets.world.scene.sample import sample_scene
from datasets.world.scene.seen import ground, seen_scene


class Seen(NamedTuple):
    size: str
    material: str
    shape: str
    colour: str
    x: float
    y: float


def seen_from(scene):
    places = project(scene, 1)
    return [
        Seen(item.size, item.material, item.shape, item.colour, x, y)
        for item, (x, y, _) in zip(scene.objects, places, strict=True)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_projection_and_back(seed):
    for scene in (near_scene(seed, 2, 2), sample_scene(seed, 2, 4)):
        again = seen_scene(seen_from(scene), scene.camera)
        for one, other in zip(scene.objects, again.objects, strict=True):
            assert (one.x, one.y) == pytest.approx((other.x, other.y), abs=2e-4)
            assert (one.shape, one.colour, one.material, one.size) == (
                other.shape,
                other.colour,
                other.material,
                other.size,
            )


def test_the_target_is_in_the_middle():
    camera = Camera((0.0, -5.0, 5.0), (0.0, 0.0, 0.0))
    assert ground(0.5, 0.5, 0.0, camera) == pytest.approx((0, 0), abs=1e-9)
    assert ground(0.9, 0.5, 0.0, camera)[0] > 0


def test_bad_input():
    with pytest.raises(SceneError, match="0 objects were seen; expected 1 to 10"):
        seen_scene([])
    with pytest.raises(SceneError, match="object shape is 'other shape'"):
        seen_scene([Seen("large", "metal", "other shape", "red", 0.5, 0.5)])
    level = Camera((0.0, -5.0, 1.0), (0.0, 0.0, 1.0))
    with pytest.raises(SceneError, match=r"nothing of height 0.00 can be seen at \(0.50, 0.10\)"):
        ground(0.5, 0.1, 0.0, level)
    assert NEAR_CAMERA.position[2] > 1
