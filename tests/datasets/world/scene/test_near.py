import pytest

from datasets.world.render.ray_cast import render
from datasets.world.scene.near import NEAR_CAMERA, near_scene
from datasets.world.scene.objects import COLOURS, MATERIALS, SHAPES, SIZES, SceneError, project


def test_scenes_have_one_camera_one_light_and_few_objects():
    scenes = [near_scene(seed) for seed in range(200)]
    assert {scene.camera for scene in scenes} == {NEAR_CAMERA}
    assert len({scene.key for scene in scenes}) == 1
    assert {len(scene.objects) for scene in scenes} == {1, 2}
    objects = [item for scene in scenes for item in scene.objects]
    for name, values in (("shape", SHAPES), ("colour", COLOURS), ("material", MATERIALS), ("size", SIZES)):
        counts = [sum(getattr(item, name) == value for item in objects) for value in values]
        assert min(counts) > 0.5 * len(objects) / len(values)
    places = [place for scene in scenes for place in project(scene, 64)]
    assert all(0 < x < 64 and 0 < y < 64 for x, y, _ in places)


def test_objects_are_large_and_hardly_hidden():
    """At 64 pixels: a small object shows at least 50 pixels, a large one 150, whatever stands before it."""
    scenes = [near_scene(seed, 2, 2) for seed in range(40)]
    instances = render(scenes, 64).instances
    for scene, found in zip(scenes, instances, strict=True):
        for number, item in enumerate(scene.objects, start=1):
            assert (found == number).sum() >= (150 if item.size == "large" else 50)


def test_a_seed_gives_one_scene():
    assert near_scene(7) == near_scene(7) != near_scene(8)
    assert len(near_scene(7, 3, 3).objects) == 3


@pytest.mark.parametrize("arguments", [(-1,), (0, 0), (0, 2, 1), (0, 1, 4)])
def test_impossible_arguments(arguments):
    with pytest.raises(SceneError, match="1 <= min_objects <= max_objects <= 3"):
        near_scene(*arguments)
