"""Sheets of images that show where a generated image attends to each word of its caption.

taoxugit/AttnGAN ``code/miscc/utils.py``: ``build_super_images`` shows every word on one scale, ``build_super_images2``
the five best words, each on its own. Kept of the latter: weights at or below 2 / L are left out, a word's score is the
sum of its weights above 4 / L, maps are smoothed with 20 pixels at 256 and laid over the image with an opacity of
180 / 255. Mended: a map of one value is black instead of NaN, and words whose scores are equal (captions of four words
or fewer have no score above 0) are ordered by their mean weight.

Shape letters: R height and width of an image, L words, H, W of a map or of a sheet.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

OPACITY = 180 / 255  # of a map over its image
SMOOTHING = 20 / 256  # standard deviation, as a share of the image
SMALLEST_CELL = 128  # pixels; smaller images are enlarged by whole numbers
COLUMNS = 6
GAP = 2  # pixels between cells
LONGEST = 18  # characters of a word
PAPER, INK = (255, 255, 255), (0, 0, 0)


def attention_sheet(image: np.ndarray, maps: np.ndarray, words: Sequence[str], best: int | None = None) -> np.ndarray:
    """Draw an image, then each word's map over it with the word below, as a sheet (H, W, 3) uint8.

    Args:
        image: (R, R, 3) uint8.
        maps: (L, H, W), at least 0: weights of the words; those of padding behind them are left out.
        words: of the caption, L or fewer.
        best: how many of the best words are shown, the best first, each on its own scale; None shows all in their
            order, on one scale.
    """
    cell = len(image) * -(-SMALLEST_CELL // len(image))
    maps = np.asarray(maps, dtype=np.float64)[: len(words)]
    shown = list(range(len(words))) if best is None else best_words(maps, best)
    if best is not None:
        maps = _above(maps, 2 / len(words))
    smooth = {index: _smoothed(maps[index], cell) for index in shown}
    spans = {index: (one.min(), one.max()) for index, one in smooth.items()}
    if best is None and shown:
        low, high = min(low for low, _ in spans.values()), max(high for _, high in spans.values())
        spans = dict.fromkeys(shown, (low, high))
    enlarged = np.asarray(Image.fromarray(image).resize((cell, cell), Image.Resampling.NEAREST))
    cells = [(enlarged, "")]
    cells += [(_overlay(enlarged, smooth[index], *spans[index]), words[index]) for index in shown]
    return _grid(cells, cell)


def best_words(maps: np.ndarray, count: int) -> list[int]:
    """Return the indices of the words with the highest scores, the highest first, given their maps (L, H, W)."""
    flat = np.asarray(maps, dtype=np.float64).reshape(len(maps), -1)
    scores = np.where(flat > 4 / max(len(flat), 1), flat, 0).sum(axis=1)
    return np.lexsort((-flat.mean(axis=1), -scores))[:count].tolist()


def _above(maps: np.ndarray, threshold: float) -> np.ndarray:
    """Leave out weights at or below a threshold; a map that has no others stays as it is."""
    over = maps > threshold
    return np.where(over | ~over.any(axis=(1, 2), keepdims=True), maps, 0)


def _smoothed(one: np.ndarray, size: int) -> np.ndarray:
    """Smooth a map (H, W) and enlarge it to (size, size), which is faster than the other way round and looks alike."""
    from scipy.ndimage import gaussian_filter  # here: its import takes a second, and a config check needs none of it

    smooth = gaussian_filter(one, SMOOTHING * len(one)).astype(np.float32)
    return np.asarray(Image.fromarray(smooth).resize((size, size), Image.Resampling.BILINEAR), dtype=np.float64)


def _overlay(image: np.ndarray, one: np.ndarray, low: float, high: float) -> np.ndarray:
    """Lay a map over an image, black at ``low`` and white at ``high``."""
    light = (one - low) / (high - low) if high > low else np.zeros_like(one)
    return np.rint((1 - OPACITY) * image + OPACITY * 255 * light[..., None]).astype(np.uint8)


def _grid(cells: Sequence[tuple[np.ndarray, str]], size: int) -> np.ndarray:
    """Put images of one ``size`` with their words below into rows."""
    letters = max(12, size // 12)
    columns, step = min(COLUMNS, len(cells)), (size + GAP, size + 2 * letters)
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * step[0] - GAP, rows * step[1]), PAPER)
    drawing, font = ImageDraw.Draw(sheet), ImageFont.load_default(letters)
    for index, (image, word) in enumerate(cells):
        left, top = (index % columns) * step[0], (index // columns) * step[1]
        sheet.paste(Image.fromarray(image), (left, top))
        drawing.text((left + size / 2, top + size + letters), word[:LONGEST], INK, font, anchor="mm")
    return np.asarray(sheet)
