"""Samples per CPU second from the HDF5 pair and from memory, against decoding on the fly; pairs of a Places-like size.

    python -m benchmarks.loading

The pairs are synthetic and written to a temporary folder first, then their HDF5 pair once, which is timed as well. A
loading process does the same work as this one.
"""

import itertools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from benchmarks.sounds import speech_like
from benchmarks.table import Row, best_times, options, print_table, timed
from datasets.hdf5.write import HDF5Pair, preprocess
from datasets.images import ImageTransform
from datasets.loading.loader import Loader
from datasets.spoken_captions.dataset import SpokenCaptions
from datasets.spoken_captions.readers import PlacesFiles, PlacesHDF5


def write_pairs(folder: Path, rows: int, seconds: float, rate: int) -> Path:
    """Write a Places manifest of synthetic captions at ``rate`` Hz and smooth random JPEGs of 256 x 340 pixels."""
    data = []
    for row in range(rows):
        soundfile.write(folder / f"{row}.wav", speech_like(seconds, rate, row), rate)
        coarse = np.random.default_rng(row).integers(0, 256, (16, 22, 3), np.uint8)
        Image.fromarray(coarse).resize((340, 256), Image.Resampling.BICUBIC).save(folder / f"{row}.jpg", quality=90)
        data.append({"uttid": str(row), "speaker": "", "asr_text": "", "wav": f"{row}.wav", "image": f"{row}.jpg"})
    manifest = folder / "pairs.json"
    manifest.write_text(json.dumps({"image_base_path": "", "audio_base_path": "", "data": data}))
    return manifest


def epoch_of(dataset: SpokenCaptions, batch_size: int) -> Callable[[], None]:
    """Return what loads a further epoch of a dataset each time it is called, in this process."""
    loader = Loader(dataset, batch_size, seed=0, train=True)
    numbers = itertools.count()

    def epoch() -> None:
        for _ in loader.batches(next(numbers)):
            pass

    return epoch


def main() -> None:
    """Read the sizes, measure, print the table."""
    args = options(
        __doc__,
        {
            "rows": (200, "pairs"),
            "seconds": (6.0, "length of a caption"),
            "rate": (44100, "of the sound files in Hz"),
            "batch_size": (20, "pairs of a batch"),
            "epochs": (2, "timed epochs, the best counts"),
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_pairs(Path(folder), args.rows, args.seconds, args.rate)
        pair = HDF5Pair(manifest, max_frames=2048, workers=1)
        _, prepared = timed(lambda: preprocess(pair))
        rows = []
        images = ImageTransform(224, 256, random_crop=True)
        for name, image in (("speech and images", images), ("speech alone", None)):
            datasets = (
                PlacesHDF5(pair.json, image, True),
                PlacesFiles(manifest, image, True, keep_mb=10_000),
                PlacesFiles(manifest, image, True),
            )
            epochs = [epoch_of(dataset, args.batch_size) for dataset in datasets]
            stored, kept, files = best_times(*epochs, repeats=args.epochs)
            for way, seconds in (("HDF5", stored), ("kept in memory", kept)):
                rates = f"{args.rows / seconds:.0f} samples/s, {args.rows / files:.0f} on the fly"
                rows.append(Row(f"{way}, {name}", seconds, files, note=rates))
    rows.append(Row("writing the pair", prepared, note="once"))
    print_table(f"One epoch of {args.rows} pairs of {args.seconds} s; baseline: on the fly from {args.rate} Hz", rows)


if __name__ == "__main__":
    main()
