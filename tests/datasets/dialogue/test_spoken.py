"""Files of spoken instructions: they go on after a stop, whose voices say what, and files that are none."""

import json

import h5py
import numpy as np
import pytest
import torch

from datasets.dialogue.spoken import (
    SpokenError,
    SpokenFeatures,
    SpokenUnits,
    SpokenVoice,
    padded_turn,
    recordings,
    write_voices,
)

TEXTS = ["add", "draw", "put"]
VOICES = [SpokenVoice("anna", "train"), SpokenVoice("bert", "train"), SpokenVoice("carl", "val")]
ABOUT = {"encoder": "tiny", "unit_layer": "quant3", "feature_layer": "conv3"}


def frames_of(voice):
    """Text k has k + 1 frames; units are ten times the voice's number and k."""
    number, lengths = VOICES.index(voice), (1, 2, 3)
    units = np.concatenate([np.full(length, 10 * number + row) for row, length in enumerate(lengths)])
    return {
        "units": units.astype(np.uint16), "unit_ends": np.cumsum(lengths),
        "features": np.repeat(units[:, None], 2, axis=1).astype(np.float16), "feature_ends": np.cumsum(lengths),
    }  # fmt: skip


@pytest.fixture
def path(tmp_path):
    write_voices(tmp_path / "spoken.h5", TEXTS, VOICES, frames_of, ABOUT)
    return tmp_path / "spoken.h5"


def test_voices_are_those_of_the_split(path):
    reader = SpokenUnits(path, max_previous=4)
    assert (reader.max_frames, reader.layer, reader.encoder) == (3, "quant3", "tiny")
    found = reader.read(["put", "draw", "add"], "validation", 7)
    assert {name: value.tolist() for name, value in found.items()} == {
        "previous_units": [22, 22, 21, 21], "nprevious": 4, "units": [20, 0, 0], "nunits": 1,
    }  # fmt: skip
    assert reader.read(["put"], "train", 3)["units"].tolist() == [12] * 3
    assert reader.read(["put"], "train", 4)["units"].tolist() == [2] * 3
    assert {int(reader.read(["add"], "train", None)["units"][0]) for _ in range(40)} == {0, 10}
    assert SpokenUnits(path, voices="val").read(["add"], "train", None)["units"][0] == 20
    with pytest.raises(SpokenError, match="has no voice of the test split, only of train, val"):
        reader.read(["add"], "test", 0)
    with pytest.raises(SpokenError, match=r"nobody says 'paint' in it, it is of other dialogues"):
        reader.read(["paint"], "train", 0)


def test_features_of_the_first_turn(path):
    found = SpokenFeatures(path, max_previous=2).read(["draw"], "val", 0)
    assert found["nprevious"] == 0
    assert found["previous_features"].tolist() == [[0, 0], [0, 0]]
    assert found["features"].tolist() == [[21, 21], [21, 21], [0, 0]]
    assert found["features"].dtype == torch.float32


def test_the_control_says_another_instruction(path):
    reader = SpokenUnits(path, shuffled=True)
    found = [int(reader.read(["add"], "val", number)["units"][0]) for number in range(30)]
    assert set(found) == {20, 21, 22}
    assert found == [int(reader.read(["add"], "val", number)["units"][0]) for number in range(30)]


def test_turns_without_padding():
    now = torch.tensor([5, 6], dtype=torch.int32)
    assert [part.tolist() for part in padded_turn([], now, 9)] == [[0], 0, [5, 6], 2]
    assert [part.tolist() for part in padded_turn([now, now], now, 3)] == [[6, 5, 6], 3, [5, 6], 2]


def test_writing_goes_on_behind_the_last_voice(tmp_path):
    path, made = tmp_path / "spoken.h5", []

    def make(voice, stop=1):
        if len(made) == stop:
            raise KeyboardInterrupt
        made.append(voice.speaker)
        return frames_of(voice)

    with pytest.raises(KeyboardInterrupt):
        write_voices(path, TEXTS, VOICES, make, ABOUT)
    assert not path.exists()
    assert write_voices(path, TEXTS, VOICES, lambda voice: make(voice, 9), ABOUT) == 2
    assert made == ["anna", "bert", "carl"]
    assert write_voices(path, TEXTS, VOICES, make, ABOUT) == 0
    for texts, voices, about, message in (
        (["add"], VOICES, ABOUT, "of other instructions than"),
        (TEXTS, VOICES[:2], ABOUT, "of other voices than"),
        (TEXTS, VOICES, ABOUT | {"encoder": "large"}, r"of other settings \(encoder tiny, .* delete it"),
    ):
        with pytest.raises(SpokenError, match=message):
            write_voices(path, texts, voices, frames_of, about)


def test_a_draft_of_other_texts_is_not_gone_on_with(tmp_path):
    path = tmp_path / "spoken.h5"
    with h5py.File(tmp_path / ".spoken.h5.part", "w") as file:
        file["texts"] = json.dumps(["other"])
        file.create_group("anna").attrs.update({"split": "train", "complete": True})
    assert write_voices(path, TEXTS, VOICES, frames_of, ABOUT) == 3


def test_a_voice_of_a_draft_that_is_of_another_split_is_made_anew(tmp_path):
    path, made = tmp_path / "spoken.h5", []

    def make(voice):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(voice)
        return frames_of(voice)

    with pytest.raises(KeyboardInterrupt):
        write_voices(path, TEXTS, VOICES, make, ABOUT)
    swapped = [VOICES[0], SpokenVoice("bert", "val"), SpokenVoice("carl", "train")]
    frames = dict(zip(swapped, VOICES, strict=True))
    assert write_voices(path, TEXTS, swapped, lambda voice: frames_of(frames[voice]), ABOUT) == 2
    assert SpokenUnits(path).read(["add"], "val", 0)["units"][0] == 10


@pytest.mark.parametrize("texts", ["no JSON", 3])
def test_a_finished_file_without_texts(path, texts):
    with h5py.File(path, "r+") as file:
        del file["texts"]
        file["texts"] = texts
    with pytest.raises(SpokenError, match=r"cannot be read as spoken instructions .*; delete it and make it"):
        write_voices(path, TEXTS, VOICES, frames_of, ABOUT)


def test_recordings_come_back(tmp_path):
    def make(voice):
        made = np.empty(2, object)
        made[:] = [np.frombuffer(f"{voice.speaker} {row}".encode(), np.uint8) for row in range(2)]
        return {"sounds": made}

    write_voices(tmp_path / "sounds.h5", ["a", "b"], VOICES, make, {})
    assert dict(recordings(tmp_path / "sounds.h5"))[VOICES[2]] == [b"carl 0", b"carl 1"]


def test_files_that_are_none(tmp_path, path):
    with pytest.raises(SpokenError, match=r"there is no file .*none.h5 of spoken instructions: make it with"):
        SpokenUnits(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(SpokenError, match="cannot be read as spoken instructions"):
        SpokenUnits(tmp_path / "text.h5")
    with h5py.File(path, "r+") as file:
        del file["bert"]["unit_ends"]
        file["bert"]["unit_ends"] = [1, 2]
    with pytest.raises(SpokenError, match="voice bert has 2 texts of 3"):
        SpokenUnits(path)
