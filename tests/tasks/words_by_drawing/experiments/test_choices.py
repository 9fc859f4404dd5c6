"""Evaluation, recall, stored negatives and their making, one against one: on a tiny generator and random weights."""

import csv
import json

import numpy as np
import pytest
import torch
import yaml

import config
from common.errors import UserError
from evaluation.choices import Choice, ChoiceError, choice_metrics
from gan.editing.regenerate import generate
from gan.latents import LatentError
from gan.progan.generator import ProganGenerator
from models.segmenter.network import SmallSegmenter
from published.words_by_drawing.negatives import Negative, NegativesError, read_negatives, write_negatives
from tasks.speech_image.trained import ModelSource
from tasks.words_by_drawing.experiments.encoders import load_model
from tasks.words_by_drawing.experiments.evaluate import evaluate
from tasks.words_by_drawing.experiments.images import LatentTable
from tasks.words_by_drawing.experiments.make_negatives import Search, make_negatives, promising
from tasks.words_by_drawing.experiments.recall import recall
from tasks.words_by_drawing.experiments.recall_selected import recall_selected, regenerate_negatives
from tasks.words_by_drawing.experiments.scene_changes import changes, reported_changes, things
from tasks.words_by_drawing.negatives import one_cluster_each
from tests.tasks.words_by_drawing.experiments.conftest import with_clusters


def metrics(context):
    return json.loads((context.folder / "metrics.json").read_text())


def test_ranks_and_ties():
    """Own score 2: three higher, one equal (counts as preferred), one lower: rank 4 of 6."""
    choice = Choice("a", "", np.array([2.0, 3, 4, 5, 2, 1]), ["colour: x", "colour: y", "size: z"])
    assert choice.rank == 4
    other = Choice("b", "", np.array([9.0, 1, 1, 1, 1, 1]))
    found = choice_metrics([choice, other], (1, 5, 6))
    assert found["recall@1"] == 0.5
    assert found["recall@5"] == 1.0
    assert "recall@6" not in found
    assert found["chance_recall@1"] == pytest.approx(1 / 6)
    assert found["beats colour"] == 0
    assert found["mean_rank"] == 3  # 5 and 1, counted from 1
    with pytest.raises(ChoiceError, match="no caption to test"):
        choice_metrics([], (1,))
    with pytest.raises(ChoiceError, match="expected finite"):
        Choice("c", "", np.array([1.0, np.nan]))


def test_evaluate_draws_the_images(trained_run, captions, context, generator):
    evaluate(ModelSource(run=trained_run), captions(), context, generator, pairs=6, batch_size=4, run=context.settings)
    found = metrics(context)
    assert found["n"] == 6
    assert found["A_r10"] == 1.0
    rows = (context.folder / "queries.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 6
    assert (context.folder / "report.html").exists()


def test_captions_are_padded_as_in_validation(trained_run):
    assert load_model(ModelSource(run=trained_run), torch.device("cpu")).target_length == 256
    values = yaml.safe_load((trained_run / "config.yaml").read_text())
    values["data"]["evaluation_target_length"] = 512
    (trained_run / "config.yaml").write_text(yaml.safe_dump(values))
    assert load_model(ModelSource(run=trained_run), torch.device("cpu")).target_length == 512


def test_evaluate_reads_image_files(trained_run, captions, context):
    checkpoint = trained_run / "checkpoints" / "best.pt"
    evaluate(ModelSource(run=checkpoint), captions(True), context, pairs=None, run=context.settings)
    assert metrics(context)["n"] == 8


def test_recall_with_edited_negatives_repeats(trained_run, captions, context, generator):
    def run(name):
        context.settings.name = name
        recall(
            ModelSource(run=trained_run),
            captions(),
            generator,
            context,
            layers=["layer3", "layer4"],
            captions=3,
            max_retries=2,
            run=context.settings,
        )
        return json.loads((context.settings.folder / name / "metrics.json").read_text())

    found = run("one")
    assert found["candidates"] == 10
    assert found["n"] == 3
    assert 0 <= found["recall@1"] <= found["recall@5"] <= 1
    assert run("two") == found
    rows = (context.settings.folder / "one" / "choices.csv").read_text().splitlines()
    assert len(rows) == 4
    assert "own image" in (context.settings.folder / "one" / "report.html").read_text()


def test_recall_with_the_clusters_of_the_run(trained_run, captions, context, generator):
    def run(**more):
        arguments = {"layers": ["layer4"], "captions": 2, "negatives": 3, "max_retries": 0, "run": context.settings}
        recall(ModelSource(run=trained_run), captions(), generator, context, edits="clusters", **(arguments | more))

    with pytest.raises(UserError, match=r"holds no clusters; train with task\.objective\.negatives\.clustering"):
        run()
    with_clusters(trained_run)
    run()
    assert metrics(context)["candidates"] == 4
    with pytest.raises(UserError, match="ranks the units of layer4, not of 'layer3'"):
        run(layers=["layer3"])


def test_each_negative_starts_from_another_cluster():
    near = torch.tensor([[0.5, 2.0, 1.0]]).expand(4, -1)
    assert one_cluster_each(near).argmax(1).tolist() == [1, 2, 0, 1]


def test_made_negatives_change_one_attribute_and_are_used(trained_run, captions, context, generator, segmenter):
    """With this segmenter only the colour of the one thing can change and everything else must stay."""
    node, path = captions(), context.settings.folder / "negatives.pth.tar"
    context.settings.name = "making"
    make_negatives(node, generator, segmenter, context, negatives=1, attempts=64, output=path, run=context.settings)
    stored = read_negatives(path)
    assert stored
    made = json.loads((context.settings.folder / "making" / "metrics.json").read_text())
    assert made["pictures"] == len(stored) == 8 - made["left_out"]
    table = torch.from_numpy(np.random.RandomState(1).standard_normal(50002 * 8).reshape(-1, 8)).float()
    for name, rows in stored.items():
        images = regenerate_negatives(generator, segmenter, table[name : name + 1], rows, "layer4", str(name))
        message = reported_changes(segmenter, images)
        assert all(text.startswith("colour: ") for text in message)
        assert len(message) == 1
    context.settings.name = "result"
    model = ModelSource(run=trained_run)
    recall_selected(model, node, generator, segmenter, path, context, run=context.settings)
    found = metrics(context)
    assert found["candidates"] == 2
    assert found["n"] == len(stored)
    assert 0 <= found["beats colour"] <= 1


def test_negatives_are_used_only_with_what_they_were_made_for(
    trained_run, captions, context, generator, segmenter, caplog
):
    """Layer3 and layer4 of this generator have as many units."""
    node, path = captions(), context.settings.folder / "negatives.pth.tar"
    context.settings.name = "making"
    make_negatives(node, generator, segmenter, context, negatives=1, attempts=64, output=path, run=context.settings)
    context.settings.name = "result"

    def use(layer="layer4", generator=generator, segmenter=segmenter):
        model = ModelSource(run=trained_run)
        recall_selected(model, node, generator, segmenter, path, context, layer, captions=1, run=context.settings)

    with pytest.raises(NegativesError, match=r"was made for layer4 .*not for layer3: give layer=layer4"):
        use(layer="layer3")
    with pytest.raises(NegativesError, match="was made with another generator"):
        use(generator=ProganGenerator(8, [12, 12, 8, 8]))
    with pytest.raises(NegativesError, match="was made with another segmenter"):
        use(segmenter=SmallSegmenter())
    beside = path.with_name("negatives.pth.tar.json")
    assert json.loads(beside.read_text())["layer"] == "layer4"
    use()
    assert "not checked" not in caplog.text
    noted = beside.read_text()
    beside.write_text("{}")
    with pytest.raises(NegativesError, match=r"tar.json does not say what .* were made for .*delete it"):
        use()
    beside.write_text(noted.replace('"sha256": "', '"sha256": "0'))
    use()
    assert "another file is described by negatives.pth.tar.json, so layer, generator" in caplog.text
    beside.unlink()
    use()
    assert "there is no negatives.pth.tar.json" in caplog.text


def test_a_stopped_search_goes_on_and_finds_the_same(captions, context, generator, segmenter, monkeypatch):
    node, folder = captions(), context.settings.folder

    def make(name, **changed):
        context.settings.name = name
        arguments = {"negatives": 1, "attempts": 64, "output": folder / f"{name}.pth.tar"} | changed
        make_negatives(node, generator, segmenter, context, run=context.settings, **arguments)

    make("whole")
    whole = read_negatives(folder / "whole.pth.tar")
    searched, times = [], Search.__call__

    def stopping(search, name, latent):
        searched.append(name)
        if len(searched) == 4:
            raise KeyboardInterrupt
        return times(search, name, latent)

    monkeypatch.setattr(Search, "__call__", stopping)
    with pytest.raises(KeyboardInterrupt):
        make("stopped")
    assert not (folder / "stopped.pth.tar").exists()
    kept = folder / "stopped.pth.tar.searched.jsonl"
    kept.write_text(kept.read_text() + '{"id": 3, "negat')  # a line cut by a kill
    whole_lines = kept.read_text()
    kept.write_text(whole_lines.replace('"negatives"', '"negative"', 1))
    with pytest.raises(UserError, match="is damaged at"):
        make("stopped")
    kept.write_text(whole_lines)
    make("stopped")
    assert searched[4:] == [searched[3], *searched[5:]]
    assert len(searched) == 4 + 8 - 3
    again = read_negatives(folder / "stopped.pth.tar")
    assert list(again) == list(whole)
    for name, rows in whole.items():
        for one, other in zip(rows, again[name], strict=True):
            assert one.position == other.position
            assert torch.equal(one.units, other.units)
    assert not kept.exists()
    searched.clear()
    with pytest.raises(KeyboardInterrupt):
        make("other", seed=3)
    searched.clear()
    with pytest.raises(KeyboardInterrupt):
        make("other", seed=4)  # another search: nothing of the first is taken
    assert len(searched) == 4


def test_region_of_a_negative_is_what_has_the_labels_of_its_position(generator, segmenter):
    """All units off outside the thing change only the border; the middle of the image stays."""
    latent = torch.ones(1, 8)
    before = generate(generator, latent, ["layer8"]).images[0]
    rows = [Negative((0, 0), torch.ones(8))]
    after = regenerate_negatives(generator, segmenter, latent, rows, "layer8", "x")[1]
    assert torch.equal(before[:, 2:-2, 2:-2], after[:, 2:-2, 2:-2])
    assert not torch.equal(before[:, :2], after[:, :2])


def test_changes_between_images(segmenter):
    images = torch.zeros(3, 3, 16, 16)
    images[0, 0], images[1, 2], images[2, 0] = 1, 1, 0.5
    red, blue, red_too = (things(labels) for labels in segmenter.segment(images))
    assert changes(red, red_too) == []
    (change,) = changes(red, blue)
    assert (change.kind, change.before, change.after) == ("colour", "red", "blue")
    assert changes(red, []) is None


def test_only_promising_edits_are_described():
    """One thing of 4 pixels; an edit is promising when most of its pixels change one attribute and no other."""

    def labelled(*channels):
        maps = torch.zeros(18, 2, 2, dtype=torch.bool)
        maps[list(channels)] = True
        return maps

    original = labelled(0, 2, 4, 9)  # large, rubber, cube, red
    same, blue, small_blue = original.clone(), labelled(0, 2, 4, 10), labelled(1, 2, 4, 10)
    little = original.clone()
    little[9, 0, 0], little[10, 0, 0] = False, True
    masks = torch.ones(4, 2, 2, dtype=torch.bool)
    assert promising(original, torch.stack([same, blue, small_blue, little]), masks) == [1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "holds a list, expected a dict"),
        ({}, "holds nothing, expected a dict"),
        ({"x": []}, "'x' is no id"),
        ({"1": []}, "expected a list of"),
        ({"1": [(3, torch.ones(4))]}, r"expected \(position, units\)"),
        ({"1": [((1, -2), torch.ones(4))]}, "expected a row and a column"),
        (
            {"1": [((1.0, float("inf")), torch.ones(4))]},
            r"expected \(position, units\) \(cannot convert float infinity",
        ),
        ({"1": [((1.5, 2), torch.ones(4))]}, r"has position \(1\.5, 2\) .*whole numbers from 0"),
        ({"1": [((1, 2), torch.ones(4) * 1j)]}, r"units is of the type torch\.complex64"),
        ({"1": [((1, 2), torch.full((4,), 0.5))]}, "units of 0 or 1"),
        ({"1": [((1, 2), torch.ones(4))], "2": [((1, 2), torch.ones(5))]}, r"\[4, 5\] units"),
        ({"1": [((1, 2), print)]}, "holds more than weights"),
    ],
)
def test_malformed_negatives(tmp_path, content, message):
    torch.save(content, tmp_path / "negatives.pth.tar")
    with pytest.raises(UserError, match=message):
        read_negatives(tmp_path / "negatives.pth.tar")


def test_published_forms_of_negatives(tmp_path):
    """The old torch format, positions as NumPy arrays or tensors; a truncated and a missing file."""
    path = tmp_path / "negatives.pth.tar"
    units = torch.tensor([0.0, 1.0])
    content = {"7": [(np.array([3, 4]), units), (torch.tensor([5.0, 6.0]), units)], "2": [([1, 2], units)]}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    found = read_negatives(path)
    assert list(found) == [7, 2]
    assert [row.position for row in found[7]] == [(3, 4), (5, 6)]
    again = read_negatives(write_negatives(tmp_path / "copy.pth.tar", found))
    assert again.keys() == found.keys()
    assert torch.equal(again[7][0].units, units)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match="is not a complete torch file"):
        read_negatives(path)
    with pytest.raises(UserError, match="There is no weight file"):
        read_negatives(tmp_path / "other.pth.tar")


def test_negatives_of_another_generator(generator, segmenter):
    rows = [Negative((1, 1), torch.ones(5))]
    with pytest.raises(NegativesError, match="has 5 units, but layer4 of this generator has 12"):
        regenerate_negatives(generator, segmenter, torch.ones(1, 8), rows, "layer4", "id 3")
    with pytest.raises(NegativesError, match=r"position \(99, 1\) lies outside"):
        regenerate_negatives(
            generator, segmenter, torch.ones(1, 8), [Negative((99, 1), torch.ones(12))], "layer4", "id 3"
        )


def test_what_is_missing_is_said(trained_run, captions, context, generator):
    def attempt(source, node, **more):
        evaluate(source, node, context, run=context.settings, **more)

    with pytest.raises(UserError, match="expected exactly one"):
        attempt(ModelSource(), captions(), generator=generator)
    with pytest.raises(UserError, match="There is no trained run at"):
        attempt(ModelSource(run=trained_run.parent / "other"), captions(), generator=generator)
    with pytest.raises(UserError, match="There is no weight file"):
        attempt(ModelSource(published=trained_run / "model_best_x.pth.tar"), captions(), generator=generator)
    with pytest.raises(UserError, match="give one of the two"):
        attempt(ModelSource(run=trained_run), captions())
    with pytest.raises(UserError, match="latent id 103 is out of range: there are 100 latents"):
        attempt(ModelSource(run=trained_run), captions(), generator=generator, latents=LatentTable(number=100))
    names = captions.folder / "name_list_test.txt"
    listed = names.read_text()
    (captions.folder / "audio" / "99999999999.wav").write_bytes((captions.folder / "audio" / "7.wav").read_bytes())
    names.write_text(listed + "99999999999\n")
    with pytest.raises(UserError, match=r"caption 99999999999 asks for .*set latents\.number"):
        attempt(ModelSource(run=trained_run), captions(), generator=generator)
    names.write_text(listed)
    (captions.folder / "audio" / "103.wav").unlink()
    with pytest.raises(UserError, match=r"103.*does not exist"):
        attempt(ModelSource(run=trained_run), captions(), generator=generator)
    best = trained_run / "checkpoints" / "best.pt"
    best.write_bytes(best.read_bytes()[:500])
    with pytest.raises(UserError, match="truncated or no checkpoint"):
        attempt(ModelSource(run=trained_run), captions(), generator=generator)
    with pytest.raises(UserError, match=r"no file of negatives at .*download_data\.sh negatives"):
        missing = trained_run / "negatives.pth.tar"
        recall_selected(ModelSource(run=best), captions(), generator, None, missing, context, run=context.settings)
    rows = [Negative((1, 1), torch.ones(12))]
    uneven = write_negatives(trained_run / "negatives.pth.tar", {7: rows * 4, 9: rows * 2})
    with pytest.raises(UserError, match=r"different numbers of negatives \(2 for id 9, 4 for id 7\)"):
        recall_selected(ModelSource(run=best), captions(), generator, None, uneven, context, run=context.settings)
    with pytest.raises(UserError, match="no layer 'layer99'"):
        recall(ModelSource(run=best), captions(), generator, context, layers=["layer99"], run=context.settings)


def test_a_network_that_is_no_generator_is_named(trained_run, captions, context):
    with pytest.raises(LatentError, match=r"Identity has no latent_dim; expected a generator"):
        evaluate(ModelSource(run=trained_run), captions(), context, torch.nn.Identity(), run=context.settings)


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("evaluate", "latents.number=0", r"latents\.number .*: found 0 .*greater than 0"),
        ("generate_active_learning", "margin=-1", "margin .*: found -1 .*greater than or equal to 0"),
    ],
)
def test_values_that_mean_nothing_are_refused(name, override, message):
    with pytest.raises(UserError, match=message):
        config.check(config.load(f"words_by_drawing/{name}", [override]))


def test_a_dry_run_leaves_nothing(trained_run, captions, context, generator):
    context.dry_run = True
    recall(
        ModelSource(run=trained_run), captions(), generator, context, layers=["layer4"], negatives=2, max_retries=0,
        run=context.settings,
    )  # fmt: skip
    assert not context.folder.exists()


def test_a_folder_with_a_training_run_is_not_written_to(trained_run, captions, context, generator):
    context.settings.name = "trained"
    with pytest.raises(UserError, match="holds a training run"):
        evaluate(ModelSource(run=trained_run), captions(), context, generator, run=context.settings)


def test_metrics_of_two_scores():
    """By the first score ranks 1 and 3 of 3, by the second 2 and 1."""
    choices = [
        Choice("a", "", np.array([3.0, 1, 2]), others=np.array([1.0, 2, 0])),
        Choice("b", "", np.array([0.0, 1, 2]), others=np.array([5.0, 2, 0])),
    ]
    found = choice_metrics(choices, (1, 2), "published")
    assert (found["recall@1"], found["published_recall@1"]) == (0.5, 0.5)
    assert (found["recall@2"], found["published_recall@2"]) == (0.5, 1.0)
    assert [(choice.rank, choice.other_rank) for choice in choices] == [(0, 1), (2, 0)]
    assert not [name for name in choice_metrics(choices, (1,)) if "published" in name]
    with pytest.raises(ChoiceError, match="expected finite"):
        Choice("c", "", np.array([1.0, 2]), others=np.array([1.0, np.nan]))


def test_the_published_score_of_stored_negatives(trained_run, captions, context, generator, segmenter):
    """max over the image of the mean over the first T frames, T as many as the caption had before pooling."""
    node, path = captions(), context.settings.folder / "negatives.pth.tar"
    stored = [[Negative((9, 9), torch.ones(12))], [Negative((20, 9), torch.arange(12.0) % 2)]]
    dataset = node(train=False, on_error="error")
    ids = [int(dataset.record(row).uttid) for row in range(len(dataset))]
    stored = dict(zip(ids[:2], stored, strict=True))
    write_negatives(path, stored)
    written = {}
    for score in ("similarity", "published"):
        context.settings.name = score
        recall_selected(
            ModelSource(run=trained_run), node, generator, segmenter, path, context, score=score, run=context.settings
        )
        with (context.settings.folder / score / "choices.csv").open(newline="") as file:
            written[score] = list(csv.DictReader(file))
    model = load_model(ModelSource(run=trained_run), torch.device("cpu"))
    found = {score: json.loads((context.settings.folder / score / "metrics.json").read_text()) for score in written}
    assert found["similarity"]["published_recall@1"] == found["published"]["recall@1"]
    assert found["published"]["similarity_recall@1"] == found["similarity"]["recall@1"]
    table = torch.from_numpy(np.random.RandomState(1).standard_normal(50002 * 8).reshape(-1, 8)).float()
    for row, name in enumerate(stored):
        images = regenerate_negatives(generator, segmenter, table[name : name + 1], stored[name], "layer4", "")
        sample = dataset[row]
        mel, frames = sample["mel"], sample["nframes"]
        speech = model.encode_speech(mel[None], torch.tensor([frames]))
        assert frames > speech.features.shape[2] > int(speech.nframes[0])  # so that padding counts
        matchmaps = torch.matmul(model.encode_images(images).permute(0, 2, 3, 1), speech.features[0])
        values = matchmaps[..., 0:frames].mean(3).max(2).values.max(1).values
        text = written["published"][row]
        assert [float(text["score"]), float(text["score_1"])] == pytest.approx(values.tolist(), rel=1e-4)
        assert int(text["other_rank"]) == int(written["similarity"][row]["rank"])
        assert int(text["rank"]) == 1 + int(values[1] >= values[0])


def test_captions_of_one_latent_are_captions_of_one_image(trained_run, captions, context, generator):
    names = captions.folder / "name_list_test.txt"
    first = names.read_text().split()[0]
    for kind in ("audio", "text"):
        (source,) = (captions.folder / kind).glob(f"{first}.*")
        (captions.folder / kind / f"0{first}{source.suffix}").write_bytes(source.read_bytes())
    names.write_text(names.read_text() + f"0{first}\n")
    evaluate(ModelSource(run=trained_run), captions(), context, generator, pairs=None, run=context.settings)
    found = metrics(context)
    assert (found["n"], found["n_captions"]) == (8, 9)
    with (context.folder / "queries.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["query_name"] in (first, f"0{first}")]
    spoken = [row for row in rows if row["direction"] == "speech_to_image"]
    assert len(spoken) == 2
    assert {row["match_name"] for row in spoken} == {first}
    assert spoken[0]["rank"] == spoken[1]["rank"]  # the same sound
