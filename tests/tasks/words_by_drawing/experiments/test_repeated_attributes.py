"""Repeated attributes: presence by pixels, pairing, the table, and the whole experiment on generated images."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from common.errors import UserError
from datasets.loading.rows import ManifestError
from datasets.spoken_captions.records import Records, SpokenCaption
from evaluation.attributes import WORDS, AttributePairsError, attribute_table, presence
from models.segmenter.labels import ATTRIBUTE_CATEGORIES, ATTRIBUTE_LABELS
from models.speech_maps import SpeechMaps
from tasks.speech_image.trained import ModelSource
from tasks.words_by_drawing.experiments import repeated_attributes as repeated_attributes_module
from tasks.words_by_drawing.experiments.experiment import opened
from tasks.words_by_drawing.experiments.repeated_attributes import _read_list, _scores, repeated_attributes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000 + "]" * 100_000, r"is no list of an earlier run \(RecursionError"),
        ("5", r"is no list of an earlier run \(TypeError"),
        ("[[1]]", r"is no list of an earlier run \(TypeError"),
        ("\ufeff" + json.dumps({word: {"with": [[1]], "without": []} for word in WORDS}), r"is no list .* \(TypeError"),
        (
            "\ufeff" + json.dumps({word: {"with": ["b"], "without": []} for word in WORDS}),
            "names 'b', which this set la",
        ),
    ],
)
def test_a_list_that_is_none_is_one_sentence(tmp_path, content, message):
    (tmp_path / "images.json").write_text(content, encoding="utf-8")
    experiment = SimpleNamespace(dataset=Records([SpokenCaption("a")]))
    experiment.dataset.record = experiment.dataset.__getitem__
    with pytest.raises(UserError, match=rf"images: .*images\.json {message}"):
        _read_list(tmp_path / "images.json", experiment)


def test_presence_by_the_published_limits():
    """At 128 x 128: 101 to 699 pixels are there (sizes to 19,999), up to 9 absent; at 64 x 64 a quarter of that."""
    gray, large = WORDS.index("gray"), WORDS.index("large")
    for pixels, scale in ((128 * 128, 1), (64 * 64, 0.25)):
        counts = np.full((5, len(WORDS)), 50 * scale)
        counts[:, gray] = np.array([9, 10, 101, 699, 700]) * scale
        counts[:, large] = np.array([0, 100, 101, 700, 19999]) * scale
        found = presence(np.floor(counts) if scale == 1 else counts, pixels)
        assert found[:, gray].tolist() == [-1, 0, 1, 1, 0]
        assert found[:, large].tolist() == [-1, 0, 1, 1, 1]


def test_pairs_are_taken_in_order_and_kinds_are_pooled():
    """red: 2 of 3 pairs right (the fourth has no partner); blue: 0 of 1: colour is 2/4. A tie is wrong."""
    scores = {
        "red": ([3, 1, 5, 9], [2, 1, 4]),
        "blue": ([1], [2, 0]),
        "metal": ([1], [0]),
        "large": ([1, 1], [0, 2]),
        "cube": ([0], [1]),
    }
    metrics, rows = attribute_table(scores)
    assert metrics["colour"] == 0.5
    assert (metrics["material"], metrics["size"], metrics["shape"]) == (1.0, 0.5, 0.0)
    assert metrics["mean"] == 0.5
    assert metrics["pairs"] == 8
    assert metrics["word red"] == pytest.approx(2 / 3)
    assert len(rows) == len(WORDS) == 15
    with pytest.raises(AttributePairsError, match="without any shape"):
        attribute_table({**scores, "cube": ([], [1])})


class EverythingSegmenter:
    """Shows attributes by the image's brightness: one set of labels in every second image, the rest in others."""

    labels, categories = ATTRIBUTE_LABELS, ATTRIBUTE_CATEGORIES

    def segment(self, images):
        maps = torch.zeros(len(images), 18, 32, 32, dtype=torch.bool)
        order = images.mean((1, 2, 3)).argsort()
        half = {"large", "rubber", "cube", "gray", "red", "blue", "sphere"}
        for place, row in enumerate(order.tolist()):
            for channel, label in enumerate(ATTRIBUTE_LABELS):
                if (label in half) == (place % 2 == 0):
                    maps[row, channel, :5, :4] = True  # 20 of 1024 pixels: between 6.25 and 43.75
        return maps


def test_the_whole_experiment(trained_run, captions, context, generator, tmp_path):
    model = ModelSource(run=trained_run)
    repeated_attributes(
        model, captions(), EverythingSegmenter(), context, generator, images_each=3, voices=2, run=context.settings
    )
    found = json.loads((context.folder / "metrics.json").read_text())
    assert found["pairs"] == 3 * 15
    listed = json.loads((context.folder / "images.json").read_text())
    assert len(listed["red"]["with"]) == len(listed["red"]["without"]) == 3
    assert not set(listed["red"]["with"]) & set(listed["red"]["without"])
    assert (context.folder / "attributes.csv").read_text().count("\n") == 16
    assert "Words and images" in (context.folder / "report.html").read_text()

    folder = tmp_path / "repetition_audios"
    folder.mkdir()
    tone = np.sin(np.arange(16000) / 20).astype(np.float32)
    for word in WORDS:
        soundfile.write(folder / f"{word.upper()}_amt.wav", tone, 16000)
    context.settings.name = "again"
    arguments = {"audio": folder, "speech": "amt", "images": context.folder / "images.json", "run": context.settings}
    repeated_attributes(model, captions(), EverythingSegmenter(), context, generator, **arguments)
    again = context.settings.folder / "again"
    assert (again / "images.json").read_text() == (context.folder / "images.json").read_text()
    (folder / "RED_amt.wav").unlink()
    with pytest.raises(UserError, match=r"RED_amt\.wav"):
        repeated_attributes(model, captions(), EverythingSegmenter(), context, generator, **arguments)
    soundfile.write(folder / "RED_amt.wav", tone, 16000)
    arguments["images"] = tmp_path / "none.json"
    with pytest.raises(UserError, match=r"images: there is no file .*none\.json; give images\.json of an earlier run"):
        repeated_attributes(model, captions(), EverythingSegmenter(), context, generator, **arguments)


def test_accuracies_are_those_of_the_scores(trained_run, captions, context, generator, monkeypatch):
    """Images score by their place in the list of a word.

    red: images with it 3, 2, 1 against 0, 2, 5 without: one of three right (a tie is wrong); blue: none of three; all
    other words: all three. Colour is the mean over its 8 words' 24 pairs: (1 + 0 + 6 * 3) / 24.
    """
    planted = {"red": ([3, 2, 1], [0, 2, 5]), "blue": ([0, 0, 0], [1, 1, 1])}

    def scores(_experiment, listed, _spoken):
        found = {}
        for word, sides in listed.items():
            with_it, without = planted.get(word, ([1, 1, 1], [0, 0, 0]))
            found[word] = dict(zip(sides["with"] + sides["without"], with_it + without, strict=True))
        return found

    monkeypatch.setattr(repeated_attributes_module, "_scores", scores)
    model = ModelSource(run=trained_run)
    repeated_attributes(
        model, captions(), EverythingSegmenter(), context, generator, images_each=3, run=context.settings
    )
    found = json.loads((context.folder / "metrics.json").read_text())
    assert found["colour"] == pytest.approx(19 / 24, abs=1e-5)
    assert (found["material"], found["size"], found["shape"]) == (1, 1, 1)
    assert found["mean"] == pytest.approx((19 / 24 + 3) / 4, abs=1e-5)


def test_a_image_s_score_is_the_mean_over_frames_of_the_best_cell(trained_run, captions, context, generator):
    with opened(context, context.settings, captions(), ModelSource(run=trained_run), generator) as experiment:
        features = torch.randn(1, 16, 5, generator=torch.Generator().manual_seed(1))
        speech = SpeechMaps(features, torch.tensor([5]))
        listed = {word: {"with": [], "without": []} for word in WORDS} | {"red": {"with": [2, 0], "without": [1]}}
        scores = _scores(experiment, listed, {word: [speech] for word in WORDS})
        maps = experiment.model.encode_images(experiment.images.images([0, 1, 2])).flatten(2)
        expected = torch.einsum("bdp,dt->bpt", maps, features[0]).amax(1).mean(1)
    assert set(scores["red"]) == {0, 1, 2}
    assert not scores["blue"]
    torch.testing.assert_close(torch.tensor([scores["red"][row] for row in range(3)]), expected)


def test_captions_that_share_a_uttid_are_refused(trained_run, captions, context, generator):
    """images.json names images by it."""
    with (captions.folder / "name_list_test.txt").open("a") as file:
        file.write("9\n")
    with pytest.raises(ManifestError, match=r"uttid '9' stands for captions \[1, 8\]"):
        repeated_attributes(
            ModelSource(run=trained_run), captions(), EverythingSegmenter(), context, generator, run=context.settings
        )
