"""What a page sends: a spoken instruction becomes what its recording in training was; other sounds are refused."""

import copy
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import config
from datasets.dialogue.readers import read_turn
from datasets.dialogue.spoken import SpokenError, SpokenFeatures, SpokenUnits, SpokenVoice, recordings, write_voices
from datasets.media_files import encode_audio
from engine import checkpoint
from engine.context import Context
from models.resdavenet_vq import ResDavenetVq
from models.spoken_instruction_encoders import FeatureInstructionEncoder, UnitInstructionEncoder
from tasks.lattegan.listen import Listener, ListeningError, load_listener
from tasks.lattegan.speak import VoiceCounts, chosen_voices, encode, speak
from tasks.resdavenet_vq.layers import SpeechModel
from tasks.speech_image.trained import ModelSource
from tests.tasks.lattegan.worlds import write_squares

RATE = 16000
SHIPPED = Path(__file__).parents[3] / "models" / "shipped" / "resdavenet_vq_world.json"


@pytest.fixture(scope="module")
def speech():
    torch.manual_seed(0)
    widths, depths = (4, 5, 6, 7, 8), (1, 1, 1, 1)
    return SpeechModel(ResDavenetVq("01100", 9, widths, depths, kernel=3), torch.device("cpu"), "tiny")


def noise(seconds=0.8, seed=0):
    return (0.2 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(np.float32)


@pytest.mark.parametrize("kind", ["units", "features"])
def test_what_is_heard_is_what_was_recorded(tmp_path, speech, kind):
    texts = ["first", "second"]
    files = [encode_audio(noise(seed=row), RATE, "flac") for row in range(2)]
    made = encode(speech, files, "quant3", "conv3")
    about = {"encoder": "tiny", "unit_layer": "quant3", "feature_layer": "conv3"}
    write_voices(tmp_path / "spoken.h5", texts, [SpokenVoice("anna", "val")], lambda _: made, about)
    if kind == "units":
        encoder, reader = UnitInstructionEncoder(9, 6, 8), SpokenUnits(tmp_path / "spoken.h5")
    else:
        encoder, reader = FeatureInstructionEncoder(6, 6, 8), SpokenFeatures(tmp_path / "spoken.h5")
    listener = Listener(encoder, speech)
    heard = [listener.hear(one) for one in files]
    found = listener.encode(heard[:1], heard[1])
    turn = read_turn(reader, None, texts, "val", 0)
    with torch.no_grad():
        expected = encoder(*(turn[name][None] for name in encoder.inputs))
    close = {"rtol": 0, "atol": 2e-3}  # features are kept as float16
    torch.testing.assert_close(found.sentences, expected.sentences, **close)
    torch.testing.assert_close(found.memory, expected.memory[:, : found.memory.shape[1]], **close)
    samples, _ = soundfile.read(io.BytesIO(files[0]), dtype="float32")
    torch.testing.assert_close(listener.hear(samples, RATE), heard[0])


def wav(samples):
    return encode_audio(np.asarray(samples, np.float32), RATE, "wav")


@pytest.mark.parametrize(
    ("sound", "rate", "message"),
    [
        (b"add a red cube", None, r"^the recording: .*cannot be decoded"),
        (b"", None, "^the recording: "),
        (wav(np.zeros(RATE)), None, "^the recording is silent .*look at the microphone"),
        (wav(1e-3 * np.sin(np.arange(RATE))), None, r"^the recording is silent \(its loudest sample is 0.0010"),
        (wav(noise(0.1)), None, r"^the recording is 0.10 s long, expected 0.3 to 30 s"),
        (noise(31), RATE, "^the recording is 31.00 s long"),
        (np.full(RATE, np.nan, np.float32), RATE, "^the recording holds NaN or infinity"),
        (noise(), None, r"found samples float32 \(12800,\) at None Hz, expected \(N,\) float32"),
        ("add a red cube", None, "found the text 'add a red cube', but this model hears: give a sound"),
        (np.zeros((2, RATE), np.float32), RATE, r"found samples float32 \(2, 16000\)"),
    ],
)
def test_sounds_that_are_no_instruction(speech, sound, rate, message):
    with pytest.raises(ListeningError, match=message):
        Listener(UnitInstructionEncoder(9, 6, 8), speech).hear(sound, rate)


def test_encoders_of_another_layer(speech):
    with pytest.raises(ListeningError, match="quant3 of tiny has 9 codes, the encoder of instructions takes 128"):
        Listener(UnitInstructionEncoder(), speech)
    with pytest.raises(ListeningError, match="conv2 of tiny has 5 channels, the encoder of instructions takes 6"):
        Listener(FeatureInstructionEncoder(6), speech, "conv2")


def test_voices_differ_in_more_than_pitch():
    found = chosen_voices(VoiceCounts(5, 2, 3))
    assert list(found.values()) == ["train"] * 5 + ["val"] * 2 + ["test"] * 3
    assert len({voice.name for voice in found}) == 10
    assert list(chosen_voices(VoiceCounts(5, 2, 3))) == list(found)
    assert list(chosen_voices(VoiceCounts(5, 2, 3, seed=1))) != list(found)


def test_recordings_of_every_instruction(tmp_path):
    """The command says each distinct text of the files once a voice; the encoder that comes along reads them."""
    write_squares(tmp_path, "train", 2, 0)
    paths, source = (tmp_path / "sounds.h5", tmp_path / "encoded.h5"), ModelSource(run=SHIPPED)
    speak([tmp_path / "clevr_train.h5"], *paths, source, Context("x", {}, []), VoiceCounts(1, 1, 0), threads=1)
    for _, sounds in recordings(paths[0]):
        assert len(sounds) == 4  # colours
    reader = SpokenUnits(paths[1])
    assert 20 < int(reader.read(["add a red cube"], "val", 0)["nunits"]) < 80
    assert SpokenFeatures(paths[1]).read(["add a red cube"], "train", 0)["features"].shape[1] == 128


@pytest.mark.parametrize(("given", "asked", "expected"), [(25, None, 25), (25, 30, 30), (None, None, 400)])
def test_as_much_is_read_as_in_training(tmp_path, given, asked, expected):
    encoder = UnitInstructionEncoder(vector_dim=6, text_dim=8)
    texts = {} if given is None else {"max_previous": given}
    state = {
        "config": config.dump({"data": {"train": {"texts": texts}}}),
        "modules": {"text": encoder.state_dict()}, "averages": {}, "step": 1, "seconds": 1.0,
    }  # fmt: skip
    (tmp_path / "checkpoints").mkdir()
    checkpoint.write(tmp_path / "checkpoints" / "best.pt", state)
    listener = load_listener(encoder, ModelSource(run=SHIPPED), run=tmp_path, max_previous=asked)
    assert listener.max_previous == expected


def test_recordings_encoded_with_other_weights(tmp_path, monkeypatch, speech):
    """A network of the same name with other weights does not pass for the one that encoded."""
    write_squares(tmp_path, "train", 1, 0)
    monkeypatch.setattr("tasks.lattegan.speak._said", lambda texts, _: _noises(len(texts)))
    monkeypatch.setattr("tasks.lattegan.speak.load_speech", lambda *_: network)
    files = [tmp_path / "clevr_train.h5"], tmp_path / "sounds.h5", tmp_path / "encoded.h5"
    arguments = *files, ModelSource(run=SHIPPED), Context("x", {}, []), VoiceCounts(1, 0, 0)
    network = SpeechModel(copy.deepcopy(speech.speech), speech.device, speech.name)
    speak(*arguments, threads=1)
    next(network.speech.parameters()).data.add_(1)
    with pytest.raises(SpokenError, match=r"is of other settings .*delete it"):
        speak(*arguments, threads=1)


def _noises(count):
    made = np.empty(count, object)
    made[:] = [np.frombuffer(encode_audio(noise(seed=row), RATE, "flac"), np.uint8) for row in range(count)]
    return made
