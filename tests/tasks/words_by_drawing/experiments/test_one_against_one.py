"""One against one: rendered, stored and altered negatives, and the whole experiment on a small world."""

import json

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from config import Factory
from datasets.images import ImageTransform
from datasets.spoken_captions.readers import PlacesFiles
from datasets.spoken_captions.records import SpokenCaption
from datasets.world.build import ensure_world
from datasets.world.settings import World
from tasks.speech_image.trained import ModelSource
from tasks.words_by_drawing.experiments.negative_images import (
    AlteredNegatives,
    RenderedNegatives,
    StitchedNegatives,
    StoredNegatives,
)
from tasks.words_by_drawing.experiments.one_against_one import one_against_one


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return ensure_world(World(folder / "w", scenes=6, size=32, splits=(0.0, 0.0, 1.0), max_objects=2, workers=1))


def test_rendered_negatives_change_one_attribute(world, trained_run, context):
    image = {"size": 32, "resize": 32, "random_crop": False}
    data = Factory(
        PlacesFiles, {"manifest": str(world / "places" / "test.json"), "image": image, "max_frames": 256}, "data"
    )
    negatives = RenderedNegatives(world, ["colour"])
    one_against_one(ModelSource(run=trained_run), data, negatives, context, run=context.settings)
    found = json.loads((context.folder / "metrics.json").read_text())
    assert found["n"] == 6
    assert found["chance_recall@1"] == 0.5
    assert found["recall@1"] == found["beats colour"]
    dataset = data(train=False, on_error="error")
    rendered = dataset.image_u8(0)
    (negative,) = negatives(dataset.record(0), rendered, 3)
    assert negative.image.shape == rendered.shape
    changed = np.abs(negative.image.astype(int) - rendered).max(2) > 40
    assert 0 < changed.mean() < 0.5
    assert negatives(dataset.record(0), rendered, 3)[0].label == negative.label
    with pytest.raises(UserError, match="is not of the world"):
        negatives(SpokenCaption("other"), rendered, 3)
    with pytest.raises(UserError, match=r"holds no scenes\.jsonl"):
        RenderedNegatives(world / "places")


def test_stitched_negatives_put_an_object_of_another_scene_in_place(world):
    dataset = PlacesFiles(world / "places" / "test.json", ImageTransform(32, 32, False), False)
    negatives = StitchedNegatives(world, only=False, hole=3, margin=3)
    labels = set()
    for row in range(4):
        rendered = dataset.image_u8(row)
        (negative,) = negatives(dataset.record(row), rendered, row)
        assert negative.label.startswith("stitched ")
        changed = np.abs(negative.image.astype(int) - rendered).max(2) > 30
        assert 0.005 < changed.mean() < 0.5
        assert (negatives(dataset.record(row), rendered, row)[0].image == negative.image).all()
        labels.add(negative.label)
    assert len(labels) > 1
    negatives._fits = lambda *_: False
    with pytest.raises(UserError, match=r"found no object to stitch into the image of .* among 2000 drawn from"):
        negatives(dataset.record(0), rendered, 0)
    with pytest.raises(ValueError, match=r"negatives\.attributes is empty"):
        StitchedNegatives(world, [])


def test_warped_negatives_are_the_same_for_a_seed():
    rendered = np.kron(np.indices((8, 8)).sum(0) % 2 * 255, np.ones((8, 8)))[..., None].repeat(3, 2).astype(np.uint8)
    warped = AlteredNegatives(["warped"])
    found = [warped(SpokenCaption("7"), rendered, seed)[0] for seed in (0, 0, 1)]
    assert found[0].label == "warped"
    assert (found[0].image == found[1].image).all()
    assert (found[0].image != found[2].image).mean() > 0.1
    assert (found[0].image != rendered).mean() > 0.1


def test_stored_and_altered_negatives(tmp_path):
    rendered = np.zeros((8, 8, 3), np.uint8)
    rendered[:4, :, 0] = 90
    upside, grey = AlteredNegatives(["upside_down", "grey"])(SpokenCaption("7"), rendered, 0)
    assert (upside.image == rendered[::-1]).all()
    assert grey.image[0, 0].tolist() == [30, 30, 30]
    for name in ("7.png", "7_a.png", "71.png"):
        Image.fromarray(rendered[2:6, :4]).save(tmp_path / name)
    stored = StoredNegatives(tmp_path)
    found = stored(SpokenCaption("7"), rendered, 0)
    assert len(found) == 2
    assert found[0].image.shape == (8, 8, 3)
    with pytest.raises(UserError, match=r"has no 8\.jpg"):
        stored(SpokenCaption("8"), rendered, 0)
    with pytest.raises(UserError, match="there is no folder"):
        StoredNegatives(tmp_path / "none")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("5", "holds 5, expected a mapping"),
        ("[" * 100_000 + "]" * 100_000, "holds lists or mappings nested too deeply to be read"),
        ("{}", r"is no scene of a world \(KeyError\('scene'\)\)"),
        ('{"scene": {"objects": [[1]]}}', r"is no scene of a world \(TypeError"),
        ('{"scene": {"objects": []}, "id": "7", "spoken": 5}', r"is no scene of a world \(TypeError"),
    ],
)
def test_scenes_that_are_none_are_one_sentence(tmp_path, line, message):
    (tmp_path / "scenes.jsonl").write_text('{"scene": {"objects": []}, "id": "6", "spoken": []}\n' + line)
    with pytest.raises(UserError, match=rf"scenes\.jsonl, line 2: {message}.*; build the world again"):
        RenderedNegatives(tmp_path)
