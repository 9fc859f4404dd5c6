"""Images: geometry checked by hand, masks against projection, and independence of the batch."""

import math

import numpy as np
import pytest
import torch

from datasets.world.render.ray_cast import render
from datasets.world.scene.attributes import attribute_maps
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
    project,
)
from datasets.world.scene.sample import sample_scene
from tests.datasets.world.channels import attribute_channels

LEVEL = Camera((0.0, -8.0, 0.88), (0.0, 0.0, 0.88))  # looks straight at the centre of a large ball at the origin


def thing(shape="sphere", colour="red", material="rubber", size="large", x=0.0, y=0.0, rotation=0.0):
    return SceneObject(shape, colour, material, size, x, y, rotation)


@pytest.fixture(scope="module")
def scenes():
    return [sample_scene(seed) for seed in range(60)]


@pytest.fixture(scope="module")
def rendering(scenes):
    return render(scenes)


def test_types_and_shapes(scenes, rendering):
    assert rendering.image.shape == (60, 128, 128, 3)
    assert rendering.image.dtype == torch.uint8
    assert rendering.instances.shape == (60, 128, 128)
    assert rendering.instances.dtype == torch.int16
    for scene, mask in zip(scenes, rendering.instances, strict=True):
        assert set(mask.unique().tolist()) == set(range(len(scene.objects) + 1))


def test_a_ball_straight_ahead_is_a_disc():
    # The outline of a ball of radius r at distance d is a cone of half angle asin(r / d).
    mask = render([Scene((thing(),), LEVEL)]).instances[0].numpy() == 1
    radius = math.tan(math.asin(0.88 / 8.0)) * 64 / HALF_VIEW
    rows, columns = np.mgrid[:128, :128] + 0.5
    distance = np.hypot(rows - 64, columns - 64)
    assert mask[distance < radius - 1e-3].all()
    assert not mask[distance > radius + 1e-3].any()


def test_a_cube_straight_ahead_is_a_square():
    # Its front is at distance d - h and nearer than all else, so that the outline is a square of half side h / (d - h).
    cube = thing("cube")
    camera = Camera((0.0, -8.0, cube.half), (0.0, 0.0, cube.half))
    mask = render([Scene((cube,), camera)]).instances[0].numpy() == 1
    half = cube.half / (8.0 - cube.half) * 64 / HALF_VIEW
    rows, columns = np.abs(np.mgrid[:128, :128] + 0.5 - 64)
    assert (mask == (np.maximum(rows, columns) <= half)).all()
    turned = Scene((thing("cube", rotation=math.pi / 4),), camera)
    wide = (render([turned]).instances[0].numpy() == 1)[64].sum()
    # At 45 degrees the outline's edges touch the corners on the left and right, at distance d.
    assert wide == pytest.approx(2 * cube.half * math.sqrt(2) / 8.0 * 64 / HALF_VIEW, abs=1.5)


def test_a_cylinder_straight_ahead_is_a_barrel_of_known_width():
    cylinder = thing("cylinder")
    camera = Camera((0.0, -8.0, cylinder.half), (0.0, 0.0, cylinder.half))
    mask = render([Scene((cylinder,), camera)]).instances[0].numpy() == 1
    width = 2 * math.tan(math.asin(cylinder.half / 8.0)) * 64 / HALF_VIEW
    height = 2 * cylinder.half / (8.0 - cylinder.half) * 64 / HALF_VIEW
    assert mask[64].sum() == pytest.approx(width, abs=1.01)
    assert mask[:, 64].sum() == pytest.approx(height, abs=1.01)


def test_masks_lie_around_projected_centres(scenes, rendering):
    for scene, mask in zip(scenes, rendering.instances.numpy(), strict=True):
        places = project(scene)
        order = places[:, 2].argsort()
        x, y = places[order[0], :2].astype(int)
        assert mask[y, x] == order[0] + 1  # the nearest object hides nothing of itself
        for k, (item, place) in enumerate(zip(scene.objects, places, strict=True), start=1):
            rows, columns = np.nonzero(mask == k)
            reach = 1.75 * item.half * 64 / (HALF_VIEW * place[2]) + 1
            assert np.abs(columns + 0.5 - place[0]).max() < reach
            assert np.abs(rows + 0.5 - place[1]).max() < reach


def test_all_objects_are_visible():
    crowds = [sample_scene(seed, 6, 10) for seed in range(20)]
    some = [sample_scene(seed) for seed in range(60, 260)]
    for scene, mask in zip([*crowds, *some], [*render(crowds, 64).instances, *render(some, 64).instances], strict=True):
        pixels = torch.bincount(mask.flatten().long(), minlength=len(scene.objects) + 1)[1:]
        assert pixels.min() >= 6  # 24 pixels of the default size


def test_a_nearer_object_hides_a_farther_one():
    back, front = thing("cube", "blue", y=1.5), thing("sphere", "red", y=-1.5)
    assert render([Scene((back, front), LEVEL)]).instances[0, 64, 64] == 2
    assert render([Scene((front, back), LEVEL)]).instances[0, 64, 64] == 1


def test_batches_do_not_change_images(scenes, rendering):
    for index in (0, 5, 17, 59):
        alone = render([scenes[index]])
        assert torch.equal(alone.instances[0], rendering.instances[index])
        difference = (alone.image[0].int() - rendering.image[index].int()).abs()
        assert difference.max() <= 1  # the compiler may fuse products and sums in one loop and not in its remainder
        assert (difference > 0).float().mean() < 1e-3


def test_rendering_twice_gives_the_same(scenes, rendering):
    again = render(scenes)
    assert torch.equal(again.image, rendering.image)
    assert torch.equal(again.instances, rendering.instances)


def test_colours_can_be_reported_apart():
    scenes = [Scene((thing("sphere", colour),)) for colour in COLOURS]
    drawn = render(scenes, 64)
    means = np.array([image[mask == 1].float().mean(0).numpy() for image, mask in zip(*drawn, strict=True)])
    for a in range(8):
        for b in range(a):
            assert np.abs(means[a] - means[b]).max() > 25, (COLOURS[a], COLOURS[b])
    assert means[COLOURS.index("red")].argmax() == 0
    assert means[COLOURS.index("green")].argmax() == 1
    assert means[COLOURS.index("blue")].argmax() == 2
    assert np.ptp(means[COLOURS.index("gray")]) < 3


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("colour", COLOURS)
def test_metal_has_more_contrast_than_rubber(shape, colour):
    rubber, metal = (render([Scene((thing(shape, colour, material, rotation=0.5),))]) for material in MATERIALS)
    inside = rubber.instances[0] == 1
    one, other = (drawn.image[0][inside].float() for drawn in (rubber, metal))
    assert (one - other).abs().mean() > 6
    assert other.mean(1).quantile(0.995) - other.mean(1).quantile(0.02) > 50


def test_shadows_fall_away_from_the_light_and_touch_the_object():
    with_object = render([Scene((thing("cube"),), key=(-5.0, 0.0, 8.0))], antialias=1)
    empty = render([Scene((), key=(-5.0, 0.0, 8.0))], antialias=1)
    darker = empty.image[0].int().sum(-1) - with_object.image[0].int().sum(-1) > 40
    shadow = darker & (with_object.instances[0] == 0)
    rows, columns = shadow.nonzero().T
    assert len(rows) > 50
    assert columns.float().mean() > 74
    y = project(Scene((thing("cube"),)))[0, 1]
    edge = (with_object.instances[0] == 1)[int(y)].nonzero().max()
    assert shadow[int(y) + 3 :, int(edge) - 4 : int(edge) + 4].any()


def test_sizes_and_forms_of_images(scenes):
    assert render(scenes[:2], 33).image.shape == (2, 33, 33, 3)
    wide = render([scenes[0]], (24, 48), antialias=1)
    square = render([scenes[0]], 24, antialias=1)
    assert torch.equal(wide.instances[0, :, 12:36], square.instances[0])
    assert render([Scene(())], (6, 8)).instances.sum() == 0


def test_more_resolution_shows_the_same(scenes, rendering):
    small = render(scenes[:8], 64).image.float()
    shrunk = torch.nn.functional.avg_pool2d(rendering.image[:8].permute(0, 3, 1, 2).float(), 2).permute(0, 2, 3, 1)
    assert (small - shrunk).abs().mean() < 1.5


def test_antialiasing_changes_edges_only(scenes):
    plain, smooth = render(scenes[:8], antialias=1), render(scenes[:8], antialias=3)
    assert torch.equal(plain.instances, smooth.instances)
    changed = (plain.image != smooth.image).any(-1)
    assert 0.005 < changed.float().mean() < 0.15


def test_attribute_maps_agree_with_the_scene(scenes, rendering):
    maps = attribute_maps(scenes, rendering.instances)
    for b, scene in enumerate(scenes):
        for k, item in enumerate(scene.objects, start=1):
            seen = rendering.instances[b] == k
            assert set(maps.colour[b][seen].tolist()) == {COLOURS.index(item.colour) + 1}
            assert set(maps.shape[b][seen].tolist()) == {SHAPES.index(item.shape) + 1}
            assert set(maps.size[b][seen].tolist()) == {SIZES.index(item.size) + 1}
            assert set(maps.material[b][seen].tolist()) == {MATERIALS.index(item.material) + 1}
    for values in maps:
        assert torch.equal(values > 0, rendering.instances > 0)


def test_attribute_channels_are_the_segmenters(scenes, rendering):
    scene = Scene((thing("cylinder", "yellow", "metal", "small"),))
    instances = torch.tensor([[[0, 1]]], dtype=torch.int16)
    channels = attribute_channels([scene], instances)[0, :, 0]
    assert channels[:, 0].nonzero().flatten().tolist() == [16]
    assert channels[:, 1].nonzero().flatten().tolist() == [1, 3, 6, 15, 17]
    many = attribute_channels(scenes, rendering.instances)
    assert many.shape == (60, 18, 128, 128)
    maps = attribute_maps(scenes, rendering.instances)
    # What the original does with the segmenter's scores gives the maps back.
    assert torch.equal((many[:, 8:16].int().argmax(1) + 1) * many[:, 17], maps.colour)
    assert torch.equal((many[:, 4:8].int().argmax(1) + 1) * many[:, 17], maps.shape)


def test_impossible_arguments_are_refused(scenes):
    with pytest.raises(SceneError, match="size=0; expected a positive"):
        render(scenes[:1], 0)
    with pytest.raises(SceneError, match="antialias=0"):
        render(scenes[:1], antialias=0)
    with pytest.raises(SceneError, match="no scene to render"):
        render([])
    with pytest.raises(SceneError, match="2 scenes and instances of shape"):
        attribute_maps(scenes[:2], torch.zeros(1, 4, 4))
    with pytest.raises(SceneError, match=r"labels outside 0\.\.1"):
        attribute_maps([Scene((thing(),))], torch.full((1, 2, 2), 2))
