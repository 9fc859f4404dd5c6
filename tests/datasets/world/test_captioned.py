"""The captioned world: its files, held-out pairs, documents with distractors, the same bytes however it is built."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import config
from datasets.text_image.dataset import CaptionedImages
from datasets.text_image.vocabulary import words
from datasets.world import captioned
from datasets.world.captioned import (
    SPLITS,
    CaptionedWorld,
    CaptionedWorldError,
    ensure_captioned,
    kinds_of,
    noise_split,
    read_scenes,
)
from datasets.world.render.ray_cast import render
from datasets.world.scene.objects import HALF_VIEW

HELD_OUT = ("red cube", "blue sphere", "green cylinder")
SHARES = (0.2, 0.8)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    settings = CaptionedWorld(
        tmp_path_factory.mktemp("captioned"), train=70, validation=9, test=8, composition=12, size=24, border=2, seed=3,
        captions_per_image=3, held_out=HELD_OUT, distractor_shares=SHARES, workers=1,
    )  # fmt: skip
    ensure_captioned(settings)
    return settings


def rows(world, name):
    return json.loads((world.folder / f"{name}.json").read_text(encoding="utf-8"))


def contents(folder):
    """Return the bytes of all files by their path, without the lock."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_images_are_those_of_their_scenes(world):
    for split, index in (("train", 66), ("validation", 2), ("composition", 11)):
        row = rows(world, split)[index]
        shown = np.array(Image.open(world.folder / row["image"]))
        scene = world.scene(split, index)
        view = render([scene], 20).image[0].numpy()  # the middle is the view of near scenes at 20 pixels
        assert shown.shape == (24, 24, 3)
        np.testing.assert_array_equal(shown[3:-3, 3:-3], view[1:-1, 1:-1])  # but where the finer rays of edges end
        assert row["class"] == " and ".join(kinds_of(scene))


def test_splits_and_their_lists(world):
    for split, count in zip(SPLITS, (70, 9, 8, 12), strict=True):
        found = rows(world, split)
        assert len(found) == count
        assert all(len(set(row["captions"])) == 3 for row in found)
        for share in SHARES:
            documents = rows(world, noise_split(split, share))
            assert [(row["image"], row["class"]) for row in documents] == [
                (row["image"], row["class"]) for row in found
            ]
    assert not (world.folder / ".work").exists()


def test_pairs_that_are_held_out(world):
    for split in SPLITS:
        for row, found in zip(rows(world, split), read_scenes(world.folder, split).values(), strict=True):
            kinds = {f"{item['colour']} {item['shape']}" for item in found}
            assert bool(kinds & set(HELD_OUT)) == (split == "composition")
            assert sorted(kinds) == row["class"].split(" and ")
    scenes = [scene for split in SPLITS for scene in read_scenes(world.folder, split).values()]
    singles = sum(len(scene) == 1 for scene in scenes)
    assert 0.35 < singles / len(scenes) < 0.65  # every number of objects is equally likely, whatever is held out


def test_the_truth_of_an_image(world):
    scene = world.scene("test", 0)
    found = read_scenes(world.folder, "test")[rows(world, "test")[0]["image"]]
    instances = render([scene], 24, half_view=HALF_VIEW * 24 / 20).instances[0].numpy()
    for number, (item, truth) in enumerate(zip(scene.objects, found, strict=True), start=1):
        assert [truth[key] for key in ("colour", "shape", "size", "material")] == [
            item.colour, item.shape, item.size, item.material,
        ]  # fmt: skip
        mask = instances == number
        x, y, width, height = truth["box"]
        assert truth["pixels"] == mask.sum() == mask[y : y + height, x : x + width].sum()


def test_documents_hold_the_captions(world):
    for split in SPLITS:
        for share in SHARES:
            counts = np.zeros(2)
            for row, noisy in zip(rows(world, split), rows(world, noise_split(split, share)), strict=True):
                for text, document in zip(row["captions"], noisy["captions"], strict=True):
                    assert text in document.split(". ")
                    counts += len(words(text)), len(words(document))
            assert abs(1 - counts[0] / counts[1] - share) < 0.05


def test_one_vocabulary_reads_every_share(world):
    known = json.loads((world.folder / "vocabulary.json").read_text(encoding="utf-8"))
    names = ["train", *(noise_split("train", share) for share in SHARES)]
    used = {word for name in names for row in rows(world, name) for text in row["captions"] for word in words(text)}
    assert known == sorted(used)
    for name in names:
        data = CaptionedImages(world.folder, name, train=False, resolutions=(8, 16), max_words=60, margin=1.0)
        assert data.vocabulary.words[1:] == known
        assert data.text(5, 2) == rows(world, name)[5]["captions"][2]
        assert data[5]["ntokens"] == len(words(data.text(5)))


def test_the_same_settings_give_the_same_bytes(world, tmp_path, monkeypatch):
    """Also where the build was interrupted, and two processes go on."""
    again = replace(world, folder=tmp_path, workers=2)
    with monkeypatch.context() as patched:
        patched.setattr(captioned, "_write_lists", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ensure_captioned(replace(again, workers=1))
    (tmp_path / ".work" / "000001.json").unlink()
    ensure_captioned(again)
    assert contents(tmp_path) == contents(world.folder)


def test_a_finished_world_is_left_alone_and_another_one_refused(world):
    before = (world.folder / "train.json").stat().st_mtime_ns
    ensure_captioned(replace(world, workers=2))
    assert (world.folder / "train.json").stat().st_mtime_ns == before
    with pytest.raises(CaptionedWorldError, match=r"holds another captioned world: seed is 3 there, 4 asked for"):
        ensure_captioned(replace(world, seed=4))


def test_a_dry_run_builds_a_few_elsewhere(world, tmp_path):
    folder = ensure_captioned(replace(world, folder=tmp_path / "unused", train=500), dry_folder=tmp_path / "dry")
    assert len(json.loads((folder / "train.json").read_text(encoding="utf-8"))) == 64
    assert (folder / "composition_noise80.json").is_file()
    assert not (tmp_path / "unused").exists()


def test_scenes_of_another_folder(world, tmp_path):
    with pytest.raises(CaptionedWorldError, match="is missing or cannot be read: build the world"):
        read_scenes(tmp_path, "train")
    with pytest.raises(CaptionedWorldError, match="holds no scenes of a split val, or not all"):
        read_scenes(world.folder, "val")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"held_out": ("red cone",)}, "at most 12 different pairs such as red cube"),
        ({"held_out": ("red cube", "red cube")}, "at most 12 different pairs"),
        ({"composition": 5}, "found 5 with 0 pairs held_out; give both or none"),
        ({"held_out": ("red cube",)}, "found 0 with 1 pairs held_out; give both or none"),
        ({"distractor_shares": (0.4, 0.2)}, "rising shares of whole percents"),
        ({"distractor_shares": (0.205,)}, "rising shares of whole percents"),
        ({"distractor_shares": (0.95,)}, "rising shares of whole percents from 0.01 to 0.9"),
        ({"min_objects": 2, "max_objects": 1}, "min_objects: found 2, expected at most max_objects, 1"),
        ({"size": 32, "border": 9}, "border: found 9, expected at most 8, so that 16 pixels lie inside"),
        ({"captions_per_image": 11}, "captions_per_image"),
    ],
)
def test_settings_that_cannot_be(tmp_path, settings, message):
    with pytest.raises(config.ConfigError, match=message):
        CaptionedWorld(tmp_path, train=4, **settings)
