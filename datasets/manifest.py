"""Reads the published list of spoken captions and checks it before anything is loaded.

Places Audio JSON (wnhsu/ResDAVEnet-VQ): ``image_base_path``, ``audio_base_path`` and ``data``, a list of ``uttid``,
``speaker``, ``asr_text``, ``wav``, ``image`` and perhaps ``text_alignment``; or ``audio_hdf5_path`` and
``image_hdf5_path``; or both. Relative paths are relative to the folder of the file that names them; ``~`` is expanded.
The other published layout, GAN-CLEVR, is read in gan_clevr.py.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from datasets.records import Records, SpokenCaption, Word, parse_alignment
from engine.errors import UserError

PROBLEMS_SHOWN = 10
FIELDS = ("uttid", "speaker", "asr_text", "wav", "image")


class ManifestError(UserError):
    """A list of samples that does not fit its format or its files."""


@dataclass(frozen=True)
class Manifest:
    """A list of spoken captions as read.

    Args:
        path: The file.
        records: One per row; empty when the file names only an HDF5 pair.
        audio_hdf5: Features, None when the file does not name them.
        image_hdf5: Pictures, None when the file does not name them.
    """

    path: Path
    records: Records
    audio_hdf5: Path | None = None
    image_hdf5: Path | None = None


def report_problems(
    name: Path, problems: Iterable[str], remedy: str = "correct the file or put the data where it points"
) -> None:
    """Raises one error that shows the first ten problems and counts them all.

    Args:
        name: The file that was checked.
        problems: One sentence each.
        remedy: What to do.

    Raises:
        ManifestError: There is any problem.
    """
    found = list(problems)
    if not found:
        return
    lines = [f"  {problem}" for problem in found[:PROBLEMS_SHOWN]]
    if len(found) > PROBLEMS_SHOWN:
        lines.append(f"  ... and {len(found) - PROBLEMS_SHOWN} more")
    counted = "1 problem" if len(found) == 1 else f"{len(found)} problems"
    raise ManifestError("\n".join([f"{name}: {counted}; {remedy}", *lines]))


def read_places(path: Path, need: Literal["files", "hdf5", "any"] = "any") -> Manifest:
    """Reads a Places JSON and checks it.

    Args:
        path: The JSON.
        need: "files": every row's sound and picture must exist. "hdf5": the pair must be named. "any": neither.

    Returns:
        The manifest, with absolute paths.

    Raises:
        ManifestError: No such file, not JSON, missing fields, wrong types, bad alignments or missing files: the
            first ten problems and the count.
    """
    content = _read_json(path)
    base = path.parent.absolute()
    problems: list[str] = []
    folders = Folders() if need == "files" else None

    def parsed() -> Iterator[SpokenCaption]:
        for row, entry in _rows(path, content, need):
            record = _record(row, entry, content, base, problems)
            if record is not None:
                problems.extend(folders.missing(row, record) if folders else ())
                yield record

    records = Records(parsed())
    pair = [_resolved(content[key], base) if key in content else None for key in ("audio_hdf5_path", "image_hdf5_path")]
    if need == "hdf5" and None in pair:
        problems.append("names no HDF5 pair (audio_hdf5_path, image_hdf5_path); run preprocess/hdf5.yaml to make one")
    report_problems(path, problems)
    return Manifest(path, records, *pair)


class Folders:
    """Tells which files exist; lists each folder once, which is quick for millions of files."""

    def __init__(self) -> None:
        self._listed: dict[str, set[str]] = {}

    def missing(self, row: int, record: SpokenCaption) -> list[str]:
        """Names each file of a row that is not there.

        Args:
            row: Number of the row.
            record: What it names.

        Returns:
            One sentence per missing file.
        """
        named = (("wav", record.audio_path), ("image", record.image_path))
        absent = [(kind, path) for kind, path in named if path is not None and not self._has(path)]
        return [f"row {row} ({record.uttid}): {kind} {path} does not exist" for kind, path in absent]

    def _has(self, path: Path) -> bool:
        folder, name = os.path.split(path)
        if folder not in self._listed:
            self._listed[folder] = _files_in(folder)
        return name in self._listed[folder]


def _files_in(folder: str) -> set[str]:
    """Names of everything in a folder that is no folder itself; empty when there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if not entry.is_dir()}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def _read_json(path: Path) -> dict[str, Any]:
    """The JSON's mapping."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ManifestError(
            f"{path}: no such manifest; set manifest to a Places JSON (worlds of this project are made by configs of "
            "world/, such as python run.py -f world/units.yaml for data/world_units)"
        ) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ManifestError(f"{path}: is not JSON ({error}); expected a Places manifest") from error
    if not isinstance(content, dict):
        raise ManifestError(f"{path}: holds a JSON {type(content).__name__}, expected a mapping with 'data'")
    wrong = [k for k in ("audio_base_path", "image_base_path", "audio_hdf5_path", "image_hdf5_path") if k in content]
    report_problems(
        path, [f"{k} is {content[k]!r}, expected a path as text" for k in wrong if not isinstance(content[k], str)]
    )
    return content


def _rows(path: Path, content: dict[str, Any], need: str) -> Iterable[tuple[int, Any]]:
    """The numbered entries of ``data``, which only a JSON with an HDF5 pair may lack."""
    data = content.get("data")
    if data is None and need != "files" and "audio_hdf5_path" in content:
        return ()
    if not isinstance(data, list) or not data:
        found = "no 'data'" if data is None else f"'data' = {str(data)[:40]}"
        raise ManifestError(f"{path}: has {found}, expected a list of rows with {', '.join(FIELDS)}")
    return enumerate(data)


def _record(row: int, entry: Any, content: dict[str, Any], base: Path, problems: list[str]) -> SpokenCaption | None:
    """One row, or None after noting what is wrong with it."""
    if not isinstance(entry, dict):
        problems.append(f"row {row}: is {str(entry)[:40]!r}, expected a mapping with {', '.join(FIELDS)}")
        return None
    name = f"row {row} ({entry['uttid']})" if "uttid" in entry else f"row {row}"
    missing = [field for field in FIELDS if field not in entry]
    if missing:
        problems.append(f"{name}: lacks {', '.join(missing)}")
        return None
    wrong = [field for field in (*FIELDS, "text_alignment") if not isinstance(entry.get(field, ""), str)]
    wrong += [field for field in ("wav", "image") if entry[field] == ""]
    if wrong:
        problems.append(f"{name}: {', '.join(f'{f} is {entry[f]!r}' for f in wrong)}, expected text")
        return None
    alignment = _guarded(parse_alignment, entry.get("text_alignment"), name, problems)
    audio = _resolved(content.get("audio_base_path", ""), base) / entry["wav"]
    image = _resolved(content.get("image_base_path", ""), base) / entry["image"]
    return SpokenCaption(entry["uttid"], entry["speaker"], entry["asr_text"], alignment, audio, image)


def _guarded(parse: Callable[[str], list[Word]], text: str | None, name: str, problems: list[str]) -> list[Word] | None:
    """The parsed alignment, or None after noting what is wrong with it."""
    try:
        return parse(text) if text is not None else None
    except ValueError as error:
        problems.append(f"{name}: {error}")
        return None


def _resolved(path: str, base: Path) -> Path:
    """A path of the JSON, against the JSON's folder."""
    return base / Path(path).expanduser()
