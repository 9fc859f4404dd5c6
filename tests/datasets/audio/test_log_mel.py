"""Log-mels against the published values, a slow oracle, and the rule that padding influences nobody."""

import numpy as np
import pytest
import scipy.signal
import torch

from datasets.audio.log_mel import FeatureError, log_mel, log_spectrogram, mel_filterbank
from datasets.audio.read import resample
from datasets.audio.windows import cut, device_features

NAMES = {"a16k": 16000, "b44k": 44100, "c_short": 16000}


@pytest.fixture(scope="module")
def stored(assets):
    return np.load(assets / "parity" / "logmel.npz")


def signal(stored, name):
    return torch.from_numpy(resample(stored[f"pcm_{name}"].astype(np.float32) / 32768, NAMES[name], 16000))


@pytest.mark.parametrize("name", NAMES)
def test_published_log_mels(stored, name):
    """surisdi/learning-by-drawing@853436e and wnhsu/ResDAVEnet-VQ@3a6b8df; tolerances of the case, in dB."""
    values, nframes = log_mel(signal(stored, name))
    assert nframes == stored[f"n_frames_{name}"]
    for system in ("surisdi", "wnhsu"):
        np.testing.assert_allclose(values, stored[f"logmel_{system}_{name}"], rtol=1e-4, atol=2e-3)
    assert cut(values, 100).shape == (40, int(stored[f"n_frames_truncated_{name}"]))


@pytest.mark.parametrize("name", NAMES)
def test_published_fine_spectrograms(stored, name):
    values, nframes = log_spectrogram(signal(stored, name))
    assert tuple(values.shape) == tuple(stored[f"rawspec_shape_{name}"])
    assert nframes == values.shape[1]
    np.testing.assert_allclose(values[::8, ::8], stored[f"rawspec_{name}"], rtol=1e-4, atol=2e-3)


def slow_log_mel(wave):
    """The definition, step by step in float64, with numpy's reflection."""
    wave = wave.astype(np.float64) - wave.mean(dtype=np.float64)
    wave = np.concatenate([wave[:1], wave[1:] - 0.97 * wave[:-1]])
    padded = np.pad(wave, 200, mode="reflect")
    window = scipy.signal.windows.hamming(400, sym=True)
    frames = [np.abs(np.fft.rfft(window * padded[at : at + 400])) ** 2 for at in range(0, len(padded) - 399, 160)]
    mel = np.maximum(1e-10, np.stack(frames) @ mel_filterbank(40, 400, 16000, 20, 8000).double().numpy()).T
    level = 10 * np.log10(mel)
    return np.maximum(level - level.max(), -80)


@pytest.mark.parametrize("samples", [1, 2, 3, 150, 159, 160, 161, 200, 201, 399, 400, 401, 5000])
def test_any_length_against_the_definition(samples):
    wave = np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)
    values, nframes = log_mel(torch.from_numpy(wave))
    assert values.shape == (40, 1 + samples // 160)
    assert nframes == values.shape[1]
    np.testing.assert_allclose(values, slow_log_mel(wave), atol=0.02)  # float32 near the -80 dB floor


def test_padding_of_a_batch_influences_no_row():
    lengths = torch.tensor([5000, 150, 1, 3200, 16000])
    batch = torch.full((5, 16000), float("nan"))  # what lies behind a row must not even be looked at
    for row, length in enumerate(lengths):
        batch[row, :length] = torch.randn(length, generator=torch.Generator().manual_seed(row))
    values, nframes = log_mel(batch, lengths)
    assert values.shape == (5, 40, 101)
    for row, length in enumerate(lengths):
        alone = log_mel(batch[row, :length])
        assert alone.nframes == nframes[row]
        torch.testing.assert_close(values[row, :, : nframes[row]], alone.values, rtol=0, atol=2e-3)
        assert (values[row, :, nframes[row] :] == 0).all()


def test_silence_is_0_db_as_published():
    assert (log_mel(torch.zeros(4000)).values == 0).all()


def test_filterbank_is_slaneys():
    """Every band has unit area in Hz where bins are dense, and bands rise to one peak and fall."""
    filters = mel_filterbank(40, 16000, 16000, 20, 8000)
    torch.testing.assert_close(filters.sum(0), torch.ones(40), rtol=0.02, atol=0)
    peaks = filters.argmax(0)
    assert (peaks.diff() > 0).all()
    assert peaks[0] > 20
    assert peaks[-1] < 8000


def test_unusable_signals_are_errors():
    with pytest.raises(FeatureError, match="the signal is empty"):
        log_mel(torch.zeros(0))
    with pytest.raises(FeatureError, match=r"nsamples is \[4, 0\] .* each from 1 to 4"):
        log_mel(torch.ones(2, 4), torch.tensor([4, 0]))
    with pytest.raises(FeatureError, match=r"nsamples is \[5\]"):
        log_mel(torch.ones(1, 4), torch.tensor([5]))
    for value in (float("nan"), float("inf")):
        with pytest.raises(FeatureError, match=r"rows \[1\] hold NaN or infinite"):
            log_mel(torch.tensor([[1.0, 2.0, 3.0], [0.0, value, 0.0]]))


def test_windows_have_the_published_starts():
    """randint(0, T - length - 1) inclusive: one frame too many leaves one choice, the last window is never taken."""
    values = torch.arange(12.0).expand(2, 12)
    starts = {int(cut(values, 8, random_window=True)[0, 0]) for _ in range(100)}
    assert starts == {0, 1, 2, 3}
    assert {int(cut(values, 11, random_window=True)[0, 0]) for _ in range(20)} == {0}
    assert cut(values, 8)[0].tolist() == list(range(8))


def test_device_features_take_the_same_windows():
    waves = torch.randn(3, 8000, generator=torch.Generator().manual_seed(1))
    window = {"start": torch.tensor([20, 5, 0]), "nframes": torch.tensor([30, 30, 7])}
    batch = {"waveform": waves, "nsamples": torch.tensor([8000, 7000, 1000]), **window}
    whole = log_mel(waves, batch["nsamples"]).values
    for length in (30, 64, None):
        values, nframes = device_features(batch, length)
        assert values.shape == (3, 40, length or 51)
        assert nframes.tolist() == [30, 30, 7]
        for row, start in enumerate(batch["start"]):
            torch.testing.assert_close(values[row, :, : nframes[row]], whole[row, :, start : start + nframes[row]])
            assert (values[row, :, nframes[row] :] == 0).all()
