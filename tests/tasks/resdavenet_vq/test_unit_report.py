"""The report of units: its figures, sounds and codes, for several models, from one command's function."""

import json
import re

import numpy as np
import pytest

from common.errors import UserError
from datasets.spoken_captions.phones import read_phones
from datasets.spoken_captions.readers import PlacesFiles
from datasets.world.build import ensure_world
from datasets.world.settings import World
from tasks.resdavenet_vq.examples import SAMPLE_RATE, Utterances, cut
from tasks.resdavenet_vq.unit_report import unit_report
from tasks.speech_image.trained import ModelSource
from tests.tasks.resdavenet_vq.conftest import write_run


@pytest.fixture
def data(assets):
    """The dataset node that a config would give."""

    def node(train, on_error):
        manifest = assets / "formats" / "places" / "metadata.json"
        return PlacesFiles(manifest, image=None, train=train, on_error=on_error)

    return node


@pytest.fixture
def report(vq_run, data, context):
    """Make the report; returns its page."""

    def made(models=None, **how):
        models = models or {"mine": ModelSource(run=vq_run)}
        unit_report(models, data, context, bad_alignments="keep", run=context.settings, **how)
        return (context.folder / "report.html").read_text()

    return made


def headings(page):
    return re.findall(r"<h2>([^<]+)</h2>", page)


def test_words_codes_and_sounds_are_shown(report, context):
    page = report(shown=2, codes=3, snippets=2)
    assert [h for h in headings(page) if "code " not in h][1:5] == [
        "Utterances and their units (mine)", "Words that codes detect", "Codes of quant2 (mine)",
        "Codes of quant3 (mine)",
    ]  # fmt: skip
    cards = [h for h in headings(page) if ", code " in h]
    assert len(cards) == 6
    assert page.count("data:audio/flac") > 6
    files = {path.name for path in (context.folder / "figures").iterdir()}
    assert {"precision_recall.png", "precision_recall.svg", "words_above.png", "words_above.svg"} <= files
    assert sum(name.startswith("row_") and name.endswith(".svg") for name in files) == page.count("image/svg+xml") - 2
    metrics = json.loads((context.folder / "metrics.json").read_text())
    assert {"mine/quant2/words", "mine/quant3/words"} <= set(metrics)


def test_models_and_layers_meet_in_one_figure(report, context, vq_run, tmp_path):
    other = write_run(tmp_path / "other")
    models = {"one": ModelSource(run=vq_run), "gone": None, "two": ModelSource(run=other)}
    report(models, layers=["quant3"], shown=0, codes=0)
    drawn = (context.folder / "figures" / "words_above.svg").read_text()
    assert re.findall(r">(\w+ quant\d)<", drawn) == ["one quant3", "two quant3"]


def test_a_keyword_is_found_or_said_to_be_absent(report, data):
    spoken = data(False, "error").record(0).alignment[0][2]
    page = report(keywords=[spoken.lower(), "zebra"], shown=0, codes=0, occurrences=1)
    assert f"<h2>“{spoken.lower()}”</h2><article" in page
    assert '<h2>“zebra”</h2><p class="note">Not spoken in these utterances.</p>' in page


def test_a_keyword_behind_its_sound_is_passed_over(data, tmp_path):
    words = {0: [(98.0, 99.0, "LATE"), (0.1, 0.3, "EARLY")]}
    examples = Utterances(data(False, "error"), words, {}, {}, {}, tmp_path)
    assert examples.with_word("late", 3) == []
    assert len(examples.with_word("early", 3)) == 1


def test_phones_of_a_world_are_a_tier(tmp_path, vq_run, context):
    settings = {"scenes": 3, "size": 16, "speakers": 1, "splits": (0.0, 0.0, 1.0)}
    manifest = ensure_world(World(tmp_path / "world", **settings, workers=1)) / "places" / "test.json"

    def node(train, on_error):
        return PlacesFiles(manifest, image=None, train=train, on_error=on_error)

    unit_report({"mine": ModelSource(run=vq_run)}, node, context, phones=True, shown=1, codes=0, run=context.settings)
    drawn = next((context.folder / "figures").glob("row_0_0.00_*.svg")).read_text()
    phones = next(read_phones(manifest)).phones
    assert ">phones<" in drawn
    assert any(f">{phone}<" in drawn for start, end, phone in phones if end - start > 0.15)


def test_phones_of_other_data_are_refused(report):
    with pytest.raises(UserError, match=r"no phone times beside .*; set phones=false"):
        report(phones=True)


def test_no_model_is_refused(report):
    with pytest.raises(UserError, match="models names no model"):
        report({"gone": None})


def test_the_longest_stretches_of_a_code_come_first_one_of_an_utterance(data, tmp_path):
    codes = {0: np.array([5, 5, 1, 5, 5, 5]), 1: np.array([5, 1, 1, 1, 1, 1]), 2: np.array([1, 5, 5, 1, 1, 1])}
    words = {row: [(0.0, 0.2, "A"), (0.2, 0.6, f"W{row}")] for row in codes}
    examples = Utterances(data(False, "error"), words, {}, {"quant2": codes}, {"quant2": 0.1}, tmp_path)
    stretches = examples._stretches("quant2", {5})[5]
    assert [(row, round(start, 3), round(end, 3)) for start, end, row in stretches] == [
        (0, 0.3, 0.6), (2, 0.1, 0.3), (1, 0.0, 0.1),
    ]  # fmt: skip
    snippets = examples._snippets(stretches, 2)
    assert [snippet.word for snippet in snippets] == ["w0", "a w2"]
    assert len(snippets[0].waveform) == pytest.approx(0.5 * SAMPLE_RATE, abs=1)


def test_a_cut_stays_inside_the_sound_and_has_soft_ends():
    sound = np.ones(SAMPLE_RATE, np.float32)
    part = cut(sound, -0.2, 0.3)
    assert len(part) == 0.3 * SAMPLE_RATE
    assert part[0] == part[-1] == 0
    assert part[len(part) // 2] == 1
    assert len(cut(sound, 2.0, 3.0)) == 0
    assert sound.min() == 1
