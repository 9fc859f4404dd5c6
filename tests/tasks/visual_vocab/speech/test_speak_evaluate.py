"""The job that measures spoken concepts: its tables, its choices, voices that nobody has heard."""

import json

import pytest

from tasks.visual_vocab.speech.recogniser import UnheardError
from tasks.visual_vocab.speech.speak_evaluate import _least, _moved, _permuted, _right, unheard
from tests.tasks.visual_vocab.conftest import SEGMENTER, run_config
from tests.tasks.visual_vocab.speech.conftest import LISTENING

SMALL = {"validation_voices": 1, "voices": 2, "seeds": [0, 1], "latents": 3, "random": 2, "noise": 20.0}


def test_tables_and_figures_are_written(generator_node, vocabulary_file, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Mine\n\nkept\n")
    asked = {
        "generator": generator_node,
        "vocabulary": str(vocabulary_file),
        "judge": {"type": "tasks.visual_vocab.judges.SegmenterJudge", "segmenter": SEGMENTER, "least": 0.001},
        "listening": LISTENING,
        "layers": ["logmel", "conv2"],
        "parts": [1, 4],
        "validation_words": ["water"],
        "test_words": ["banana"],
        "settings": SMALL,
        "page": str(page),
    }
    assert run_config(tmp_path, "speak_evaluate", asked) == 0
    figures = json.loads((tmp_path / "speak_evaluate" / "figures.json").read_text())
    voices = figures["voices"]
    variants = [[one.split("_")[1] for one in group] for group in (voices["prototypes"], voices["validation"])]
    for seed in ("0", "1"):
        assert not {one.split("_")[1] for one in voices["unheard"][seed]} & {*variants[0], *variants[1]}
        assert len(figures["heard"][seed]) == 3 * 2 * 3 + 2  # words, voices, conditions; and one other word
    assert len(figures["validation"]) == 4
    assert set(figures["moves"]["0"]) == {"random", "red", "blue", "cube"}  # "sphere" is left out
    metrics = json.loads((tmp_path / "speak_evaluate" / "metrics.json").read_text())
    assert metrics["heard"] >= 0.8
    text = page.read_text()
    assert text.startswith("# Mine\n\nkept\n")
    for heading in ("Spoken concepts that are heard", "Spoken concepts that move the image"):
        assert f"### {heading}" in text


def test_the_least_score_parts_words_from_others():
    scores = [(0.9, True), (0.5, True), (0.4, False), (0.1, False)]
    least, kept = _least(scores)
    assert 0.4 < least <= 0.5
    assert kept == (1.0, 1.0)


def test_shares_are_counted_by_hand():
    """Of two sounds of "red" one is heard as "cube"; the other is refused, though its nearest word is right."""
    picks = [
        {"said": "red", "how": "said alone", "nearest": "cube", "score": 0.9, "kept": True},
        {"said": "red", "how": "said alone", "nearest": "red", "score": 0.1, "kept": False},
    ]
    moves = {"random": {"red": 0.1}, "red": {"red": 0.8}, "cube": {"red": 0.4}}
    assert _right(picks, "said alone", ["red"]) == 0.5
    assert _permuted(picks, "said alone", ["red"], 0) == 0.5  # both say "red"
    found = _moved(picks, moves, ["red"])
    assert found == pytest.approx((0.5, 0.1, 0.8, 0.2))  # moved to cube, and not at all


def test_there_are_only_so_many_variants():
    found = unheard(3, 7, {"m3"})
    assert len({one.variant for one in found}) == 3
    with pytest.raises(UnheardError, match=r"only 39 of eSpeak's variants are left for 60 voices; ask for fewer"):
        unheard(60, 7, {})
