import numpy as np
import pytest
import torch

from datasets.world.language.captions import captions
from datasets.world.render.ray_cast import render
from datasets.world.scene.near import near_scene
from datasets.world.scene.objects import project
from datasets.world.scene.relations import relations
from datasets.world.scene.sample import sample_scene
from datasets.world.scene.seen import seen_scene
from models.segmenter import objects
from models.segmenter.file import load_segmenter
from models.segmenter.labels import ATTRIBUTE_GROUPS, SegmentationError
from models.segmenter.objects import describe, least_confidence, seen_objects
from tests.datasets.world.channels import attribute_channels

NAMES = [group.name for group in ATTRIBUTE_GROUPS]


@pytest.fixture(scope="module")
def near():
    """Held-out scenes as the generator's, their images in [-1, 1] and instance masks."""
    scenes = [near_scene(9_000_000 + seed, 1, 2) for seed in range(60)]
    images = render(scenes, 64)
    return scenes, images.image.permute(0, 3, 1, 2).float() / 127.5 - 1, images.instances


def separated(scene, instances):
    """Whether no two objects of a scene touch in the image."""
    for k in range(1, len(scene.objects) + 1):
        mask = torch.nn.functional.max_pool2d((instances == k).float()[None], 3, 1, 1)[0] > 0
        if (mask & (instances > 0) & (instances != k)).any():
            return False
    return True


def matched(scene, objects):
    """Pairs of true and seen objects, by their places in the image; None when their number differs."""
    if len(objects) != len(scene.objects):
        return None
    order = np.argsort(project(scene, 1)[:, 0])
    return [(scene.objects[index], item) for index, item in zip(order, objects, strict=True)]


def test_perfect_maps_give_the_truth(near):
    scenes, _, instances = near
    for scene, channels, mask in zip(scenes, attribute_channels(scenes, instances), instances, strict=True):
        if not separated(scene, mask):
            continue
        pairs = matched(scene, seen_objects(channels))
        assert pairs is not None
        centres = np.sort(project(scene, 1)[:, 0])
        for (true, seen), centre in zip(pairs, centres, strict=True):
            assert {name: getattr(true, name) for name in NAMES} == seen.attributes
            assert seen.least_confidence == pytest.approx(1)
            assert abs(seen.x - centre) < 0.03
            assert seen.share == pytest.approx(seen.mask.mean())


def test_the_shipped_segmenter_describes_renders(near):
    scenes, images, instances = near
    found = describe(load_segmenter(), images)
    chosen = [row for row, scene in enumerate(scenes) if separated(scene, instances[row])]
    total = sum(len(scenes[row].objects) for row in chosen)
    right = 0
    for row in chosen:
        for true, seen in matched(scenes[row], found[row]) or []:
            right += all(getattr(true, name) == getattr(seen, name) for name in NAMES)
    assert total > 50
    assert right / total >= 0.9


def test_captions_of_what_was_seen_are_true(near):
    scenes, _, instances = near
    for scene, channels in zip(scenes[:20], attribute_channels(scenes[:20], instances[:20]), strict=True):
        objects = seen_objects(channels)
        if len(objects) != len(scene.objects):
            continue
        seen = seen_scene(objects)
        order = {int(index): place for place, index in enumerate(np.argsort(project(scene, 1)[:, 0]))}
        true = {(order[r.subject], r.direction, order[r.anchor]) for r in relations(scene)}
        assert {tuple(relation) for relation in relations(seen)} - true == set()
        text = captions(seen, 1, seed=0, style="full")[0]
        assert all(item.colour in text for item in scene.objects)


def two_colours():
    """A red square with a crumb of green in it, beside a green square that touches it."""
    maps = torch.zeros(18, 40, 40)
    maps[16] = 1
    for colour, box in ((9, (10, 10, 20, 20)), (11, (10, 20, 20, 30)), (11, (14, 14, 15, 15))):
        top, left, bottom, right = box
        cell = maps[:, top:bottom, left:right]
        cell[:] = 0
        cell[[0, 3, 4, colour, 17]] = 1
    return maps


def test_touching_colours_are_two_and_crumbs_belong_to_what_is_around():
    red, green = seen_objects(two_colours())
    assert (red.colour, green.colour) == ("red", "green")
    assert red.mask.sum() == green.mask.sum() == 100
    assert red.box == (0.25, 0.25, 0.5, 0.5)
    assert red.confidence["colour"] == pytest.approx(0.99)
    assert red.confidence["shape"] == 1
    assert least_confidence([red, green]) == pytest.approx(0.99)
    assert not red.cut


def test_noise_is_no_object(monkeypatch):
    maps = torch.zeros(18, 40, 40)
    maps[16] = 1
    maps[:, 5, 5:9] = 0
    for channel in (0, 2, 4, 8, 17):
        maps[channel, 5, 5:9] = 1
    assert seen_objects(maps) == []
    assert least_confidence([]) == 0
    monkeypatch.setattr(objects, "SMALLEST", 0.001)
    assert len(seen_objects(maps)) == 1


def test_an_object_at_the_border_is_cut():
    maps = two_colours().roll(-10, dims=2)
    red, green = seen_objects(maps)
    assert red.cut
    assert not green.cut


def test_bad_input():
    with pytest.raises(SegmentationError, match=r"expected \(B, 18, H, W\)"):
        seen_objects(torch.zeros(17, 8, 8))
    with pytest.raises(SegmentationError, match="images of shape"):
        describe(load_segmenter(), torch.zeros(2, 1, 64, 64))


def test_far_scenes_can_be_taken_apart():
    scene = sample_scene(3, 3, 3)
    maps = attribute_channels([scene], render([scene], 128).instances)[0]
    assert len(seen_objects(maps)) == 3
