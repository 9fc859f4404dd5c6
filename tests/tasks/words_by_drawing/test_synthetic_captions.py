"""Captions of generated images: the published layout, the same whatever the processes, resumed, and refused."""

import json

import numpy as np
import pytest
import torch

from common.errors import UserError
from config import Factory
from datasets.spoken_captions.readers import GanClevr
from gan.latents import latents
from gan.progan.generator import ProganGenerator
from models.segmenter.labels import ATTRIBUTE_CATEGORIES, ATTRIBUTE_LABELS, label_maps
from models.segmenter.objects import seen_objects
from tasks.words_by_drawing import synthetic_captions
from tasks.words_by_drawing.synthetic_captions import build, ensure_built
from tasks.words_by_drawing.synthetic_shards import SyntheticSet, shard_path, why_not


def tiny_generator(seed: int = 3) -> ProganGenerator:
    torch.manual_seed(seed)
    return ProganGenerator(8, [8, 8, 8])


class HalvesSegmenter:
    """Sees a red cube on the left and a ball on the right, gray or blue; nothing in every fourth image."""

    labels, categories = ATTRIBUTE_LABELS, ATTRIBUTE_CATEGORIES

    def segment(self, images):
        numbers = torch.zeros(len(images), 5, 16, 16, dtype=torch.int64)
        level = (images.mean((1, 2, 3)) * 1000).floor().long() % 4  # as good as random
        for row, value in enumerate(level.tolist()):
            if value == 0:
                continue
            numbers[row, :, 5:11, 2:7] = torch.tensor([1, 1, 1, 2, 1])[:, None, None]
            colour = 1 if value == 1 else 3
            numbers[row, :, 5:11, 9:14] = torch.tensor([2, 2, 2, colour, 1])[:, None, None]
        return label_maps(numbers)


GENERATOR = Factory(tiny_generator, {}, "generator")
SEGMENTER = Factory(HalvesSegmenter, {}, "segmenter")


def settings(folder, **more):
    return SyntheticSet(
        **{"folder": folder, "candidates": 40, "workers": 1, "speakers": 3, "cut": True, "images": True} | more
    )


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_layout_is_published_and_says_what_is_seen(tmp_path):
    build(settings(tmp_path / "set"), GENERATOR, SEGMENTER)
    folder = tmp_path / "set"
    summary = json.loads((folder / "built.json").read_text())["summary"]
    assert summary["captions"] + sum(summary["rejected"].values()) == 40
    assert summary["rejected"].get("empty", 0) > 0
    dataset = GanClevr(folder, "train", None, train=False)
    rows = [json.loads(line) for line in (folder / "alignments.jsonl").read_text().splitlines()]
    assert len(rows) == summary["captions"] == sum(summary["splits"].values())
    assert len(dataset) == summary["splits"]["train"]
    table = latents(40, 8)
    for row in range(3):
        record = dataset.record(row)
        assert record.alignment[0][2] == record.text.split()[0].upper()
        assert dataset[row]["latent"] == int(record.uttid)
        seen = seen_objects(HalvesSegmenter().segment(tiny_generator()(table[int(record.uttid)][None]))[0].float())
        colours = {item.colour for item in seen}
        assert all(colour in record.text for colour in colours), record.text
        assert (folder / "images" / f"{record.uttid}.jpg").exists()
    lost = [json.loads(line) for line in (folder / "rejected.jsonl").read_text().splitlines()]
    assert {line["rejected"] for line in lost} == {"empty: nothing was seen"}
    assert not (folder / ".work").exists()


def test_a_killed_build_goes_on_and_gives_the_same_bytes(tmp_path, monkeypatch):
    whole, cut = settings(tmp_path / "whole"), settings(tmp_path / "cut", workers=2)
    ensure_built(whole, GENERATOR, SEGMENTER)
    monkeypatch.setattr(synthetic_captions, "_finish", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        ensure_built(cut, GENERATOR, SEGMENTER)
    shard_path(cut, 1).unlink()
    monkeypatch.undo()
    ensure_built(cut, GENERATOR, SEGMENTER)
    assert contents(tmp_path / "whole") == contents(tmp_path / "cut")
    before = contents(tmp_path / "cut")
    assert ensure_built(cut, GENERATOR, SEGMENTER) == cut.folder
    assert contents(tmp_path / "cut") == before


def test_other_settings_or_another_generator_are_not_mixed(tmp_path):
    ensure_built(settings(tmp_path / "set"), GENERATOR, SEGMENTER)
    with pytest.raises(UserError, match="seed is 0 there, 4 asked for"):
        ensure_built(settings(tmp_path / "set", seed=4), GENERATOR, SEGMENTER)
    other = Factory(tiny_generator, {"seed": 4}, "generator")
    with pytest.raises(UserError, match="holds other captions: generator is"):
        ensure_built(settings(tmp_path / "set"), other, SEGMENTER)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    with pytest.raises(UserError, match="is not empty and holds no built captions"):
        ensure_built(settings(tmp_path / "other"), GENERATOR, SEGMENTER)


def test_a_dry_run_builds_a_few_elsewhere(tmp_path):
    real = settings(tmp_path / "real", candidates=4000)
    ensure_built(real, GENERATOR, SEGMENTER, dry_folder=tmp_path / "dry")
    assert not (tmp_path / "real").exists()
    assert len((tmp_path / "dry" / "name_list_train.txt").read_text().split()) > 5


def test_what_is_left_out(tmp_path):
    (seen,) = [seen_objects(HalvesSegmenter().segment(torch.full((1, 3, 16, 16), 0.0015))[0].float())]
    assert len(seen) == 2
    assert why_not(settings(tmp_path), seen) is None
    assert why_not(settings(tmp_path, max_objects=1), seen) == "too full: 2 objects"
    unsure = [seen[0]._replace(confidence={**seen[0].confidence, "shape": 0.5}), seen[1]]
    assert why_not(settings(tmp_path), unsure) == "unsure: 0.50"
    assert why_not(settings(tmp_path, least_confidence=None), unsure) is None
    edge = [seen[0]._replace(box=(0.0, 0.1, 0.3, 0.5)), seen[1]]
    assert why_not(settings(tmp_path), edge) is None
    assert why_not(settings(tmp_path, cut=False), edge).startswith("cut off")
    with pytest.raises(UserError, match="None of 3 images could be described"):
        ensure_built(settings(tmp_path / "x", candidates=3, max_objects=1), GENERATOR, SEGMENTER)
    with pytest.raises(
        UserError, match=r"least_confidence: found 2.0 .float., expected float, greater than or equal to 0"
    ):
        settings(tmp_path, least_confidence=2.0)


def test_splits_are_exact_and_disjoint(tmp_path):
    dealt = settings(tmp_path, splits=(0.5, 0.25, 0.25)).assign_splits(list(range(0, 80, 2)))
    counts = np.unique(list(dealt.values()), return_counts=True)
    assert dict(zip(*map(list, counts), strict=True)) == {"train": 20, "val": 10, "test": 10}


def test_shares_that_do_not_add_up_are_an_error(tmp_path):
    with pytest.raises(UserError, match=r"splits: found \(0.5, 0.5, 0.5\), expected three shares that add up to 1"):
        settings(tmp_path, splits=(0.5, 0.5, 0.5))
