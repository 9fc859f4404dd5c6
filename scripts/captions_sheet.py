"""Draw the sheet of captions and generated images in docs/results/attngan_world.md.

    python -m scripts.captions_sheet --output docs/results/attngan_world.png

The first captions of the captioned world's test split, and of pairs of colour and shape that no training image shows,
are drawn once each, with the first noise: nothing is chosen.
"""

import argparse
import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from common.files import write_whole
from datasets.text_image.dataset import CaptionedImages
from tasks.attngan.sampling.text_to_image import TextToImage
from tasks.attngan.trained import TextImageSource

CELL, LETTERS, LINES, GAP, COLUMNS = 192, 15, 4, 10, 4  # pixels, pixels, of a caption, pixels, of the sheet
PAPER, INK = (255, 255, 255), (20, 20, 20)


def sheet(images: Sequence[np.ndarray], captions: Sequence[str]) -> Image.Image:
    """Return images (R, R, 3) uint8, enlarged, with their captions below, four in a row."""
    height = CELL + LINES * (LETTERS + 3) + GAP
    rows = -(-len(images) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * (CELL + GAP) - GAP, rows * height), PAPER)
    drawing, font = ImageDraw.Draw(page), ImageFont.load_default(LETTERS)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = (number % COLUMNS) * (CELL + GAP), (number // COLUMNS) * height
        page.paste(Image.fromarray(image).resize((CELL, CELL), Image.Resampling.BICUBIC), (left, top))
        lines = textwrap.wrap(caption, int(CELL / (0.52 * LETTERS)))[:LINES]
        drawing.multiline_text((left, top + CELL + 3), "\n".join(lines), INK, font, spacing=3)
    return page


def captions_of(folder: Path, split: str, count: int) -> list[str]:
    """Return the first captions of the first images of a split."""
    dataset = CaptionedImages(folder, split, train=False, resolutions=[64])
    return [dataset.text(row) for row in range(count)]


def main() -> None:
    """Read the command line, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/shipped/attngan_world.json"))
    parser.add_argument("--data", type=Path, default=Path("data/world_captioned"))
    parser.add_argument("--output", type=Path, default=Path("docs/results/attngan_world.png"))
    read = parser.parse_args()
    captions = captions_of(read.data, "test", 12) + captions_of(read.data, "composition", 4)
    model = TextToImage.of(TextImageSource(run=read.model))
    page = sheet([one.images[-1] for one in model.generate(captions)], captions)
    content = io.BytesIO()
    page.save(content, "PNG", optimize=True)
    write_whole(read.output, content.getvalue())


if __name__ == "__main__":
    main()
