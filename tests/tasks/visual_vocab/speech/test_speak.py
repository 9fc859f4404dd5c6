"""The command that moves images along a spoken word; errors in one sentence."""

import json

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.tasks.visual_vocab.conftest import run_config
from tests.tasks.visual_vocab.speech.conftest import LISTENING


def speak(folder, generator_node, vocabulary_file, *overrides, **values):
    asked = {"generator": generator_node, "vocabulary": str(vocabulary_file), "images": 2, "segmenter": None}
    return run_config(folder, "speak", asked | {"listening": LISTENING} | values, *overrides)


def test_a_spoken_word_moves_images(generator_node, vocabulary_file, tmp_path):
    assert speak(tmp_path, generator_node, vocabulary_file, "word=cube", "voice_seed=5") == 0
    folder = tmp_path / "speak"
    found = json.loads((folder / "ranking.json").read_text())
    assert found["word"] == "cube"
    assert found["ranking"][0] == {"word": "cube", "score": pytest.approx(found["ranking"][0]["score"])}
    assert [len(found["ranking"]), found["layer"], found["parts"]] == [3, "conv2", 4]
    sheet = np.asarray(Image.open(folder / "before_after.png"))
    assert sheet.shape[:2] == (2 * 16 + 2, 2 * 16 + 2)
    assert not np.array_equal(sheet[:16], sheet[18:])
    report = (folder / "report.html").read_text()
    assert "<audio" in report
    assert "cosine of &#x27;cube&#x27; by " in report


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(16000), "holds only silence"),
        (np.ones(800) * 0.1 * np.sign(np.sin(np.arange(800))), "0.05 s long, expected 0.1 to 3 s"),
        (np.random.default_rng(0).standard_normal(8000) * 0.1, "is near no word: the nearest, '"),
        (None, "cannot be decoded as sound"),
    ],
)
def test_sounds_that_name_no_concept_are_one_sentence(
    samples, message, generator_node, vocabulary_file, tmp_path, capsys
):
    path = tmp_path / "word.wav"
    if samples is None:
        path.write_text("not a sound")
    else:
        soundfile.write(path, samples, 16000)
    strict = {"listening": LISTENING | {"least": 0.95}}
    assert speak(tmp_path, generator_node, vocabulary_file, f"audio={path}", **strict) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_something_must_be_heard_and_named(generator_node, vocabulary_file, tmp_path, capsys):
    assert speak(tmp_path, generator_node, vocabulary_file, "word=null") == 2
    assert "found neither audio nor word; give audio=FILE" in capsys.readouterr().err
    assert speak(tmp_path, generator_node, tmp_path / "none.safetensors") == 2
    assert "none.safetensors" in capsys.readouterr().err
