"""The report: one HTML file that is whole, safe and small, and the tables beside it."""

import base64
import hashlib
import io
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
from PIL import Image

from common.errors import UserError
from evaluation.numbers import number
from evaluation.report import retrieval as report_module
from evaluation.report.parts.cards import time_spans
from evaluation.report.parts.labels import curve_name, function_words, rows_of_words
from evaluation.report.parts.left_out_samples import left_out_metrics, left_out_text
from evaluation.report.parts.media import flac, normalised, overlay, sprite
from evaluation.report.parts.plots import line_chart, thinned, ticks
from evaluation.report.parts.tables import metrics_html
from evaluation.report.retrieval import (
    Query,
    Report,
    Retrieved,
    best_and_worst,
    has_metrics,
    metrics_table,
    read_metrics,
    write_metrics,
    write_report,
)

VOID = {"meta", "img", "input", "br"}
NASTY = '<script>alert("1")</script> & \'"'
METRICS = {
    **{f"{edge}_r{k}": k / 40 for edge in "AI" for k in (1, 5, 10)},
    **{f"recall@{k}": k / 40 for k in (1, 5, 10)},
    "median_rank_A": 12.0,
    "median_rank_I": 13.0,
    "chance_recall@10": 0.1,
    "chance_recall@1": 0.02,
    "n": 100.0,
    "loss": 0.5,
}


class Reader(HTMLParser):
    """Checks that tags are balanced, and collects tags, references and text."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.references, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [
            value for name, value in attrs if name in ("src", "href", "data-sprite", "srcset", "action")
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


def query(direction="speech_to_image", rank=0, text="a red cube", seed=0, seconds=1.0, **changes) -> Query:
    rng = np.random.default_rng(seed)
    values = {
        "direction": direction,
        "rank": rank,
        "text": text,
        "image_u8": rng.integers(0, 255, (40, 60, 3), dtype=np.uint8),
        "waveform": rng.uniform(-0.5, 0.5, int(16000 * seconds)).astype(np.float32),
        "sample_rate": 16000,
        "matchmap": rng.normal(size=(4, 6, 12)),
        "seconds": seconds,
        "words": [(0.1, 0.3, "a"), (0.3, 0.6, "red"), (0.6, 0.95, "cube")],
        "retrieved": [
            Retrieved(rng.integers(0, 255, (30, 30, 3), dtype=np.uint8), "a blue ball", 2.5, False),
            Retrieved(None, "only words", 1.25, True),
        ],
    }
    return Query(**(values | changes))


def decoded(uri: str) -> io.BytesIO:
    return io.BytesIO(base64.b64decode(uri.partition(",")[2]))


def test_page_is_whole_and_shows_everything(tmp_path):
    queries = [
        query(direction, rank, f"caption {rank} of {direction}", seed=rank, words=None if rank % 2 else query().words)
        for direction in ("speech_to_image", "image_to_speech")
        for rank in range(5)
    ]
    curves = {"training loss": [(step, 1 / step) for step in range(1, 50)], "recall@10": [(1, 0.2)]}
    made = Report("Small world", METRICS, curves, queries, "entry: main.train\nseed: 7", {"commit": "abc1234"})
    path = write_report(tmp_path / "deep" / "report.html", made)
    assert path == tmp_path / "deep" / "report.html"
    reader = read(path)
    text = " ".join(reader.text)
    for shown in ("Small world", "abc1234", "seed: 7", "training loss", "a blue ball", "only words", "rank 5 of 100"):
        assert shown in text
    for one in queries:
        assert one.text in text
    assert reader.tags.count("article") == reader.tags.count("canvas") == reader.tags.count("audio") == 10
    assert [path.name] == [entry.name for entry in path.parent.iterdir()]  # nothing half-written stays


def test_nothing_is_fetched_and_only_our_script_may_run(tmp_path):
    path = write_report(tmp_path / "r.html", Report("t", METRICS, {"loss": [(0, 1), (1, 2)]}, [query()]))
    reader = read(path)
    assert reader.references
    assert all(reference.startswith("data:") for reference in reader.references)
    page = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://|url\(|@import", page)
    assert "default-src 'none'" in page
    script = re.search(r"<script>(.*)</script>", page, re.DOTALL)[1]
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in page


def test_everything_from_outside_is_escaped(tmp_path):
    nasty = query(text=NASTY, words=[(0.0, 0.5, NASTY)], retrieved=[Retrieved(None, NASTY, 1.0, False)])
    made = Report(NASTY, {NASTY: 1.0}, {NASTY: [(0, 1), (1, 2)]}, [nasty], NASTY, {NASTY: NASTY})
    reader = read(write_report(tmp_path / "r.html", made))
    assert reader.tags.count("script") == 1
    assert sum(NASTY in text for text in reader.text) >= 7


def test_missing_parts_are_simply_absent(tmp_path):
    text = " ".join(read(write_report(tmp_path / "r.html", Report("Bare"))).text)
    assert "Bare" in text
    for heading in ("Metrics", "Training", "Config", "Caption given"):
        assert heading not in text
    reader = read(write_report(tmp_path / "r.html", Report("b", queries=[query(waveform=None, text="", retrieved=[])])))
    assert "audio" not in reader.tags
    assert "no written caption" in " ".join(reader.text)


def test_size_is_bounded_by_leaving_out_sound_then_queries(tmp_path, monkeypatch):
    queries = [query(rank=rank, seconds=8.0, text=f"number {rank}") for rank in range(12)]
    monkeypatch.setattr(report_module, "LIMIT_MB", 1.0)
    path = write_report(tmp_path / "r.html", Report("big", METRICS, {}, queries))
    assert path.stat().st_size < 1.0e6
    reader = read(path)
    assert 1 <= reader.tags.count("audio") < reader.tags.count("article")
    assert "sound left out to keep this file small" in reader.text
    monkeypatch.setattr(report_module, "LIMIT_MB", 0.6)
    text = " ".join(read(write_report(path, Report("big", METRICS, {}, queries))).text)
    assert re.search(r"\d+ more queries left out", text)


def test_sixteen_usual_queries_stay_below_ten_megabytes(tmp_path):
    queries = [query(rank=rank, seconds=7.0, matchmap=np.random.default_rng(rank).normal(size=(14, 14, 128)),
                     image_u8=np.full((224, 224, 3), rank, np.uint8)) for rank in range(16)]  # fmt: skip
    path = write_report(tmp_path / "r.html", Report("usual", METRICS, {}, queries))
    assert path.stat().st_size < 10e6
    assert read(path).tags.count("audio") == 16


def test_best_come_before_worst(tmp_path):
    queries = [query(rank=rank, text=f"number {rank}.") for rank in (70, 3, 0, 99)]
    text = " ".join(read(write_report(tmp_path / "r.html", Report("t", {}, {}, queries))).text)
    places = [text.index(part) for part in ("Best", "number 0.", "number 3.", "Worst", "number 70.", "number 99.")]
    assert places == sorted(places)


def test_sound_keeps_its_samples_and_loud_sound_is_scaled():
    samples, rate = soundfile.read(decoded(flac(np.array([0.0, 0.5, -0.25, np.nan], np.float32), 16000)))
    assert rate == 16000
    np.testing.assert_allclose(samples, [0, 0.5, -0.25, 0], atol=1e-4)
    samples, _ = soundfile.read(decoded(flac(np.array([0.0, 2.0, -1.0], np.float32), 8000)))
    np.testing.assert_allclose(samples, [0, 1, -0.5], atol=1e-4)
    assert soundfile.info(decoded(flac(np.zeros(30 * 8000, np.float32), 8000))).frames == 20 * 8000


def test_sprite_holds_frame_after_frame():
    heat = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    pixels = np.asarray(Image.open(decoded(sprite(heat))))
    assert pixels.shape == (3, 20)
    for frame in range(5):
        np.testing.assert_array_equal(pixels[:, 4 * frame : 4 * frame + 4], (heat[:, :, frame] * 255).round())


def test_normalised_is_bounded_whatever_comes():
    rng = np.random.default_rng(0)
    heat = normalised(rng.normal(size=(4, 4, 500)) * 1e6)
    assert heat.shape == (4, 4, 160)
    assert heat.min() == 0
    assert heat.max() == 1
    holed = rng.normal(size=(2, 2, 9))
    holed[0, 0, 0], holed[1, 1, 1] = np.nan, np.inf
    assert np.isfinite(normalised(holed)).all()
    assert normalised(np.full((2, 2, 3), 7.0)).max() == 0
    assert normalised(np.full((2, 2, 3), np.nan)).max() == 0
    averaged = normalised(np.repeat(np.arange(160.0), 2)[None, None], clip=0)
    assert (np.diff(averaged[0, 0]) >= 0).all()


def test_overlay_keeps_the_colours_of_the_activation():
    image = np.full((32, 32, 3), (200, 40, 120), np.uint8)
    heat = np.zeros((8, 8), np.float32)
    heat[:4, :4] = 1
    drawn = overlay(image, heat, 32).astype(int)
    assert drawn.shape == (32, 32, 3)
    np.testing.assert_array_equal(drawn[4, 4], [200, 40, 120])
    np.testing.assert_allclose(drawn[28, 28], np.array([200, 40, 120]) * 0.38, atol=1)  # darker, the same hue
    border = drawn[4, 8:24].tolist()
    assert [255, 255, 255] in border
    assert [0, 0, 0] in border  # a white line in a dark one


def test_labels_of_words_neither_overlap_nor_leave_the_axis():
    words = [(0.3 * k, 0.3 * k + 0.3, word) for k, word in enumerate(["extraordinary", "a", "SHADOWS"] * 4)]
    for width in (560.0, 300.0, 60.0):
        ends = {}
        places = rows_of_words(words, 3.6, width)
        for place, (_, _, word) in zip(places, words, strict=True):
            left, long = place.left * width / 100, min(width, 7 * len(word))
            assert left >= 0
            assert left + long <= width + 1e-6
            if place.row is not None:
                assert left >= ends.get(place.row, 0)
                ends[place.row] = left + long
        assert any(place.row is None for place in places) == (width < 560)
    assert rows_of_words([(0.0, 1.0, "a")], 1.0, 100.0) == [(46.5, 0)]


@pytest.mark.parametrize(
    ("logged", "title", "percent"),
    [
        ("train/loss", "training loss", False),
        ("validation/recall@10", "recall@10 (validation)", True),
        ("validation/median_rank_A", "median rank of the caption for an image (validation)", False),
        ("validation/chance_recall@5", "validation: chance recall@5", True),
        ("test/I_r5", "recall@5 of the image for a caption (test)", True),
        ("learning_rate/encoders", "learning rate of the encoders", False),
        ("train/gradient_norm/encoders", "training: gradient norm, encoders", False),
        ("speed/data_wait_fraction", "time spent waiting for data", True),
        ("anything_else", "anything_else", False),
    ],
)
def test_curves_have_names_for_people(logged, title, percent):
    assert curve_name(logged) == (title, percent, "rank" in logged)


def test_curves_name_axis_and_unit(tmp_path):
    page = write_report(tmp_path / "r.html", Report("t", curves={"validation/recall@10": [(0, 0.25), (50, 0.5)]}))
    text = " ".join(read(page).text)
    assert "optimisation step" in text
    assert "recall@10 (validation)  50 %" in text


def test_what_was_logged_once_is_a_line_instead_of_a_chart(tmp_path):
    curves = {
        "train/loss": [(1, 2.0), (2, 1.0)],
        "validation/recall@10": [(50, 0.125)],
        "validation/median_rank_A": [(50, 7.0), (100, math.nan)],
        "train/never": [(50, math.inf)],
    }
    reader = read(write_report(tmp_path / "r.html", Report("t", curves=curves)))
    text = " ".join(" ".join(reader.text).split())
    assert reader.tags.count("figure") == reader.tags.count("svg") == 1
    assert "logged only once value optimisation step recall@10 (validation) 12.5 % 50 " in text
    assert "median rank of the caption for an image (validation) 7 50 training: never no finite value –" in text
    only = read(write_report(tmp_path / "o.html", Report("t", curves={"train/loss": [(1, 2.0)]})))
    assert "figure" not in only.tags
    assert "training loss" in only.text
    assert "logged only once" not in " ".join(read(write_report(tmp_path / "n.html", Report("t"))).text)


def test_a_cut_caption_says_so(tmp_path):
    one = query(
        whole_seconds=2.0, words=[(0.1, 0.6, "red"), (1.2, 1.5, "<cube>")], seconds=1.0, waveform=np.ones(32000)
    )
    path = write_report(tmp_path / "r.html", Report("t", queries=[one]))
    text = "".join(read(path).text)
    assert "the model reads the first 1.0 s of 2.0 s (max_frames), not <cube>." in text
    sound = re.search('src="(data:audio/flac[^"]*)"', path.read_text(encoding="utf-8"))[1]
    assert soundfile.info(decoded(sound)).frames == 16000
    assert "reads the first" not in "".join(read(write_report(path, Report("t", queries=[query()]))).text)


def test_long_lists_fold_and_scores_have_a_name(tmp_path):
    answers = [Retrieved(None, f"answer {k}", 12.345 - k, False) for k in range(9)]
    made = Report(
        "t",
        {f"m{k}": 1.0 for k in range(20)},
        {f"c{k}": [(0, 1), (1, 2)] for k in range(12)},
        [query(retrieved=answers)],
        info={"packages": "torch 2, " * 40, "seed": "1"},
    )
    reader = read(write_report(tmp_path / "r.html", made))
    text = " ".join(reader.text)
    for shown in ("4 more", "20 metrics", "3 more curves", "similarity 12.3", "answer 8"):
        assert shown in text
    assert reader.tags.count("details") == 4


def test_lists_of_images_have_the_class_that_narrow_screens_style(tmp_path):
    made = Report("t", queries=[query(retrieved=[Retrieved(None, "one", 1.0, True)], direction="speech_to_image")])
    html = write_report(tmp_path / "r.html", made).read_text(encoding="utf-8")
    assert ".answers.images {" in html
    assert 'class="answers images"' in html


def test_moments_take_the_words_that_are_answered_most():
    heat = np.zeros((2, 2, 100), np.float32)
    words = [(index / 10, index / 10 + 0.1, f"w{index}") for index in range(10)]
    for index in (1, 2, 4, 6, 8, 9):
        heat[0, 1, 10 * index : 10 * index + 10] = index / 10
    found = time_spans(heat, words, 1.0)
    assert [span.word for span in found] == ["w1", "w2", "w4", "w6", "w8", "w9"]
    np.testing.assert_allclose(found[-1].heat, [[0, 0.9], [0, 0]], atol=1e-6)
    assert [span.word for span in time_spans(heat, [], 1.0)] == [""] * 6
    assert len(time_spans(heat[:, :, :2], [], 1.0)) == 2
    assert time_spans(heat, [(3.0, 4.0, "late")], 1.0)[0].word == ""


def test_function_words_come_last_and_are_pale(tmp_path):
    """ "a" and "with" stand out most, but six words say more."""
    spoken = ["a", "ball", "with", "red", "blue", "green", "cube", "cone"]
    words = [(k / 8, (k + 1) / 8, word) for k, word in enumerate(spoken)]
    heat = np.zeros((2, 2, 80))
    for k, word in enumerate(spoken):
        heat[0, 1, 10 * k : 10 * k + 10] = 1.0 if word in ("a", "with") else 0.5
    assert [span.word for span in time_spans(heat, words, 1.0)] == ["ball", "red", "blue", "green", "cube", "cone"]
    few = time_spans(heat[:, :, :40], [(start * 2, end * 2, word) for start, end, word in words[:4]], 1.0)
    assert [(span.word, span.says_little) for span in few] == [
        ("a", True), ("ball", False), ("with", True), ("red", False),
    ]  # fmt: skip
    made = Report("t", queries=[query(words=[(0.0, 0.3, "A"), (0.3, 0.6, "red"), (0.6, 0.9, "Cube.")])])
    html = write_report(tmp_path / "r.html", made).read_text(encoding="utf-8")
    assert re.findall(r'<span class="([^"]*)" style[^>]*>([^<]*)<', html) == [
        ("little", "A"),
        ("", "red"),
        ("", "Cube."),
    ]
    assert re.findall(r'<figure class="([^"]*)"><img[^>]*><figcaption dir="auto">([^<]*)<', html) == [
        ("little", "A"), ("", "red"), ("", "Cube."),
    ]  # fmt: skip
    assert "; function words are pale" in html


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("The dog, is ON a mat", "The is ON a"),
        ("dogs and cats", ""),  # no article: perhaps Danish, whose "and" is a duck
        ("at ve was kedi", ""),  # "at" is a horse in Turkish
        ("a h\u00e1z is nagy", ""),  # Hungarian has an article "a"
        ("", ""),
    ],
)
def test_words_of_other_languages_are_no_function_words(caption, expected):
    words = caption.split()
    assert [word for word, found in zip(words, function_words(words), strict=True) if found] == expected.split()


@pytest.mark.parametrize(("rank", "shown"), [(0, "hit"), (1, "near"), (9, "near"), (10, "miss"), (39, "miss")])
def test_only_the_first_rank_is_a_hit(tmp_path, rank, shown):
    html = write_report(tmp_path / "r.html", Report("t", METRICS, queries=[query(rank=rank)])).read_text("utf-8")
    assert f'<strong class="rank {shown}">rank {rank + 1} of 100</strong>' in html
    assert f".rank.{shown} {{" in html


def test_a_change_of_the_losses_is_a_line_in_their_chart(tmp_path):
    """The axis goes from step 10 to 30 over 256 of 320 units, from 50 on: step 15 is at 114."""
    curves = {"train/loss": [(10, 3.0), (20, 2.0), (30, 1.0)], "train/other": [(10, 3.0), (30, 1.0)]}
    made = Report("t", curves=curves, marks={"train/loss": {15: "SISA → <MISA>", 30: "outside", 99: "outside"}})
    html = write_report(tmp_path / "r.html", made).read_text(encoding="utf-8")
    assert re.findall('<line class="mark" x1="([^"]*)" x2="([^"]*)"', html) == [("114.0", "114.0")]
    assert re.findall('text-anchor="start">([^<]*)<', html) == ["SISA → &lt;MISA&gt;"]
    assert "outside" not in html
    late = line_chart("x", [(0, 1.0), (10, 2.0)], marks={8: "late"})
    assert 'text-anchor="end">late<' in late  # on the side where there is room


def test_wide_tables_scroll_in_their_own_box(tmp_path):
    html = write_report(tmp_path / "r.html", Report("t", METRICS)).read_text(encoding="utf-8")
    assert html.count("<table") == html.count('<div class="scroll"><table') == 2
    assert ".scroll { overflow-x: auto; }" in html


def test_charts_survive_odd_curves():
    assert "no finite values" in line_chart("x", [(0, math.nan)])
    for points in ([(1, 2.0)], [(1, 0.0), (2, 0.0)], [(0, -1e9), (1, 1e9)], [(0, 1.0), (1, math.inf), (2, 2.0)]):
        drawn = line_chart("x", points)
        assert "<polyline" in drawn
        assert not re.search("nan|inf", drawn)
    many = [(step, float(step)) for step in range(10000)]
    assert len(thinned(many)) == 300
    assert thinned(many)[0][1] == pytest.approx(np.mean(range(34)))


def marks(chart: str) -> list[str]:
    """The numbers beside the axis of the values."""
    return re.findall(r'text-anchor="end">([^<]*)<', chart)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 1.0], ["96 %", "98 %", "100 %"]),
        ([0.0, 0.0], ["0 %", "0.2 %", "0.4 %"]),
        ([0.1, 0.5], ["0 %", "20 %", "40 %"]),
    ],
)
def test_shares_have_no_axis_beyond_nothing_and_all(values, expected):
    assert marks(line_chart("recall", list(enumerate(values)), percent=True)) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [([6.0, 4.5], "456"), ([1.0, 1.0], "12"), ([9.5, 1.5], ["5", "10"]), ([3.0, 3.0], "34")],
)
def test_axes_of_ranks_have_whole_numbers(values, expected):
    title, percent, rank = curve_name("validation/median_rank_A")
    drawn = line_chart(title, list(enumerate(values)), percent=percent, rank=rank)
    assert marks(drawn) == list(expected)
    assert f"{values[-1]:g}</span>" in drawn  # what was measured stays as it is


def test_ticks_are_round_and_inside():
    assert ticks(0, 1) == [0, 0.25, 0.5, 0.75, 1.0]
    assert ticks(3, 97) == [25, 50, 75]
    assert ticks(1, 11, whole=True) == [5, 10]
    assert ticks(1, 101, whole=True) == [25, 50, 75, 100]
    for low, high in ((0.0013, 0.0077), (-5, 12345), (1e-9, 2e-9)):
        marks = ticks(low, high)
        assert 2 <= len(marks) <= 6
        assert low - 1e-12 <= marks[0] <= marks[-1] <= high * (1 + 1e-9)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (3.0, "3"),
        (0.12345, "0.123"),
        (1234.5, "1234"),
        (0.00025, "2.5e-4"),
        (math.nan, "—"),
        (2e9, "2e+09"),
    ],
)
def test_number(value, text):
    assert number(value) == text


def test_best_and_worst():
    assert best_and_worst(np.array([5, 0, 9, 2]), 2) == [1, 3, 0, 2]
    ranks = np.array([0] * 50 + [7, 9, 8])
    chosen = best_and_worst(ranks, 3)
    assert chosen[3:] == [50, 52, 51]
    assert chosen[:3] == [0, 24, 49]  # spread over the fifty that are equally good
    assert len(set(best_and_worst(np.zeros(20, int), 4))) == 8
    assert best_and_worst(np.array([3, 1]), 4) == [1, 0]


def test_metrics_table():
    lines = metrics_table(METRICS).splitlines()
    assert lines[0].split() == ["100", "pairs", *["caption", "→", "image", "image", "→", "caption", "both", "chance"]]
    assert lines[1].split()[-2:] == ["2.0", "%"]
    assert lines[2].split()[-2:] == ["5.0", "%"]  # not among the metrics: 5 of 100
    assert lines[3].split() == ["recall@10", *["25.0", "%", "25.0", "%", "25.0", "%", "10.0", "%"]]
    assert lines[4].split() == ["median", "rank", "13", "12", "–", "50.5"]
    assert lines[5].split() == ["loss", "0.5"]
    assert metrics_table({"accuracy": 0.25}) == "accuracy  0.25"
    assert metrics_table({}) == ""
    assert "recall@5" in metrics_table({"A_r5": math.nan})


def test_what_was_left_out_is_a_sentence():
    counts = left_out_metrics({"train": (7, 30), "validation": (0, 10), "test": (1, 4)})
    assert counts == {"left_out_train": 7, "samples_train": 30, "left_out_test": 1, "samples_test": 4}
    text = "7 of 30 training samples and 1 of 4 test samples"
    assert left_out_text(counts | METRICS) == text
    assert left_out_text(METRICS) == ""
    assert metrics_table(counts | METRICS) == metrics_table(METRICS)
    assert f"{text} left out, see skipped.csv" in metrics_html(counts | METRICS)
    assert "left out" not in metrics_html(METRICS)


def test_metrics_file_is_readable_json(tmp_path):
    metrics = {"a": 1.5, "b": math.nan, "mean": 0.1 + 0.11, "many": 12345678, "large": 12345678.0, "small": 1 / 3e5}
    path = write_metrics(tmp_path / "new", metrics)
    assert path.name == "metrics.json"
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "a": 1.5, "b": None, "mean": 0.21, "many": 12345678, "large": 12345678.0, "small": 3.33333e-06
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_u8": np.zeros((4, 4), np.uint8)}, r"image_u8 is uint8 \(4, 4\): expected uint8 \(H, W, 3\)"),
        ({"image_u8": np.zeros((4, 4, 3))}, "image_u8 is float64"),
        ({"matchmap": np.zeros((4, 4))}, r"matchmap has shape \(4, 4\): expected \(h, w, t\)"),
        ({"matchmap": np.zeros((4, 4, 0))}, "none of them 0"),
        ({"seconds": 0.0}, "seconds is 0.0: expected the length"),
        ({"waveform": np.zeros((2, 5))}, "expected \\(n,\\), one channel"),
    ],
)
def test_wrong_contents_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        query(**changes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no whole JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[1]", r"holds \[1\], expected a number for each name: delete it"),
        ('{"n": "x"}', "expected a number for each name"),
        ('{"n": true}', "expected a number for each name"),
        (f'{{"n": {"9" * 400}}}', "expected a number for each name"),
    ],
)
def test_a_damaged_metrics_file_is_one_sentence(tmp_path, caplog, content, message):
    path = tmp_path / "metrics.json"
    assert not has_metrics(path)
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_metrics(path)
    assert not has_metrics(path)
    assert len(caplog.messages) == 1


def test_what_was_not_finite_is_read_as_none_and_shown(tmp_path):
    write_metrics(tmp_path, {"loss": math.inf, "n": 4})
    assert read_metrics(tmp_path / "metrics.json") == {"loss": None, "n": 4}
    assert "—" in metrics_table(read_metrics(tmp_path / "metrics.json"))
