"""Reads the GAN-CLEVR layout of surisdi/learning-by-drawing and checks that its files exist.

``name_list_<split>.txt`` holds one id a line; ``audio/<id>.wav``, ``text/<id>.txt`` and ``images/<id>.jpg`` go with it.
A built set (words_by_drawing/build_synth.yaml) has speakers and word times too, in ``alignments.jsonl``.
"""

import json
from pathlib import Path
from typing import Any, Literal

from common.text_files import read_text
from datasets.loading.rows import ManifestError, report_problems
from datasets.spoken_captions.places_manifest import Manifest, located
from datasets.spoken_captions.records import Records, SpokenCaption

Split = Literal["train", "val", "test"]


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
            speaker=details.get(name, {}).get("speaker", ""),
            alignment=details.get(name, {}).get("words"),
            text=read_text(path).strip() if (path := folder / "text" / f"{name}.txt").is_file() else "",
            audio_path=folder / "audio" / f"{name}.{audio_extension}",
            image_path=folder / "images" / f"{name}.{image_extension}" if images else None,
        )
        for name in read_text(names).split()
    )
    records, missing = located(records, names)
    report_problems(names, (f"row {row}{problem}" for row, problem in missing) if records else ["lists no ids"])
    return Manifest(names, records)


def _alignments(path: Path) -> dict[str, dict[str, Any]]:
    """Read speaker and words by id; none where there is no such file, as in the published sets."""
    if not path.is_file():
        return {}
    try:
        rows = [json.loads(line) for line in read_text(path).split("\n") if line.strip()]
        return {row["id"]: row for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(
            f"{path}: is damaged ({error!r}); delete it (it is optional) or build the set again"
        ) from error
