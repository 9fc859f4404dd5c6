"""Draw docs/image.png: results of trained models that ship, and of a run of the quick-start.

Three rows: images of the shipped generator; a test image of the quick-start with where it responds to words of its
spoken caption; the units that the shipped speech encoder finds in that caption. Run scripts/quickstart.sh before.
"""

import argparse
import io
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app.api import Matchmap, load_encoder, load_generator, load_pair
from common.errors import UserError
from common.files import write_whole
from config import PROJECT_ROOT
from datasets.audio.log_mel import read_log_mel
from datasets.spoken_captions.places_manifest import read_places
from datasets.spoken_captions.records import SpokenCaption, Word

SAMPLES, WORDS = 8, 7
STOP = ("there", "with", "this", "that", "here", "things", "made", "scene", "from", "photo", "picture", "look")
RESOLUTION = 256  # pixels high and wide, of an image in the figure
LAYERS = {"quant3": "units of layer 3", "quant2": "units of layer 2"}


def main() -> None:
    """Draw and write the image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=PROJECT_ROOT / "runs" / "quickstart")
    parser.add_argument("--manifest", type=Path, default=PROJECT_ROOT / "data/world_quickstart/places/test.json")
    parser.add_argument("--row", type=int, default=24, help="of the manifest: the pair that is shown")
    parser.add_argument("--output", type=Path, default=PROJECT_ROOT / "docs" / "image.png")
    given = parser.parse_args()
    try:
        record = read_places(given.manifest, need="files").records[given.row]
        figure = drawn(given.run, record)
    except UserError as error:
        sys.exit(f"error: {error}")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100, pil_kwargs={"optimize": True})
    write_whole(given.output, content.getvalue())
    print(f"wrote {given.output} ({given.output.stat().st_size} bytes)")


def drawn(run: Path, record: SpokenCaption) -> Figure:
    """Return the figure of three rows, for a pair with word times and the quick-start's run folder."""
    if not record.alignment:
        raise UserError(f"{record.uttid} has no word times; expected a row of a manifest of a world")
    figure = pyplot.figure(figsize=(10, 6.6), layout="constrained")
    parts = figure.subfigures(3, 1, height_ratios=[1.3, 1.55, 3.0])
    images = _samples()
    _title(parts[0], "Images of the shipped generator, from 8 latents")
    for axes, image in zip(parts[0].subplots(1, SAMPLES), images, strict=True):
        _show(axes, image)
    _title(parts[1], f"Where a test image responds to words of “{record.text}”")
    found = load_pair(run).matchmap(record.image_path, record.audio_path)
    chosen = content_words(record.alignment)[:WORDS]
    panels = parts[1].subplots(1, len(chosen) + 1)
    _show(panels[0], np.array(Image.open(record.image_path).convert("RGB")), "the image")
    for axes, word in zip(panels[1:], chosen, strict=True):
        _show(axes, overlaid(record.image_path, at_word(found, word)), word[2].lower())
    _title(parts[2], "Units that the shipped speech encoder finds in the same caption")
    _units(parts[2].subplots(4, 1, sharex=True, gridspec_kw={"height_ratios": [2.6, 0.8, 1, 1], "hspace": 0}), record)
    return figure


def content_words(alignment: list[Word]) -> list[Word]:
    """Return the words (start, end, word) of four letters or more, and ``red``, each the first time that it is said."""
    kept: dict[str, Word] = {}
    for word in alignment:
        if len(word[2]) > 3 or word[2].lower() == "red":
            kept.setdefault(word[2].lower(), word)
    return [word for name, word in kept.items() if name not in STOP]


def at_word(found: Matchmap, word: Word) -> np.ndarray:
    """Return the best similarity (H, W) of each position with a frame of a word, 0-1: 1 is the caption's best."""
    first = int(word[0] / found.seconds)
    last = max(first + 1, int(np.ceil(word[1] / found.seconds)))
    return found.values[..., first:last].max(axis=-1).clip(0) / max(float(found.values.max()), 1e-6)


def overlaid(path: Path, heat: np.ndarray) -> np.ndarray:
    """Return an image (256, 256, 3) uint8, bright where the heat (H, W), 0-1, is high."""
    image = np.array(Image.open(path).convert("RGB").resize((RESOLUTION, RESOLUTION)), dtype=np.float32)
    mask = Image.fromarray((255 * heat).astype(np.uint8)).resize((RESOLUTION, RESOLUTION), Image.Resampling.BILINEAR)
    weight = 0.25 + 0.75 * (np.array(mask) / 255.0)[..., None] ** 0.5
    return (image * weight).clip(0, 255).astype(np.uint8)


def _samples() -> np.ndarray:
    generator = load_generator()
    return generator.images(generator.latents(SAMPLES))


def _title(part: Any, text: str) -> None:
    part.suptitle(text, fontsize=10, x=0.01, ha="left")


def _show(axes: Axes, image: np.ndarray, title: str = "") -> None:
    axes.imshow(Image.fromarray(image).resize((RESOLUTION, RESOLUTION), Image.Resampling.BICUBIC))
    axes.axis("off")
    axes.set_title(title, fontsize=9)


def _units(rows: np.ndarray, record: SpokenCaption) -> None:
    """Draw the log-mels, the words and the units of two layers above each other, in time."""
    mel = read_log_mel(record.audio_path).numpy()
    encoder, end = load_encoder("resdavenet_vq_world"), 0.01 * mel.shape[1]
    rows[0].imshow(mel, aspect="auto", origin="lower", extent=(0, end, 0, len(mel)), cmap="gray_r")
    rows[0].set_ylabel("log-mels", rotation=0, ha="right", va="center", fontsize=9)
    _row(rows[1], "words", [(start, stop, word.lower(), 0) for start, stop, word in record.alignment])
    for axes, (layer, name) in zip(rows[2:], LAYERS.items(), strict=True):
        units = encoder.units(record.audio_path, layer=layer)
        _row(axes, name, [(one.start, one.end, str(one.code), one.code) for one in units])
    for axes in rows:
        axes.set_yticks([])
        axes.set_xlim(0, end)
    rows[-1].set_xlabel("seconds", fontsize=9)


def _row(axes: Axes, name: str, spans: list[tuple[float, float, str, int]]) -> None:
    colours = pyplot.get_cmap("tab20")
    for start, stop, text, code in spans:
        axes.axvspan(start, stop, color="white" if name == "words" else colours(code % 20), alpha=0.6, lw=0)
        axes.axvline(start, color="black", lw=0.4)
        if stop - start >= 0.035 * len(text):
            axes.text((start + stop) / 2, 0.5, text, ha="center", va="center", fontsize=8, clip_on=True)
    axes.set_ylim(0, 1)
    axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)


if __name__ == "__main__":
    main()
