"""Reads the published list of spoken captions and checks it before anything is loaded.

Places Audio JSON (wnhsu/ResDAVEnet-VQ): ``image_base_path``, ``audio_base_path`` and ``data``, a list of ``uttid``,
``speaker``, ``asr_text``, ``wav``, ``image`` and perhaps ``text_alignment``; or ``audio_hdf5_path`` and
``image_hdf5_path``; or both. Relative paths are relative to the folder of the file that names them; ``~`` is expanded.
The other published layout, GAN-CLEVR, is read in gan_clevr.py.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from datasets.json_rows import Take, read_json_rows
from datasets.records import Fields, Records, check_alignment
from engine.errors import UserError

PROBLEMS_SHOWN = 10
FIELDS = ("uttid", "speaker", "asr_text", "wav", "image")
Problem = tuple[int, str]  # row, and a sentence about it
_values = itemgetter(*FIELDS)


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
    records, problems = Records(), []

    def take(entries: list[Any]) -> None:
        for entry in entries:
            records.add(_fields(len(records), entry, problems))

    content = _read_json(path, take)
    _check_rows(path, content, len(records), need)
    base = path.parent.absolute()
    records.folders = tuple(str(_resolved(content.get(f"{k}_base_path", ""), base)) for k in ("audio", "image"))
    if need == "files":
        problems += missing_files(records)
    pair = [_resolved(content[key], base) if key in content else None for key in ("audio_hdf5_path", "image_hdf5_path")]
    if need == "hdf5" and None in pair:
        told = "names no HDF5 pair (audio_hdf5_path, image_hdf5_path); run preprocess/hdf5.yaml to make one"
        problems.append((len(records), told))
    report_problems(path, [problem for _, problem in sorted(problems, key=itemgetter(0))])
    return Manifest(path, records, *pair)


def missing_files(records: Records) -> Iterator[Problem]:
    """Looks for the files of captions; lists each folder once, which is quick for millions of files.

    Args:
        records: The captions.

    Yields:
        Row and one sentence for each file that is not there.
    """
    listed: tuple[dict[str, set[str]], ...] = {}, {}
    for row, (uttid, _, _, _, sound, picture) in enumerate(records.all_fields()):
        for place, name in ((0, sound), (1, picture)):
            if name is None:
                continue
            cut = name.rfind("/") + 1
            folder, file = name[:cut], name[cut:]
            names = listed[place].get(folder)
            if names is None:
                names = listed[place][folder] = _files_in(str(Path(records.folders[place], folder)))
            if file not in names:
                path = Path(records.folders[place], name)
                yield row, f"row {row} ({uttid}): {('wav', 'image')[place]} {path} does not exist"


def _files_in(folder: str) -> set[str]:
    """Names of everything in a folder that is no folder itself; empty when there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if not _is_folder(entry)}
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last: a name that no file system has
        return set()
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            return set()
        raise


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return True


def _read_json(path: Path, take: Take) -> dict[str, Any]:
    """The JSON's mapping without its rows, which ``take`` is given."""
    try:
        content = read_json_rows(path, "data", take)
    except FileNotFoundError as error:
        raise ManifestError(
            f"{path}: no such manifest; set manifest to a Places JSON (worlds of this project are made by configs of "
            "world/, such as python run.py -f world/units.yaml for data/world_units)"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: is not JSON ({error}); expected a Places manifest") from error
    if not isinstance(content, dict):
        raise ManifestError(f"{path}: holds a JSON {type(content).__name__}, expected a mapping with 'data'")
    wrong = [k for k in ("audio_base_path", "image_base_path", "audio_hdf5_path", "image_hdf5_path") if k in content]
    report_problems(
        path, [f"{k} is {content[k]!r}, expected a path as text" for k in wrong if not isinstance(content[k], str)]
    )
    return content


def _check_rows(path: Path, content: dict[str, Any], rows: int, need: str) -> None:
    """Refuses a JSON without rows, which only one with an HDF5 pair may lack."""
    data = content.get("data")
    if rows or (data is None and need != "files" and "audio_hdf5_path" in content):
        return
    found = "no 'data'" if data is None else f"'data' = {str(data)[:40]}"
    raise ManifestError(f"{path}: has {found}, expected a list of rows with {', '.join(FIELDS)}")


def _fields(row: int, entry: Any, problems: list[Problem]) -> Fields:
    """What is kept of a row: empty after noting what is wrong with it."""
    try:
        uttid, speaker, text, wav, image = _values(entry)
        alignment = entry.get("text_alignment")
        if alignment is not None:
            check_alignment(alignment)
        # the quick way for a million rows: what is wrong is worked out for those that do not pass
        if type(uttid) is type(speaker) is type(text) is type(wav) is type(image) is str and wav and image:
            return uttid, speaker, text, alignment, wav, image
    except (TypeError, KeyError, ValueError, AttributeError):
        pass
    problems.append((row, _fault(row, entry)))
    return ("", "", "", None, None, None)


def _fault(row: int, entry: Any) -> str:
    """What is wrong with a row that cannot be used."""
    if not isinstance(entry, dict):
        return f"row {row}: is {str(entry)[:40]!r}, expected a mapping with {', '.join(FIELDS)}"
    name = f"row {row} ({entry['uttid']})" if "uttid" in entry else f"row {row}"
    missing = [field for field in FIELDS if field not in entry]
    if missing:
        return f"{name}: lacks {', '.join(missing)}"
    wrong = [field for field in (*FIELDS, "text_alignment") if not isinstance(entry.get(field, ""), str)]
    wrong += [field for field in ("wav", "image") if entry[field] == ""]
    if wrong:
        return f"{name}: {', '.join(f'{f} is {entry[f]!r}' for f in wrong)}, expected text"
    try:
        check_alignment(entry.get("text_alignment", ""))
    except ValueError as error:
        return f"{name}: {error}"
    raise AssertionError(f"{name} was refused without a fault")


def _resolved(path: str, base: Path) -> Path:
    """A path of the JSON, against the JSON's folder."""
    return base / Path(path).expanduser()
