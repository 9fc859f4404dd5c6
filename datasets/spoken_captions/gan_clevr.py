"""Reads the GAN-CLEVR layout of surisdi/learning-by-drawing and checks that its files exist.

``name_list_<split>.txt`` holds one id a line; ``audio/<id>.wav``, ``text/<id>.txt`` and ``images/<id>.jpg`` go with it.
A built set (words_by_drawing/build_synth.yaml) has speakers and word times too, in ``alignments.jsonl``.
"""

from pathlib import Path
from typing import Literal, NamedTuple

from common.text_files import read_text
from datasets.loading.rows import ManifestError, report_problems
from datasets.spoken_captions.json_rows import read_json_lines, shown
from datasets.spoken_captions.places_manifest import Manifest, located
from datasets.spoken_captions.records import Records, SpokenCaption, Word, check_words

Split = Literal["train", "val", "test"]


class _Details(NamedTuple):
    """What ``alignments.jsonl`` knows of an id."""

    speaker: str = ""
    words: list[Word] | None = None


def read_gan_clevr(
    folder: Path, split: Split, images: bool, audio_extension: str = "wav", image_extension: str = "jpg"
) -> Manifest:
    """Read one split; texts are "" where ``text/<id>.txt`` is missing, extensions are without dot.

    With ``images`` the images must exist; systems that make them with a GAN need none. Raises ManifestError for no
    list, an empty list or missing files (the first ten problems and the count), TextError for an unknown encoding.
    """
    names = folder / f"name_list_{split}.txt"
    if not names.is_file():
        raise ManifestError(f"{names}: no such file, expected a GAN-CLEVR folder with a list of ids; set the folder")
    details = _alignments(folder / "alignments.jsonl")
    records = Records(
        SpokenCaption(
            uttid=name,
            speaker=details.get(name, _Details()).speaker,
            alignment=details.get(name, _Details()).words,
            text=read_text(path).strip() if (path := folder / "text" / f"{name}.txt").is_file() else "",
            audio_path=folder / "audio" / f"{name}.{audio_extension}",
            image_path=folder / "images" / f"{name}.{image_extension}" if images else None,
        )
        for name in read_text(names).split()
    )
    records, missing = located(records, names)
    report_problems(names, (f"row {row}{problem}" for row, problem in missing) if records else ["lists no ids"])
    return Manifest(names, records)


def _alignments(path: Path) -> dict[str, _Details]:
    """Read speaker and words by id; none where there is no such file, as in the published sets."""
    found: dict[str, _Details] = {}
    if not path.is_file():
        return found
    remedy = "delete the file (it is optional) or build the set again"
    for name, row in read_json_lines(path, remedy):
        for key in ("id", "speaker"):
            if not isinstance(row.get(key, ""), str) or row.get("id") is None:
                raise ManifestError(f"{name}: {key} is {shown(row.get(key))}, expected text; {remedy}")
        words = row.get("words")
        words = None if words is None else check_words(words, f"{name}: words", remedy)
        found[row["id"]] = _Details(row.get("speaker", ""), words)
    return found
