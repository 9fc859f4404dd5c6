"""Small corpora in the published layouts, made on the spot."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from datasets.images import ImageTransform

RATE = 16000


def write_sound(path: Path, samples: int, seed: int = 0, rate: int = RATE) -> Path:
    """A noisy glide; ``samples`` decides its length."""
    noise = np.random.default_rng(seed).normal(0, 0.05, samples)
    glide = np.sin(2 * np.pi * np.cumsum(np.linspace(200, 3000 + 50 * seed, samples)) / rate)
    soundfile.write(path, np.clip(0.4 * glide + noise, -1, 1), rate)
    return path


def write_corpus(folder: Path, rows: int) -> Path:
    """A Places manifest with ``rows`` pairs of 0.2-0.9 s and images of 40x50 pixels; returns the JSON."""
    for name in ("wavs", "images"):
        (folder / name).mkdir(parents=True)
    data = []
    for row in range(rows):
        write_sound(folder / "wavs" / f"{row}.wav", 3200 + 1600 * (row * 5 % 8), seed=row)
        pixels = np.random.default_rng(row).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{row}.png")
        data.append(
            {"uttid": f"utt{row}", "speaker": "S", "asr_text": f"row {row}", "wav": f"{row}.wav", "image": f"{row}.png"}
        )
    manifest = folder / "train.json"
    manifest.write_text(json.dumps({"image_base_path": "images", "audio_base_path": "wavs", "data": data}))
    return manifest


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A Places manifest of 11 pairs."""
    return write_corpus(tmp_path / "places", 11)


@pytest.fixture
def small() -> ImageTransform:
    """Images of 16 pixels, random crops and flips in training."""
    return ImageTransform(size=16, resize=20, random_crop=True, flip=True)
