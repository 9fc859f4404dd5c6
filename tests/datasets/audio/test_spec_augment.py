"""SpecAugment: bounded masks of silence, repeatable from torch's generator."""

import pytest
import torch

from datasets.audio.spec_augment import SpecAugment


def test_masks_are_bounded_and_repeatable():
    augment = SpecAugment(freq_masks=1, freq_width=8, time_masks=1, time_width=30, time_share=0.2)
    mel = -10 * torch.rand(40, 100)
    widths = []
    for seed in range(30):
        torch.manual_seed(seed)
        masked = augment(mel)
        torch.manual_seed(seed)
        assert torch.equal(augment(mel), masked)
        silent = masked == -80
        assert (masked[~silent] == mel[~silent]).all()
        bands, frames = silent.all(1).sum(), silent.all(0).sum()
        assert silent.sum() == 100 * bands + 40 * frames - bands * frames
        widths.append((int(bands), int(frames)))
    assert max(b for b, _ in widths) in range(4, 9)
    assert max(f for _, f in widths) in range(10, 21)
    assert (mel > -80).all()


def test_no_masks_change_nothing():
    mel = torch.randn(40, 7)
    assert torch.equal(SpecAugment(0, 8, 0, 8)(mel), mel)


def test_impossible_settings():
    with pytest.raises(ValueError, match=r"found -1 .* greater than or equal to 0"):
        SpecAugment(-1, 8, 0, 8)
    with pytest.raises(ValueError, match="time_share: found"):
        SpecAugment(1, 8, 1, 8, time_share=0)
