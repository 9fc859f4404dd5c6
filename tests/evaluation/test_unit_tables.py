"""The tables of the published unit analysis: the stored results of the public code, as rows and as files."""

import csv
import json

import numpy as np
import pytest

from evaluation.unit_tables import precision_rows, recall_rows, write_alignments, write_unit_tables
from evaluation.word_detection.detect import DetectionRules, detect_words
from tests.parity.kinds.unit_analysis import detecting, words_of


@pytest.fixture(scope="module")
def case(assets):
    return json.loads((assets / "parity" / "unit_analysis.json").read_text())


@pytest.fixture(scope="module")
def found(case):
    utterances = case["data"]["utterances"]
    codes = [np.array(one["codes"]) for one in utterances]
    words = [words_of(one.get("text_alignment")) for one in utterances]
    return detect_words(codes, words, case["hyper"]["spf"], detecting(case["hyper"]), checked=False)


def test_precision_and_recall_are_those_of_the_public_code(case, found):
    """code_to_wordprec and word_to_coderecall, entry by entry; the case has ties in the order that is ours."""
    expected = case["results"]
    precision = [
        (int(code), word, pytest.approx(share), count)
        for code, words in sorted(expected["code_to_wordprec"].items(), key=lambda entry: int(entry[0]))
        for word, share, count in sorted(words, key=lambda entry: (-entry[2], entry[0]))
    ]
    assert [row[:4] for row in precision_rows(found)] == precision
    recall = [
        (word, code, pytest.approx(share), count)
        for word, codes in sorted(expected["word_to_coderecall"].items())
        for code, share, count in sorted(codes, key=lambda entry: (-entry[2], entry[0]))
    ]
    assert [row[:4] for row in recall_rows(found)] == recall


def test_codes_of_high_precision_and_without_words_are_counted(case, found):
    tops = [words[0][1] if words else None for words in case["results"]["code_to_wordprec"].values()]
    metrics = found.metrics()
    assert metrics["high_precision_codes@0.35"] == sum(top is not None and top >= 0.35 for top in tops) > 0
    assert metrics["codes_without_words"] == tops.count(None)
    assert metrics["codes"] == len(tops)


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_files(case, found, tmp_path):
    norms = np.linspace(0.5, 2, 64)
    write_unit_tables(tmp_path, "quant3", found, norms)
    rows = read(tmp_path / "precision_quant3.csv")
    assert len(rows) == len(precision_rows(found))
    code, word, share, count, frames = precision_rows(found)[0]
    assert rows[0] == {
        "code": str(code), "word": word, "precision": f"{share:g}", "count": str(count), "frames": str(frames),
    }  # fmt: skip
    assert read(tmp_path / "recall_quant3.csv")[0]["word"] == "<SPOKEN_NOISE>"
    stored = read(tmp_path / "code_norms_quant3.csv")
    assert [float(row["norm"]) for row in stored] == pytest.approx(norms, rel=1e-5)
    assert [int(row["frames"]) for row in stored] == np.resize(found.counts.frames, 64).tolist()
    words = (tmp_path / "high_precision_words_quant3.txt").read_text().splitlines()
    assert words == case["results"]["high_prec_words"]


def test_the_texts(tmp_path):
    """Code 1 overlaps RED in two of its three frames and BALL in one; code 0 overlaps a stop word alone."""
    codes = [np.array([0, 0, 1, 1, 1])]
    words = [[(0.0, 0.2, "THE"), (0.2, 0.4, "RED"), (0.4, 0.5, "BALL")]]
    found = detect_words(codes, words, 0.1, DetectionRules(halfwidth=0.01, high_precision=0.5))
    write_unit_tables(tmp_path, "quant2", found, np.ones(4))
    assert (tmp_path / "precision_quant2.txt").read_text().splitlines() == [
        "*    1 (2 words, 3 times): RED 66.7 %, BALL 33.3 %",
        "1 of 2 codes (50.0 %) overlap a word with a precision of at least 0.5",
        "1 of 2 codes overlap no word that is counted",
    ]
    assert (tmp_path / "recall_quant2.txt").read_text().splitlines() == [
        "BALL (1 times): 1 100.0 %",
        "RED (1 times): 1 100.0 %",
        "THE (1 times): 0 100.0 %",
    ]
    write_alignments(tmp_path / "a.jsonl", ["utt"], codes, words, 0.1)
    assert json.loads((tmp_path / "a.jsonl").read_text()) == {
        "uttid": "utt", "seconds": 0.1, "codes": [0, 0, 1, 1, 1], "words": [list(word) for word in words[0]],
    }  # fmt: skip
