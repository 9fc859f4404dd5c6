"""Sounds whose log-mels hold nothing, or NaN, are refused alike from files, in preprocess and from HDF5."""

import json
import shutil

import h5py
import numpy as np
import pytest
import soundfile
import torch

from datasets.audio.log_mel import FeatureError, check_usable, check_usable_waveform, log_mel
from datasets.audio.windows import device_features
from datasets.hdf5.write import HDF5Pair, preprocess
from datasets.loading.loader import Loader
from datasets.loading.rows import SampleError
from datasets.spoken_captions.readers import PlacesFiles, PlacesHDF5
from datasets.spoken_captions.sound_folder import SoundFolder

RATE = 16000
DRAWS = np.random.default_rng(7)
SPEECH = DRAWS.normal(0, 0.1, RATE).astype(np.float32)
SPEECH -= SPEECH.mean()
PCM = (SPEECH * 20000).astype(np.int16)


def click(at, size):
    sound = np.zeros(RATE, np.int16)
    sound[at] = size
    return sound


FAINT = {
    "faint": (1e-6 * SPEECH, "FLOAT"),
    "constant and a breath": (0.3 + 1e-6 * SPEECH, "DOUBLE"),
    "click of one step": (click(8000, 1), "PCM_16"),
    "channels that cancel but for rounding": (np.stack([PCM, -PCM - click(5000, 1)], 1), "PCM_16"),
    "late": (np.concatenate([np.zeros(RATE, np.float32), SPEECH]), "FLOAT"),
}
HUGE = {
    "1e29": (np.where(np.arange(RATE) == 4000, np.float32(1e29), SPEECH), "FLOAT"),
    "all 1e25": (np.float32(1e25) * SPEECH, "FLOAT"),
}


def put(corpus, sound):
    """The corpus with a sound in its third row, cut to 40 frames."""
    soundfile.write(corpus.parent / "wavs" / "2.wav", sound[0], RATE, subtype=sound[1])
    return {"max_frames": 40}


@pytest.mark.parametrize("kind", [*FAINT, *HUGE])
def test_files_preprocess_and_hdf5_agree(corpus, small, kind):
    cut = put(corpus, (FAINT | HUGE)[kind])
    why = r"2\.wav: holds only silence" if kind in FAINT else r"2\.wav: its log-mels are not finite"
    for how in ("worker", "device"):
        with pytest.raises(SampleError, match=rf"row 2 \(utt2\) of .*{why}"):
            PlacesFiles(corpus, small, train=False, features=how, **cut)[2]
    folder = SoundFolder(corpus.parent / "wavs", **cut)
    row = next(row for row in range(len(folder)) if folder.record(row).uttid == "2")
    with pytest.raises(SampleError, match=why):
        folder[row]
    with pytest.raises(SampleError, match=rf"row 2 \(utt2\): .*{why}"):
        preprocess(HDF5Pair(corpus, 40, workers=1))
    pair = HDF5Pair(corpus, 40, workers=1, on_error="skip")
    preprocess(pair)
    assert len(PlacesHDF5(pair.json, small, train=False)) == 10
    loader = Loader(PlacesFiles(corpus, small, train=False, on_error="skip", **cut), 4, 0, False)
    assert [int(i) for batch in loader.batches(0) for i in batch["index"]] == [0, 1, *range(3, 11)]
    assert list(loader.skipped) == [2]


def test_what_is_heard_is_taken_by_all(corpus, small):
    """Faint, but above the floor; with a late beginning, but not cut before it."""
    for sound in ((1e-3 * SPEECH, "FLOAT"), FAINT["late"], (click(8000, 300), "PCM_16")):
        put(corpus, sound)
        mel = PlacesFiles(corpus, small, train=False)[2]["mel"]
        shutil.rmtree(corpus.parent / "hdf5", ignore_errors=True)
        pair = HDF5Pair(corpus, 250, workers=1)
        preprocess(pair)
        torch.testing.assert_close(PlacesHDF5(pair.json, small, train=False)[2]["mel"], mel, rtol=0, atol=0)
        batch = PlacesFiles(corpus, small, train=False, features="device")[2]
        assert batch["nframes"] == mel.shape[1]


def test_rows_of_other_programs_that_are_silent_where_they_are_cut(corpus, small):
    pair = HDF5Pair(corpus, 60, workers=1)
    preprocess(pair)
    with h5py.File(pair.audio, "r+") as file:
        file["melspec"][4, :, :20] = -80
    with pytest.raises(SampleError, match=r"melspec\[4\]: holds only silence \(all its log-mels are -80 dB"):
        PlacesHDF5(pair.json, small, train=False, max_frames=20)[4]
    assert PlacesHDF5(pair.json, small, train=False, max_frames=30)[4]["nframes"] == 30


def test_a_random_window_may_be_silent(corpus, small):
    """What is refused does not depend on the draw."""
    put(corpus, FAINT["late"])
    for how in ("worker", "device"):
        dataset = PlacesFiles(corpus, small, train=True, max_frames=40, window="random", features=how)
        assert all(dataset[2]["nframes"] == 40 for _ in range(20))


def test_the_short_cut_says_what_the_log_mels_say():
    """The worker makes none for the device where a glance is enough: signals of all levels and shapes."""
    draws, answers = np.random.default_rng(1), []
    for _ in range(200):
        wave = np.zeros(int(draws.integers(1, 4000)))
        kind = draws.integers(4)
        if kind == 0:
            wave[draws.integers(len(wave))] = 1
        elif kind == 1:
            wave = draws.normal(0, 1, len(wave))
        elif kind == 2:
            wave = np.sin(np.arange(len(wave)) * draws.uniform(0.001, 3))
        else:
            wave[len(wave) // 2 :] = draws.normal(0, 1, len(wave) - len(wave) // 2)
        level = 10.0 ** draws.integers(-9, 31)
        signal = torch.from_numpy((wave * level).astype(np.float32))
        frames = int(draws.integers(1, 2 + len(wave) // 160))

        def refused(check, *args):
            try:
                check(*args, "x")
            except FeatureError:
                return True
            return False

        slow = refused(check_usable, log_mel(signal).values[:, :frames])
        assert refused(check_usable_waveform, signal, frames) == slow
        answers.append(slow)
    assert 30 < sum(answers) < 170


def test_the_device_looks_too():
    batch = {"waveform": torch.full((2, 1600), 0.1), "nsamples": torch.tensor([1600, 1600])}
    batch["waveform"][1, 700] = 1e29
    with pytest.raises(FeatureError, match=r"log-mels of rows \[1\] of the batch are not finite"):
        device_features(batch | {"start": torch.zeros(2, dtype=torch.int64), "nframes": torch.tensor([11, 11])})


def test_alignments_are_held_against_what_is_decoded(corpus, small):
    """An mp3 without a counting frame: its estimated length was the first frames' bit rate."""
    rows = json.loads(corpus.read_text())
    rows["data"][2]["wav"] = "2.mp3"
    corpus.write_text(json.dumps(rows))
    path = corpus.parent / "wavs" / "2.mp3"
    loud = np.concatenate([np.zeros(RATE, np.float32), DRAWS.normal(0, 0.2, 2 * RATE)])
    soundfile.write(path, loud, RATE, bitrate_mode="VARIABLE", compression_level=0.5)
    content = path.read_bytes()
    path.write_bytes(content[content.index(b"\xff\xf3", 100) :])
    dataset = PlacesFiles(corpus, small, train=False)
    assert soundfile.info(path).frames < 2.8 * RATE or soundfile.info(path).frames > 3.3 * RATE
    assert dataset.lengths()[2] == dataset[2]["nframes"] == pytest.approx(308, abs=5)
