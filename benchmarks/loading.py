"""Samples per second of the HDF5 pair against decoding on the fly, on synthetic pairs of a Places-like size.

    python -m benchmarks.loading --workers 2

The pairs are written to a temporary folder first, then their HDF5 pair once, which is timed as well.
"""

import itertools
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from benchmarks.sounds import speech_like
from benchmarks.table import Row, best_time, options, print_table
from datasets.hdf5 import HDF5Pair, preprocess
from datasets.images import ImageTransform
from datasets.loading import Loader
from datasets.samples import SpokenCaptions
from datasets.spoken_captions import PlacesFiles, PlacesHDF5


def write_pairs(folder: Path, rows: int, seconds: float, rate: int) -> Path:
    """Write a Places manifest of synthetic captions and smooth random pictures of 256 x 340 pixels, as JPEG.

    Args:
        folder: that exists.
        rows: pairs.
        seconds: length of a caption.
        rate: of the sounds, Hz.

    Returns:
        The manifest.
    """
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
    """Time the quickest of some epochs; one before them starts the workers.

    Args:
        dataset: what is loaded.
        batch_size: samples.
        workers: processes, 0 for none.
        epochs: that are timed.

    Returns:
        Seconds for every row of the dataset.
    """
    loader = Loader(dataset, batch_size, seed=0, train=True, workers=workers)
    numbers, counts = itertools.count(), []

    def epoch() -> None:
        counts.append(sum(len(batch["index"]) for batch in loader.batches(next(numbers))))

    return best_time(epoch, epochs) / counts[0] * len(dataset)


def main() -> None:
    """Read the sizes, measure, print the table."""
    args = options(
        __doc__,
        {
            "rows": (400, "pairs"),
            "seconds": (6.0, "length of a caption"),
            "rate": (44100, "of the sound files in Hz"),
            "workers": (2, "loading processes"),
            "batch_size": (32, "pairs of a batch"),
            "epochs": (2, "timed epochs, the best counts"),
        },
        threads=1,
    )
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
    print_table(f"One epoch of {args.rows} pairs of {args.seconds} s; baseline: on the fly from {args.rate} Hz", rows)


if __name__ == "__main__":
    main()
