"""Figures of units: what they show, read back from the figure and its files."""

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from evaluation.report.unit_plots import COLOURS, Tier, precision_recall, save, transcripts, words_above

RATE = 16000
WORDS = Tier("words", [(0.0, 0.5, "RED"), (0.5, 1.0, "CUBE")])


def tone(seconds=1.0, hertz=2000.0):
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)


def labels(axes):
    return [text.get_text() for text in axes.texts]


def test_transcripts_are_stacked_from_the_spectrogram_up():
    codes = Tier("quant3", [(0.0, 0.4, 12), (0.4, 1.0, 9)])
    figure = transcripts(tone(), RATE, [WORDS, codes])
    top, middle, bottom = figure.axes
    assert (top.get_ylabel(), middle.get_ylabel(), bottom.get_ylabel()) == ("quant3", "words", "Hz")
    assert labels(top) == ["12", "9"]
    assert labels(middle) == ["RED", "CUBE"]
    assert bottom.get_xlim() == (0.0, 1.0)
    image = bottom.images[0]
    low, high = image.get_extent()[2:]
    loudest = image.get_array().mean(1).argmax() / image.get_array().shape[0] * (high - low) + low
    assert loudest == pytest.approx(2000, abs=50)


def test_a_part_shows_what_lies_in_it_and_drops_labels_without_room():
    figure = transcripts(tone(), RATE, [WORDS], start=0.4, end=0.9, width=4)
    assert labels(figure.axes[0]) == ["RED", "CUBE"]
    narrow = transcripts(tone(), RATE, [WORDS], start=0.47, end=0.9, width=4)
    assert labels(narrow.axes[0]) == ["CUBE"]
    assert labels(transcripts(tone(), RATE, [WORDS], start=0.6).axes[0]) == ["CUBE"]
    left, right = figure.axes[-1].images[0].get_extent()[:2]
    assert (left, right) == pytest.approx((0.4, 0.9), abs=0.01)


@pytest.mark.parametrize(("start", "end"), [(1.0, None), (0.5, 0.5), (-0.1, 0.5), (2.0, 3.0)])
def test_a_part_outside_the_utterance_is_refused(start, end):
    with pytest.raises(UserError, match=r"of an utterance of 1\.00 s; expected some of it"):
        transcripts(tone(), RATE, [WORDS], start, end)


def test_a_very_short_utterance_can_be_drawn():
    assert transcripts(tone(0.002), RATE, []).axes[-1].images


def test_precision_and_recall_of_the_best_words_of_each_model():
    models = {"a": [(0.5, 0.4, 0.6), (0.9, 0.8, 1.0), (0.1, 0.1, 0.1)], "b": [(0.2, 0.2, 0.2)], "c": []}
    axes = precision_recall(models, top=2).axes[0]
    first, second, none = (points.get_offsets().tolist() for points in axes.collections)
    assert first == [[0.8, 1.0], [0.4, 0.6]]
    assert second == [[0.2, 0.2]]
    assert none == []
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a, n = 2", "b, n = 1", "c, n = 0"]


def test_words_above_counts_those_that_just_reach_a_threshold():
    axes = words_above({"a": [0.5, 0.25, 1.0], "none": []}).axes[0]
    thresholds, counts = (np.asarray(values) for values in axes.lines[0].get_data())
    at = {value: counts[np.isclose(thresholds, value)].item() for value in (0.0, 0.25, 0.255, 0.5, 0.505, 1.0)}
    assert at == {0.0: 3, 0.25: 3, 0.255: 2, 0.5: 2, 0.505: 1, 1.0: 1}


def test_more_series_than_colours_can_be_reported_apart():
    models = {str(number): [(0.5, 0.5, 0.5)] for number in range(2 * len(COLOURS))}
    scatter = precision_recall(models).axes[0].collections
    shapes = {(tuple(one.get_facecolor()[0]), len(one.get_paths()[0].vertices)) for one in scatter}
    assert len(shapes) == len(models)
    lines = words_above({name: [0.5] for name in models}).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == len(models)


def test_files_are_whole_and_the_same_each_time(tmp_path):
    first, again = (save(transcripts(tone(), RATE, [WORDS]), tmp_path / name / "figure") for name in "ab")
    assert [path.name for path in first] == ["figure.png", "figure.svg"]
    assert Image.open(first[0]).size[0] == 12 * 150
    text = first[1].read_text()
    assert "CUBE</text>" in text
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
