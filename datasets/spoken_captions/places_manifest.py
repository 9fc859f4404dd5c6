"""Reads the published list of spoken captions and checks it before anything is loaded.

Places Audio JSON (wnhsu/ResDAVEnet-VQ): ``image_base_path``, ``audio_base_path`` and ``data``, a list of ``uttid``,
``speaker``, ``asr_text``, ``wav``, ``image`` and perhaps ``text_alignment``; or ``audio_hdf5_path`` and
``image_hdf5_path``; or both. Only ``wav`` and ``image`` must be there, as for the public code: ``text`` stands for
``asr_text``, and an utterance without ``uttid`` is called as its sound file. SpokenCOCO's rows hold an ``image`` and a
list of ``captions``: ``uttid``, ``speaker``, ``text``, ``wav``. ``~`` is expanded; relative paths, which the public
scripts write as of the folder they ran in, are looked for in the folder of the file that names them, in the folders
above it, and in the working folder. Files are found, too, where a list has backslashes or another form of Unicode than
the disk (file_names.py). The other published layout, GAN-CLEVR, is read in gan_clevr.py.
"""

import logging
from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np

from common.files import LargeFileError
from common.text_files import TextError, packed_as, read_text
from datasets.file_names import DRIVE, FileNames, missing, shown_path
from datasets.loading.rows import ManifestError, NoRowsError, report_problems
from datasets.spoken_captions.json_rows import NumberError, Take, read_json_rows, shown
from datasets.spoken_captions.records import Fields, Records, check_alignment

log = logging.getLogger(__name__)

SHOWN = 3  # items of a list that a warning names
QUOTES = "'\""
FIELDS = ("uttid", "speaker", "asr_text", "wav", "image")
NEEDED = ("wav", "image")
KINDS = ("audio", "image")
CAPTION = "a mapping with wav, uttid, speaker, text"
TYPES = {
    list: "a JSON list",
    str: "a JSON text",
    bool: "a JSON truth value",
    int: "a JSON number",
    float: "a JSON number",
}
Problem = tuple[int, str]  # record, and what is wrong with it, as it follows the name of its row
_values = itemgetter(*FIELDS)


@dataclass(frozen=True)
class Manifest:
    """A list of spoken captions as read."""

    path: Path
    records: Records  # one a row; empty when the file names only an HDF5 pair
    audio_hdf5: Path | None = None  # features, None when the file does not name them
    image_hdf5: Path | None = None  # images, likewise


class _Rows:
    """The rows of the file that records belong to: SpokenCOCO's hold several, each a caption of one image."""

    def __init__(self) -> None:
        self._firsts, self._several = array("q"), bytearray()

    def begin(self, first: int, several: bool) -> None:
        """Go on to the next row of the file, whose first record is ``first``; it may hold several captions."""
        self._firsts.append(first)
        self._several.append(several)

    def name(self, record: int) -> str:
        """Name the row, and where rows hold several, the caption; both are counted from 0."""
        row = bisect_right(self._firsts, record) - 1
        return f"row {row}, caption {record - self._firsts[row]}" if self._several[row] else f"row {row}"


def read_places(path: Path, need: Literal["files", "hdf5", "any"] = "any") -> Manifest:
    """Read a Places JSON and check it; paths become absolute.

    With ``need`` "files" every row's sound and image must exist, with "hdf5" the pair must be named. Raises
    ManifestError for no such file, no JSON, missing fields, wrong types, bad alignments or missing files: the first ten
    problems and the count. Rows, and of SpokenCOCO the captions of each, are counted from 0.
    """
    records, problems, skipped, rows, hashes = Records(), [], [], _Rows(), array("q")

    def take(entries: list[Any]) -> None:
        for entry in entries:
            several = type(entry) is dict and _holds_captions(entry)
            rows.begin(len(records), several)
            for row in rows_of(entry) if several else (entry,):
                fields = _fields(len(records), row, problems, skipped)
                records.add(fields)
                hashes.append(hash(fields[0]))

    content = _read_json(path, take)
    _check_rows(path, content, len(records), need)
    _say_skipped(path, skipped, rows.name)
    if len(records):
        firsts = zip(KINDS, records.fields(0)[-2:], strict=True)
        records.folders = tuple(str(base_folder(path, content, kind, first or "")) for kind, first in firsts)
    if need == "files":
        _check_drives(path, content, records)
        records, missed = located(records, path)
        problems += missed
    pair = [_of_pair(path, content, f"{kind}_hdf5_path", need) for kind in KINDS]
    messages = [rows.name(row) + problem for row, problem in sorted(problems, key=itemgetter(0))]
    if need == "hdf5" and None in pair:
        messages.append("names no HDF5 pair (audio_hdf5_path, image_hdf5_path); run preprocess/hdf5.yaml to make one")
    report_problems(path, messages)
    _say_repeated(path, records, hashes, rows.name)
    return Manifest(path, records, *pair)


def _bases_of(manifest: Path) -> list[Path]:
    """Return the folders that relative paths of ``manifest`` may start at, the one to prefer first."""
    folder = manifest.parent.absolute()
    return list(dict.fromkeys([folder, *folder.parents, Path.cwd()]))


def _find_path(named: Path, manifest: Path, inside: str = "") -> tuple[Path, bool]:
    """Return the absolute path that a list's path leads to, and whether anything is there.

    ``inside`` is a file below the path by which the right folder is known. If nothing is there, the path starts at the
    list's own folder.
    """
    for base in [None] if named.is_absolute() else _bases_of(manifest):
        found = named if base is None else base / named
        try:
            there = (found / inside).exists()
        except (OSError, ValueError):  # a name that no file system has
            there = False
        if there:
            if base not in (None, manifest.parent.absolute()):
                log.info("%s: paths as %s are relative to %s", manifest, named / inside, base)
            return found, True
    return manifest.parent.absolute() / named, False


def base_folder(path: Path, content: dict[str, Any], kind: str, first: str) -> Path:
    """Find the folder that names of ``kind`` ("audio" or "image") are relative to, by the file named ``first``."""
    named = content.get(f"{kind}_base_path", "")
    found, there = _find_path(_expanded(named), path, first)
    return found if there or not named else _find_path(_expanded(named), path)[0]


def _of_pair(path: Path, content: dict[str, Any], key: str, need: str) -> Path | None:
    """Find one of the files of the HDF5 pair, None where it is not named."""
    if key not in content:
        return None
    named = _expanded(content[key])
    found, there = _find_path(named, path)
    if there or need != "hdf5":
        return found
    if DRIVE.match(content[key]):
        raise ManifestError(_on_a_drive(path, key, content[key]))
    bases = _bases_of(path)
    above = "; its folder and those above it were looked into"
    working = f", and the working folder {bases[-1]}" if bases[-1] not in bases[0].parents else ""
    raise ManifestError(
        f"{shown_path(str(found))}: there is no such file; {path} names it"
        f"{'' if named.is_absolute() else above + working}"
    )


def _check_drives(path: Path, content: dict[str, Any], records: Records) -> None:
    """Refuse a base folder on a drive of Windows that the names of files are relative to."""
    for slot, kind in enumerate(KINDS):
        key = f"{kind}_base_path"
        if not DRIVE.match(content.get(key, "")) or Path(records.folders[slot]).is_dir():
            continue
        names = (fields[-2:][slot] for fields in records.all_fields())
        if any(name and not name.startswith("/") for name in names):
            raise ManifestError(_on_a_drive(path, key, content[key]))


def _on_a_drive(path: Path, key: str, named: str) -> str:
    return (
        f"{path}: {key} is {shown_path(named)}, a path of a Windows machine, whose drives are not here; correct it to "
        "where the files are on this machine (absolute, or relative to the manifest)"
    )


def _say_skipped(path: Path, skipped: list[tuple[int, str]], name: Callable[[int], str]) -> None:
    """Log the tokens of alignments that are left out."""
    if skipped:
        row, token = skipped[0]
        log.warning(
            "%s: text_alignment of %d rows holds tokens other than start__WORD__end, which are left out as in the "
            "public code; the first: %s in %s", path, len(skipped), shown(token), name(row),
        )  # fmt: skip


def _say_repeated(path: Path, records: Records, hashes: array, name: Callable[[int], str]) -> None:
    """Log the uttids that several captions share, given the ``hashes`` of all uttids.

    It is no error: the public code never reads them, so that published lists may repeat them, and training and
    retrieval go by rows. What names a caption by its uttid alone refuses them (:func:`rows_by_uttid`).
    """
    ordered = np.sort(np.frombuffer(hashes, np.int64))
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    shared: dict[str, list[int]] = defaultdict(list)
    for row in np.flatnonzero(np.isin(hashes, repeated)).tolist() if len(repeated) else ():
        shared[records.fields(row)[0]].append(row)
    shared = {uttid: found for uttid, found in shared.items() if uttid and len(found) > 1}
    if not shared:
        return
    first = [f"{shown(uttid)} ({_some(map(name, found))})" for uttid, found in shared.items()]
    log.warning(
        "%s: uttids that stand for several captions (%d): %s; they are used as they are, but tables that name captions "
        "(queries.csv) cannot tell them apart: give each its own uttid", path, len(shared), _some(first),
    )  # fmt: skip


def _some(items: Iterable[str]) -> str:
    """Name the first three of several."""
    named = list(items)
    more = len(named) - SHOWN
    return " and ".join([*named[:SHOWN], f"{more} more"] if more > 0 else named)


def located(records: Records, source: Path) -> tuple[Records, list[Problem]]:
    """Return the captions with their files as the disk names them, and a problem for each file that is not there.

    It is the row and the sentence that follows the row's name, such as " (utt3): wav /data/3.wav does not exist". Each
    folder is listed once, which is quick for millions of files.
    """
    files, problems = FileNames(), []
    listed: tuple[dict[str, frozenset[str]], ...] = {}, {}
    renamed = False
    for row, (uttid, _, _, _, *named) in enumerate(records.all_fields()):
        for slot, name in enumerate(named):
            if name is None:
                continue
            cut = name.rfind("/") + 1
            names = listed[slot].get(name[:cut])
            if names is None:
                names = listed[slot][name[:cut]] = files.files(str(Path(records.folders[slot], name[:cut])))
            if name[cut:] in names:
                continue
            path = Path(records.folders[slot], name)
            if files.find(str(path)):
                renamed = True
            else:
                problems.append((row, f" ({shown_path(uttid)}): {NEEDED[slot]} {missing(str(path), name)}"))
    if files.backslashes:
        log.warning("%s: %d files are named with backslashes, which are read as slashes", source, files.backslashes)
    return (_as_on_disk(records, files) if renamed else records), problems


def _as_on_disk(records: Records, files: FileNames) -> Records:
    """Return the captions with the names of their files as the disk has them."""
    found = Records()
    for *known, sound, image in records.all_fields():
        paths = (name and str(Path(at, name)) for at, name in zip(records.folders, (sound, image), strict=True))
        found.add((*known, *(path and (files.find(path) or path) for path in paths)))
    return found


def _read_json(path: Path, take: Take) -> dict[str, Any]:
    """Return the JSON's mapping without its rows, which ``take`` is given."""
    try:
        content = read_json_rows(path, "data", take)
    except FileNotFoundError as error:
        raise ManifestError(
            f"{path}: no such manifest; set manifest to a Places JSON (worlds of this project are made by configs of "
            "world/, such as python run.py -f world/units.yaml for data/world_units)"
        ) from error
    except UnicodeDecodeError as error:
        raise ManifestError(_encoding_of(path)) from error
    except LargeFileError as error:
        raise ManifestError(str(error)) from error
    except (NumberError, OSError, ValueError, RecursionError) as error:
        raise ManifestError(f"{shown_path(str(path))}: {_no_manifest(path, error)}") from error
    if not isinstance(content, dict):
        raise ManifestError(f"{path}: holds {TYPES.get(type(content), 'null')}, expected a mapping with 'data'")
    named = [k for k in ("audio_base_path", "image_base_path", "audio_hdf5_path", "image_hdf5_path") if k in content]
    report_problems(
        path,
        [
            f"{k} is {shown(content[k])}, expected a path as text, without NUL characters"
            for k in named
            if not isinstance(content[k], str) or "\0" in content[k]
        ],
    )
    return content


def _no_manifest(path: Path, error: Exception) -> str:
    """Say what is wrong with a file that cannot be read as JSON."""
    if "\0" in str(path):
        return "the name holds a NUL character, which no file's has; correct the setting manifest"
    if isinstance(error, IsADirectoryError):
        return "is a folder, expected a Places JSON; name the file in it"
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror or error}), expected a Places JSON; give one that can"
    if isinstance(error, NumberError):
        return f"{error}; correct it"
    if isinstance(error, RecursionError):
        return "holds lists or mappings nested too deeply to be read, expected a Places manifest; correct it"
    with path.open("rb") as file:
        packed = packed_as(file.read(8))
    if packed:
        return f"is compressed ({packed}), expected a Places manifest as plain JSON; unpack it first"
    return f"is not JSON ({error}); expected a Places manifest"


def _encoding_of(path: Path) -> str:
    """Say what is wrong with the encoding of a file that is in none of those of JSON."""
    try:
        read_text(path)
    except TextError as error:
        return str(error)
    return f"{path} is no text in UTF-8; save it as UTF-8"


def rows_of(entry: Any) -> Iterable[Any]:
    """Yield the rows of an entry of ``data``, unchecked: itself or, as in SpokenCOCO, one for each of its captions."""
    if not isinstance(entry, dict) or not _holds_captions(entry):
        yield entry
        return
    shared = {key: value for key, value in entry.items() if key != "captions"}
    for caption in entry["captions"]:
        if isinstance(caption, dict):
            text = {"asr_text": caption["text"]} if "text" in caption else {}
            yield shared | text | caption
        else:
            yield caption


def _holds_captions(entry: dict[str, Any]) -> bool:
    captions = entry.get("captions")
    return isinstance(captions, list) and len(captions) > 0


def _check_rows(path: Path, content: dict[str, Any], rows: int, need: str) -> None:
    """Refuse a JSON without rows, which only one with an HDF5 pair may lack."""
    data = content.get("data")
    if rows or (data is None and need != "files" and "audio_hdf5_path" in content):
        return
    found = f"'data' = {shown(data)}" if "data" in content else "no 'data'"
    kind = NoRowsError if data == [] else ManifestError
    raise kind(f"{path}: has {found}, expected a list of rows with {', '.join(FIELDS)}")


def _fields(row: int, entry: Any, problems: list[Problem], skipped: list[tuple[int, str]]) -> Fields:
    """Return what is kept of a row: nothing after noting what is wrong with it."""
    try:
        try:
            uttid, speaker, text, wav, image = _values(entry)
        except KeyError:
            uttid, speaker, text, wav, image = _values(_completed(entry))
        alignment = entry.get("text_alignment")
        if alignment is not None and (left_out := check_alignment(alignment)):
            skipped.append((row, left_out))
        # the quick way for a million rows: what is wrong is worked out for those that do not pass
        if type(uttid) is type(speaker) is type(text) is type(wav) is type(image) is str and wav and image:
            return uttid, speaker, text, alignment, wav, image
    except (TypeError, KeyError, ValueError, AttributeError):
        pass
    problems.append((row, _error(entry)))
    return ("", "", "", None, None, None)


def _completed(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the fields that the public code does not read either, so that lists may lack them."""
    sound = entry["wav"]
    name = sound.rsplit("/", 1)[-1].rsplit(".", 1)[0] if isinstance(sound, str) else ""
    return {"uttid": name, "speaker": "", "asr_text": entry.get("text", "")} | entry


def _error(entry: Any) -> str:
    """Say what is wrong with a row that cannot be used, as it follows the row's name."""
    if not isinstance(entry, dict):
        return f": is {shown(entry)}, expected a mapping with {', '.join(FIELDS)}"
    name = f" ({shown(entry['uttid']).strip(QUOTES)})" if "uttid" in entry else ""
    if "captions" in entry and "wav" not in entry:
        return f"{name}: captions is {shown(entry['captions'])}, expected a list of at least one, each {CAPTION}"
    lacking = [field for field in NEEDED if field not in entry]
    if lacking:
        return f"{name}: lacks {', '.join(lacking)}"
    entry = _completed(entry)
    wrong = [field for field in FIELDS if not isinstance(entry[field], str)]
    wrong += [] if isinstance(entry.get("text_alignment"), str | None) else ["text_alignment"]
    wrong += [field for field in NEEDED if entry[field] == ""]
    if wrong:
        return f"{name}: {', '.join(f'{f} is {shown(entry[f])}' for f in wrong)}, expected text"
    try:
        check_alignment(entry.get("text_alignment") or "")
    except ValueError as error:
        return f"{name}: {error}"
    raise AssertionError(f"{shown(entry)} was refused without an error")


def _expanded(path: str) -> Path:
    """Return a path of the JSON with the home folder instead of ``~``."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ManifestError(f"the path {shown(path)} begins with the home folder of no user of this machine") from error
