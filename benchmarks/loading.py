"""Samples per second of the HDF5 pair against decoding on the fly, on synthetic pairs of a Places-like size.

python -m benchmarks.loading --rows 400 --workers 2
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from PIL import Image

from benchmarks.logmel import speech_like
from benchmarks.table import Row, print_table
from datasets.hdf5 import HDF5Pair, preprocess
from datasets.images import ImageTransform
from datasets.loading import Loader
from datasets.samples import SpokenCaptions
from datasets.spoken_captions import PlacesFiles, PlacesHDF5


def write_pairs(folder: Path, rows: int, seconds: float, rate: int) -> Path:
    """A Places manifest of synthetic captions and smooth random pictures of 256 x 340 pixels, as JPEG."""
    data = []
    for row in range(rows):
        soundfile.write(folder / f"{row}.wav", speech_like(seconds, rate, row), rate)
        coarse = np.random.default_rng(row).integers(0, 256, (16, 22, 3), np.uint8)
        Image.fromarray(coarse).resize((340, 256), Image.Resampling.BICUBIC).save(folder / f"{row}.jpg", quality=90)
        data.append({"uttid": str(row), "speaker": "", "asr_text": "", "wav": f"{row}.wav", "image": f"{row}.jpg"})
    manifest = folder / "pairs.json"
    manifest.write_text(json.dumps({"image_base_path": "", "audio_base_path": "", "data": data}))
    return manifest


def epoch_seconds(dataset: SpokenCaptions, batch_size: int, workers: int, epochs: int) -> float:
    """The quickest of some epochs, the first left out: it starts the workers."""
    loader = Loader(dataset, batch_size, seed=0, train=True, workers=workers)
    best = float("inf")
    for epoch in range(epochs + 1):
        start = time.perf_counter()
        count = sum(len(batch["index"]) for batch in loader.batches(epoch))
        if epoch or not workers:
            best = min(best, (time.perf_counter() - start) / count)
    return best * len(dataset)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400, help="pairs (default 400)")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of a caption (default 6)")
    parser.add_argument("--rate", type=int, default=44100, help="of the sound files in Hz (default 44100)")
    parser.add_argument("--workers", type=int, default=2, help="loading processes (default 2)")
    parser.add_argument("--batch-size", type=int, default=32, help="(default 32)")
    parser.add_argument("--epochs", type=int, default=2, help="timed epochs, the best counts (default 2)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_pairs(Path(folder), args.rows, args.seconds, args.rate)
        pair = HDF5Pair(manifest, max_frames=2048)
        start = time.perf_counter()
        preprocess(pair)
        prepared = time.perf_counter() - start
        image = ImageTransform(224, 256, random_crop=True)
        rows = []
        for name, picture in (("speech and pictures", image), ("speech alone", None)):
            for workers in sorted({0, args.workers}):
                files, stored = (
                    epoch_seconds(dataset, args.batch_size, workers, args.epochs)
                    for dataset in (PlacesFiles(manifest, picture, True), PlacesHDF5(pair.json, picture, True))
                )
                rates = f"{args.rows / stored:.0f} samples/s from HDF5, {args.rows / files:.0f} on the fly"
                rows.append(Row(f"HDF5, {name}, {workers} workers", stored, files, note=rates))
    rows.append(Row("writing the pair", prepared, note="once, all cores"))
    print_table(f"one epoch of {args.rows} pairs of {args.seconds} s; baseline: on the fly from {args.rate} Hz", rows)


if __name__ == "__main__":
    main()
