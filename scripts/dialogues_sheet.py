"""Draw the sheet of dialogues in docs/results/lattegan_world.md.

    python -m scripts.dialogues_sheet --generated runs/lattegan/evaluate_world/images_test

The first scenes of a folder of generated dialogues in the published layout, true images above generated ones: none was
chosen.
"""

import argparse
import io
import textwrap
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from common.files import write_whole
from datasets.dialogue.generated_folder import GeneratedScene, read_scenes

CELL, LETTERS, LINES, GAP, COLUMNS = 128, 12, 3, 4, 2  # pixels, pixels, of an instruction, pixels, dialogues in a row
PAPER, INK = (255, 255, 255), (20, 20, 20)


def instructions(folder: Path, scene: GeneratedScene) -> list[str]:
    """Return what was said at the turns of a scene."""
    lines = (folder / f"{scene.scene_id}.txt").read_text(encoding="utf-8").splitlines()
    return [lines[turn].partition(": ")[2] for turn in scene.turns]


def sheet(scenes: Sequence[GeneratedScene], texts: Sequence[Sequence[str]]) -> Image.Image:
    """Return dialogues, two in a row: instructions, true images, generated ones; a column is a turn."""
    turns = max(len(scene.images) for scene in scenes)
    wide, high = turns * (CELL + GAP) + 4 * GAP, LINES * (LETTERS + 4) + 2 * (CELL + GAP) + 3 * GAP
    page = Image.new("RGB", (COLUMNS * wide - 5 * GAP, -(-len(scenes) // COLUMNS) * high - 4 * GAP), PAPER)
    drawing, font = ImageDraw.Draw(page), ImageFont.load_default(LETTERS)
    for number, (scene, said) in enumerate(zip(scenes, texts, strict=True)):
        for turn, (text, true, made) in enumerate(zip(said, scene.truth, scene.images, strict=True)):
            left, top = (number % COLUMNS) * wide + turn * (CELL + GAP), (number // COLUMNS) * high
            lines = textwrap.wrap(text, int(CELL / (0.5 * LETTERS)))[:LINES]
            drawing.multiline_text((left, top), "\n".join(lines), INK, font, spacing=2)
            top += LINES * (LETTERS + 4)
            for image in (true, made):
                page.paste(Image.fromarray(image).resize((CELL, CELL), Image.Resampling.BICUBIC), (left, top))
                top += CELL + GAP
    return page


def main() -> None:
    """Read the command line, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generated", type=Path, default=Path("runs/lattegan/evaluate_world/images_test"))
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--output", type=Path, default=Path("docs/results/lattegan_world.png"))
    read = parser.parse_args()
    content = io.BytesIO()
    scenes = list(islice(read_scenes(read.generated), read.count))
    sheet(scenes, [instructions(read.generated, one) for one in scenes]).save(content, "PNG", optimize=True)
    write_whole(read.output, content.getvalue())


if __name__ == "__main__":
    main()
