"""Codes as detectors of words: against a loop over frames, by hand, ties, stop words, bad input; and the tables."""

import csv
import io
import math

import numpy as np
import pytest

from benchmarks.word_detection import loop, same, synthetic
from evaluation.report.parts.words import words_section
from evaluation.word_detection.alignments import alignment_error
from evaluation.word_detection.counts import SILENCE, WordDetectionError, count_meetings
from evaluation.word_detection.detect import DetectionRules, chance_of_words, detect_words
from evaluation.word_detection.segments import code_runs, frames_between
from evaluation.word_detection.tables import as_csv, as_latex, as_text, code_rows, word_rows, write_word_tables


def disorderly(draws):
    """Words that overlap, run past the sound, have no length, come twice in a row or out of order, and silences."""
    words = []
    for _ in range(draws.integers(1, 9)):
        start = round(float(draws.uniform(0, 2.4)), 2)
        words.append(
            (start, start + float(draws.choice([0, 0.02, 0.3, 0.9])), str(draws.choice(["A", "B", "C", SILENCE])))
        )
    return sorted(words) if draws.random() < 0.5 else words


@pytest.mark.parametrize("seconds", [0.01, 0.04, 0.16])
def test_counts_are_those_of_a_loop_over_frames(seconds):
    draws = np.random.default_rng(3)
    codes = [draws.integers(0, 9, draws.integers(1, 2 / seconds)) for _ in range(60)]
    alignments = [None if row % 10 == 0 else disorderly(draws) for row in range(60)]
    counts = count_meetings(codes, alignments, seconds, 0.04)
    assert counts.utterances == 54
    assert same(counts, loop(codes, alignments, seconds, 0.04))
    moved = loop(codes, alignments, seconds, 0.05)
    assert not same(counts, moved)


def test_many_pairs_are_counted_by_sorting(monkeypatch):
    codes, alignments = synthetic(40, 200_000, 60, 6, 0.04, 3.0)  # a table of 200,000 x 61 pairs would be large
    counts = count_meetings(codes, alignments, 0.04)
    assert same(counts, loop(codes, alignments, 0.04, 0.04))


# Frames of 0.1 s, windows of 0.1 s around their centres 0.05, 0.15, ...; RED lasts from 0.2 to 0.4 s and from 0.71 to
# 0.89 s, THE from 0.4 to 0.5 s. Code 1 is in frames 2, 3, 4 and 6: the windows of 2 and 3 overlap the first RED, that
# of 4 too (0.35 s), that of 6 the second (0.75 s).
CODES = [np.array([0, 0, 1, 1, 1, 2, 1, 2, 2, 0])]
WORDS = [[(0.2, 0.4, "RED"), (0.4, 0.5, "THE"), (0.71, 0.89, "RED")]]
HALF = 0.1


def test_by_hand():
    found = detect_words(CODES, WORDS, 0.1, DetectionRules(halfwidth=HALF))
    pairs = {(one.code, one.word): one for one in map(found.detector, range(len(found.f1)))}
    red = pairs[1, "RED"]
    assert (red.precision, red.recall, red.count, red.spoken) == (1.0, 0.5, 1, 2)
    assert red.f1 == pytest.approx(2 / 3)
    other = pairs[2, "RED"]  # frames 5, 7, 8: the last two; only the second RED holds it, in its frames 7 and 8
    assert (other.precision, other.recall) == (pytest.approx(2 / 3), 0.5)
    assert [(one.word, one.code) for one in found.words()] == [("RED", 1)]
    assert list(found.nearest()) == [1, 2]
    metrics = found.metrics()
    assert (metrics["words"], metrics["words_f1@0.5"], metrics["mean_f1"]) == (1, 1, pytest.approx(2 / 3))
    assert (metrics["codes"], metrics["frames"], metrics["utterances"]) == (3, 10, 1)
    strict = detect_words(CODES, WORDS, 0.1, DetectionRules(halfwidth=HALF, thresholds=(0.6, 0.7), often=2)).metrics()
    assert (strict["words_f1@0.6"], strict["words_f1@0.7"]) == (1, 0)
    assert (strict["words_2_times"], strict["share_f1@0.6_of_them"], strict["share_f1@0.7_of_them"]) == (1, 1.0, 0.0)


def test_stop_words_and_silence():
    """By default neither is a word; as published stop words are averaged with an F1 of 0, and silence is precise."""
    ours = detect_words(CODES, WORDS, 0.1, DetectionRules(halfwidth=HALF, high_precision=0.3))
    theirs = detect_words(CODES, WORDS, 0.1, DetectionRules(halfwidth=HALF, high_precision=0.3, published=True))
    assert ours.high_precision_words() == ["RED"]
    assert theirs.high_precision_words() == [SILENCE, "RED"]
    assert [(one.word, one.f1) for one in theirs.words()] == [("RED", pytest.approx(2 / 3)), ("THE", 0.0)]
    assert ours.mean_f1() == pytest.approx(2 / 3)
    assert theirs.mean_f1() == pytest.approx(1 / 3)
    assert theirs.mean_f1(1) == pytest.approx(2 / 3)
    small = [[(start, end, word.lower()) for start, end, word in WORDS[0]]]
    assert [one.word for one in detect_words(CODES, small, 0.1).words()] == ["red"]
    assert len(detect_words(CODES, small, 0.1, DetectionRules(published=True)).words()) == 2
    own = DetectionRules(halfwidth=HALF, stop_words=("RED",))
    assert [one.word for one in detect_words(CODES, WORDS, 0.1, own).words()] == ["THE"]


def test_words_that_a_code_holds_too_seldom_are_not_detected():
    twice = DetectionRules(halfwidth=HALF, min_occ=2)
    found = detect_words(CODES, WORDS, 0.1, twice)
    assert found.words() == []
    assert math.isnan(found.mean_f1())
    assert found.metrics()["words"] == 0
    assert [one.code for one in detect_words(CODES * 2, WORDS * 2, 0.1, twice).words()] == [1]


def test_ties_are_in_order_of_words_and_codes():
    codes = [np.array([3, 3, 2, 2]), np.array([1, 1, 0, 0])]
    words = [[(0.0, 0.2, "SUN"), (0.2, 0.4, "MOON")], [(0.0, 0.2, "SUN"), (0.2, 0.4, "MOON")]]
    for order in (1, -1):
        found = detect_words(codes[::order], words, 0.1, DetectionRules(halfwidth=0.01))
        assert [(one.word, one.code) for one in found.words()] == [("MOON", 0), ("SUN", 1)]
        assert [(rank, one.code, one.word) for rank, one in code_rows(found)] == [
            (1, 0, "MOON"), (1, 1, "SUN"), (1, 2, "MOON"), (1, 3, "SUN"),
        ]  # fmt: skip


def test_nothing_to_measure():
    with pytest.raises(
        WordDetectionError, match="none of 2 utterances has a word alignment; expected start__WORD__end"
    ):
        detect_words(CODES * 2, [None, []], 0.1)
    with pytest.raises(
        WordDetectionError, match=r"utterance 1: its 5 codes of 0.1 s end at 0.50 s, its last word 'RED' at"
    ):
        detect_words([CODES[0], CODES[0][:5]], WORDS * 2, 0.1)
    assert detect_words([CODES[0][:5]], WORDS, 0.1, checked=False).counts.spoken.tolist() == [0, 2, 1]
    with pytest.raises(ValueError, match="shorter"):
        detect_words(CODES * 2, WORDS, 0.1)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([(0.0, 0.5, "A"), (0.495, 1.0, "B")], None),
        ([(0.0, 0.5, "A"), (0.6, 1.009, "B")], None),
        ([(0.5, 0.5, "A")], None),
        (
            [(0.0, 0.5, "A"), (0.48, 1.0, "B")],
            "'B' begins at 0.48 s, before 'A' ends at 0.5 s; expected words one after",
        ),
        (
            [(0.0, 0.5, "A"), (0.6, 1.02, "B")],
            "'B' ends at 1.02 s, the sound at 1.00 s; expected the alignment of this",
        ),
        ([(0.5, 0.4, "A")], "'A' is said to last from 0.5 s to 0.4 s, expected a start from 0 on and a later end"),
        ([(-0.1, 0.4, "A")], "'A' is said to last from -0.1 s"),
        ([(math.nan, 0.4, "A")], "'A' is said to last from nan s"),
    ],
)
def test_alignments_that_do_not_fit(words, error):
    found = alignment_error(words, 1.0)
    assert found is None if error is None else found.startswith(error)


def test_chance_takes_the_codes_of_the_next_utterance():
    codes = [np.array([1, 1, 1, 1]), np.array([2, 2]), np.array([3, 3, 3])]
    alignments = [[(0.0, 0.4, "RED")], [(0.0, 0.2, "BLUE")], None]
    found = chance_of_words(codes, alignments, 0.1, DetectionRules(halfwidth=0.05))
    assert {(one.word, one.code, one.f1) for one in found.words()} == {("RED", 2, 1.0), ("BLUE", 1, 1.0)}
    with pytest.raises(WordDetectionError, match="1 utterances have words"):
        chance_of_words(codes[:1], alignments[:1], 0.1)


def test_codes_that_know_words_beat_chance():
    draws = np.random.default_rng(5)
    spoken = draws.integers(0, 8, (100, 10))  # words of four frames, in any order
    codes = [np.repeat(row, 4) for row in spoken]
    alignments = [[(0.4 * at, 0.4 * at + 0.4, f"W{word}") for at, word in enumerate(row)] for row in spoken]
    assert detect_words(codes, alignments, 0.1).mean_f1() > 0.8
    assert chance_of_words(codes, alignments, 0.1).mean_f1() < 0.3


def test_segments():
    assert code_runs(np.array([4, 4, 7, 4]), 0.5) == [(0.0, 1.0, 4), (1.0, 1.5, 7), (1.5, 2.0, 4)]
    first, behind = frames_between(np.array([0.12, 0.5, 9.0]), np.array([0.36, 99.0, 9.9]), 0.04, 24)
    assert (first.tolist(), behind.tolist()) == ([3, 12, 24], [9, 24, 24])


@pytest.fixture
def found():
    words = [[(0.2, 0.4, "R&D_<1>"), (0.71, 0.89, "BLUE")]]
    return detect_words(CODES, words, 0.1, DetectionRules(halfwidth=HALF))


def test_tables(found, tmp_path):
    rows = word_rows(found)
    text = as_text(rows)
    assert text.splitlines()[0].split() == ["rk", "word", "code", "F1", "prec.", "recall", "count", "spoken"]
    assert text.splitlines()[1].split() == ["1", "r&d_<1>", "1", "85.7", "75.0", "100.0", "1", "1"]
    read = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert [row["word"] for row in read] == ["R&D_<1>", "BLUE"]
    assert float(read[0]["f1"]) == pytest.approx(6 / 7, rel=1e-5)
    assert r"1 & r\&d\_$<$1$>$ & 1 & 85.7 & 75.0 & 100.0 & 1 & 1 \\" in as_latex(rows)
    assert as_latex(rows, most=1).count("\\\\") == 2  # head and one row
    write_word_tables(tmp_path, "quant3", found, most=1)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{kind}_quant3.{ending}" for kind in ("words", "codes") for ending in ("txt", "csv", "tex")
    }
    assert len((tmp_path / "words_quant3.txt").read_text().splitlines()) == 2
    assert len((tmp_path / "words_quant3.csv").read_text().splitlines()) == 3


def test_the_section_of_the_report(found):
    heading, html = words_section(found, "quant3", most=1)
    assert heading == "Words that codes of quant3 detect"
    assert "<td>r&amp;d_&lt;1&gt;</td><td>1</td><td>85.7 %</td><td>75.0 %</td><td>100.0 %</td><td>1 of 1</td>" in html
    assert "2 words are detected by a code, 2 with an F1 of at least 0.5." in html
    assert "The best 1 of 2 words; all are in words_quant3.csv beside this page." in html
    assert "<td>1</td><td>r&amp;d_&lt;1&gt; 86 %" in html


def test_the_section_tells_chance(found):
    _, html = words_section(found, "quant3", chance=found)
    assert "By chance, with the codes of another utterance" in html
    assert "By chance" not in words_section(found, "quant3")[1]
