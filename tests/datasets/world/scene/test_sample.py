"""Scenes: repeatable, free of collisions, inside the image, and the same after JSON."""

import itertools
import json
import math
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest

from datasets.world.scene.objects import (
    COLOURS,
    MATERIALS,
    SHAPES,
    SIZES,
    Camera,
    Scene,
    SceneError,
    SceneObject,
    project,
)
from datasets.world.scene.random_stream import Draws
from datasets.world.scene.sample import MAX_OBJECTS, sample_scene

SEEDS = range(300)
PINNED_DRAWS = [625, 897, 775, 225]
PINNED_OBJECTS = [
    ("large", "blue", "rubber", "cylinder", -0.5619, -1.72),
    ("small", "blue", "rubber", "cylinder", 2.6776, 1.3038),
    ("small", "red", "metal", "cube", -2.228, 0.7162),
]
PINNED_CAMERA = (0.4505, -9.9558, 6.0486)
PINNED_PIXELS = [
    [52.8340328, 72.5683811, 9.8228132],
    [105.6800924, 53.5905268, 12.4539758],
    [31.5504625, 56.4525777, 12.1824533],
]


@pytest.fixture(scope="module")
def scenes():
    return [sample_scene(seed) for seed in SEEDS]


def test_a_seed_always_gives_these_values():
    draws = Draws(7)
    assert [draws.below(1000) for _ in range(4)] == PINNED_DRAWS
    scene = sample_scene(1)
    assert [(o.size, o.colour, o.material, o.shape, o.x, o.y) for o in scene.objects] == PINNED_OBJECTS
    assert scene.camera.position == PINNED_CAMERA
    assert project(scene) == pytest.approx(np.array(PINNED_PIXELS), abs=1e-6)


def test_seeds_and_arguments_matter():
    assert sample_scene(5) == sample_scene(5)
    assert len({sample_scene(seed) for seed in range(100)}) == 100
    assert sample_scene(5, 2, 2) != sample_scene(5, 3, 3)


def test_objects_do_not_touch(scenes):
    crowded = [sample_scene(seed, 10, 10) for seed in range(20)]
    for scene in [*scenes, *crowded]:
        for one, other in itertools.combinations(scene.objects, 2):
            assert math.hypot(one.x - other.x, one.y - other.y) > one.foot + other.foot + 0.29


def test_centres_lie_inside_the_image_and_depths_are_plausible(scenes):
    for scene in scenes:
        places = project(scene, 128)
        assert places.shape == (len(scene.objects), 3)
        assert (places[:, :2] > 3).all()
        assert (places[:, :2] < 125).all()
        assert (places[:, 2] > 5).all()
        assert (places[:, 2] < 16).all()


def test_everything_occurs_about_equally_often(scenes):
    for name, values in (("shape", SHAPES), ("colour", COLOURS), ("material", MATERIALS), ("size", SIZES)):
        counts = Counter(getattr(item, name) for scene in scenes for item in scene.objects)
        assert set(counts) == set(values)
        assert min(counts.values()) > 0.6 * sum(counts.values()) / len(values), counts
    lengths = Counter(len(scene.objects) for scene in scenes)
    assert set(lengths) == {1, 2, 3, 4, 5}
    assert min(lengths.values()) > 40


def test_camera_and_lights_move(scenes):
    for values in ([s.camera.position for s in scenes], [s.key for s in scenes], [s.fill for s in scenes]):
        assert (np.std(values, axis=0) > 0.1).all()


def test_projection_by_hand():
    # A camera 10 before the origin, level with the object's centre: one unit to the right is 1 / (2 * 10 * tan) of the
    # image to the right of its middle, and half a unit higher is half as much above it.
    camera = Camera((0.0, -10.0, 0.88), (0.0, 0.0, 0.88))
    ball = SceneObject("sphere", "red", "metal", "large", 1.0, 0.0)
    assert project(Scene((ball,), camera), 100)[0] == pytest.approx((50 + 100 / (20 * 0.345), 50, 10))
    low = SceneObject("sphere", "red", "metal", "small", 0.0, 0.0)
    assert project(Scene((low,), camera), 100)[0] == pytest.approx((50, 50 + 38 / (20 * 0.345), 10))


def test_right_and_away_are_what_the_image_shows():
    near, far = (SceneObject("cube", "red", "metal", "small", 0.5, y) for y in (-1.0, 1.0))
    left = SceneObject("cube", "red", "metal", "small", -0.5, -1.0)
    places = project(Scene((near, far, left)))
    assert places[1, 2] > places[0, 2]
    assert places[1, 1] < places[0, 1]
    assert places[2, 0] < places[0, 0]


def test_centred_scenes_start_at_the_centre():
    for seed in range(50):
        x, y, _ = project(sample_scene(seed, 3, 5, centred=True), 1)[0]
        assert abs(x - 0.5) < 0.1
        assert abs(y - 0.5) < 0.12


def test_prefix_keeps_camera_and_lights():
    scene = sample_scene(2, 4, 4)
    part = scene.prefix(2)
    assert part.objects == scene.objects[:2]
    assert (part.camera, part.key, part.fill) == (scene.camera, scene.key, scene.fill)
    assert scene.prefix(0).objects == ()
    assert project(scene.prefix(0)).shape == (0, 3)
    with pytest.raises(SceneError, match="prefix of 5 objects was asked from a scene of 4"):
        scene.prefix(5)


def test_json_round_trip(scenes):
    for scene in scenes[:50]:
        assert Scene.from_json(json.dumps(asdict(scene))) == scene


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '{"objects": [{"shape": "cube"}]}'])
def test_what_is_not_a_scene_is_refused(text):
    with pytest.raises(SceneError, match="not a scene"):
        Scene.from_json(text)


def test_unknown_attributes_are_refused():
    raw = asdict(sample_scene(0))
    raw["objects"][0]["colour"] = "orange"
    with pytest.raises(SceneError, match="colour is 'orange'; expected one of gray, red"):
        Scene.from_json(json.dumps(raw))


@pytest.mark.parametrize("bounds", [(0, 3), (4, 3), (1, MAX_OBJECTS + 1), (-1, -1)])
def test_impossible_numbers_of_objects_are_refused(bounds):
    with pytest.raises(SceneError, match=f"min_objects={bounds[0]} and max_objects={bounds[1]}; expected 1 <="):
        sample_scene(0, *bounds)


def test_other_impossible_arguments_are_refused():
    with pytest.raises(SceneError, match="seed=-1"):
        sample_scene(-1)
    with pytest.raises(SceneError, match="size=0; expected a positive"):
        project(sample_scene(0), 0)
    behind = Scene((SceneObject("cube", "red", "metal", "small", 0.0, -30.0),))
    with pytest.raises(SceneError, match="behind the camera"):
        project(behind)
    with pytest.raises(SceneError, match="straight down"):
        Camera((0.0, 0.0, 9.0), (0.0, 0.0, 0.0)).axes()
    with pytest.raises(SceneError, match=r"main light is 1\.0 high; expected at least 2\.5"):
        Scene((), key=(0.0, 0.0, 1.0))
