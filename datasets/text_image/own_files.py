"""Own images with captions, without pickles: a list for each split, or images with a text beside each.

    <split>.json       [{"image": "relative/path.png", "captions": ["...", ...], "class": "name"}, ...]
    <split>/**/x.jpg   with x.txt beside it: the captions of x.jpg, one a line; the sub-folder is the class
    vocabulary.json    the words by number, made of the training captions where it is not there

Paths of a list are relative to its folder and stay below it. Images have as many captions as they have. "class" is a
name or a number; an image without one is a class of its own. Words that the vocabulary lacks are dropped.
"""

import contextlib
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from common.text_files import TextError, keys_once, read_text, without_surrogates
from datasets.file_names import DRIVE, FileNames, missing, shown_path
from datasets.loading.rows import ManifestError, NoRowsError, report_problems
from datasets.text_image.captions import CaptionedSplit, Captions, Texts, firsts_of
from datasets.text_image.vocabulary import Vocabulary, VocabularyError, kept_vocabulary, words

log = logging.getLogger(__name__)

TRAINING = "train"  # the split whose words are numbered
VOCABULARY = "vocabulary.json"
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
LARGEST = 2**30  # bytes of a list; one of a million captions has about 100 million
LONGEST = 10_000  # characters of a caption
MOST_CLASS = 2**62  # of class numbers; those of names are above
SHOWN = 60  # characters of a value in a message
MOST_NAMED = 25  # splits in a message
TEXT = ".txt"
FORM = "a list of mappings with image, captions and perhaps class"


class OwnImages(NamedTuple):
    """The images of a split with their captions as written."""

    source: Path  # the list or the folder
    images: Path  # folder that the names are relative to
    names: list[str]
    texts: list[list[str]]
    classes: list[str | int | None]


def is_plain(split: str) -> bool:
    """Return whether a split's name can stand for a file and a folder: letters, digits, ``_``, ``-`` and ``.``."""
    return PLAIN_NAME.fullmatch(split) is not None


def splits_there(folder: Path) -> list[str]:
    """Return the names of the lists of a folder, or of its folders where there is no list: what may be its splits."""
    lists = [path.stem for path in sorted(folder.glob("*.json")) if path.name != VOCABULARY and _begins_list(path)]
    names = lists or [path.name for path in sorted(folder.glob("*")) if path.is_dir()]
    return [name for name in names if is_plain(name)][:MOST_NAMED]


def _begins_list(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    return False


def read_own_split(folder: Path, split: str, captions_per_image: int | None = None) -> CaptionedSplit:
    """Read one split of a ``folder``; the first ``captions_per_image`` of each image count, all when None.

    Raises ManifestError for a list, texts or images that cannot be used; VocabularyError where the vocabulary is none
    or lacks words of the training captions.
    """
    found = _read(folder, split)
    vocabulary = kept_vocabulary(folder / VOCABULARY, lambda: _training_words(folder, split, found))
    kept = [texts[:captions_per_image] for texts in found.texts]
    rows = _encoded(found, kept, vocabulary, folder / VOCABULARY, split == TRAINING)
    classes = [_class_number(one, row) for row, one in enumerate(found.classes)]
    return CaptionedSplit(
        source=found.source,
        images=found.images,
        names=found.names,
        captions=Captions(rows),
        firsts=firsts_of(kept),
        classes=np.array(classes, np.int64),
        vocabulary=vocabulary,
        class_names=[str(name if one is None else one) for one, name in zip(found.classes, found.names, strict=True)],
        texts=Texts(without_surrogates(text) for texts in kept for text in texts),
    )


def _read(folder: Path, split: str) -> OwnImages:
    listed = folder / f"{split}.json"
    return read_list(listed) if listed.is_file() else read_folder(folder / split)


def _training_words(folder: Path, split: str, found: OwnImages) -> Vocabulary:
    """Number the words of the training captions; ``found`` is the split that is read already."""
    if split != TRAINING:
        if not (folder / f"{TRAINING}.json").is_file() and not (folder / TRAINING).is_dir():
            raise ManifestError(
                f"{folder} has neither {VOCABULARY} nor a split {TRAINING} whose words it could be made of; call the "
                f"training split {TRAINING} ({TRAINING}.json, or the folder {TRAINING}/), or copy its {VOCABULARY}"
            )
        found = _read(folder, TRAINING)
    return Vocabulary.of(text for texts in found.texts for text in texts)


def _encoded(
    found: OwnImages, kept: list[list[str]], vocabulary: Vocabulary, file: Path, training: bool
) -> list[list[int]]:
    """Return the word numbers of each caption; words that training lacks are dropped, counted and said once."""
    rows: list[list[int]] = []
    unknown: Counter[str] = Counter()
    known, problems = 0, []
    for name, texts in zip(found.names, kept, strict=True):
        for number, text in enumerate(texts):
            split = words(text)
            row = vocabulary.numbers(split)
            if len(row) < len(split):
                unknown.update(word for word in split if word not in vocabulary)
            if not row:
                problems.append(f"{name}: no word of caption {number}, {_shown(text)}, is in {file.name}")
            known += len(row)
            rows.append(row)
    if unknown and training:
        raise VocabularyError(
            f"{file} has {len(vocabulary) - 1} words, and the training captions of {found.source} have "
            f"{len(unknown)} more, such as {_some(unknown)}: it was made of other captions; delete it to number the "
            "words anew (networks that were trained with it do not fit then), or put its captions back"
        )
    report_problems(found.source, problems, "describe the images in words of the training captions")
    if unknown:
        log.warning(
            "%s: %d of %d words are left out, %d different ones that the training captions lack, such as %s",
            found.source, unknown.total(), known + unknown.total(), len(unknown), _some(unknown),
        )  # fmt: skip
    return rows


def _some(unknown: Counter[str]) -> str:
    return ", ".join(word for word, _ in unknown.most_common(3))


def _class_number(one: str | int | None, row: int) -> int:
    """Return the number of a class: its own, or for a name one that every split gives it; negative without a class."""
    if one is None:
        return -1 - row
    if isinstance(one, int):
        return one
    return MOST_CLASS + int.from_bytes(blake2b(one.encode(errors="surrogatepass"), digest_size=8).digest()) % MOST_CLASS


def read_list(path: Path) -> OwnImages:
    """Read and check ``<split>.json``."""
    rows = _json(path)
    if not isinstance(rows, list):
        raise ManifestError(f"{path} holds {_shown(rows)}, expected {FORM}")
    if not rows:
        raise NoRowsError(f"{path} lists no image; expected {FORM}")
    problems = [f"row {number} {fault}" for number, row in enumerate(rows) for fault in _faults(row)]
    report_problems(path, problems, "correct the list; rows are counted from 0")
    files, names, absent = FileNames(), [], []
    for number, row in enumerate(rows):
        at = str(path.parent / row["image"])
        file = files.find(at)
        if file is None:
            absent.append(f"row {number}: {missing(at, row['image'])}")
        else:
            names.append(Path(file).relative_to(path.parent).as_posix())
    report_problems(path, absent, "correct the list, or put the images where it says")
    classes = [None if row.get("class") == "" else row.get("class") for row in rows]
    return OwnImages(path, path.parent, names, [row["captions"] for row in rows], classes)


def _json(path: Path) -> Any:
    size = path.stat().st_size
    if size > LARGEST:
        raise ManifestError(f"{path} has {size} bytes, expected at most {LARGEST}; make two splits of it")
    try:
        return json.loads(read_text(path), object_pairs_hook=keys_once)
    except TextError as error:
        raise ManifestError(str(error)) from error
    except OSError as error:
        raise ManifestError(f"{path} cannot be read ({error.strerror or error}); give one that can") from error
    except RecursionError as error:
        raise ManifestError(f"{path} holds lists nested too deeply to be read, expected {FORM}") from error
    except ValueError as error:
        raise ManifestError(f"{path} is not JSON ({error}); expected {FORM}") from error


def _faults(row: Any) -> Iterator[str]:
    """Yield what is wrong with a row, as it follows the row's name."""
    if not isinstance(row, dict):
        yield f"is {_shown(row)}, expected a mapping with image and captions"
        return
    absent = [key for key in ("image", "captions") if key not in row]
    if absent:
        yield f"has no {' and no '.join(absent)}, only {', '.join(map(str, row)) or 'nothing'}"
        return
    image = row["image"]
    if not isinstance(image, str) or not image or "\0" in image:
        yield f"has image = {_shown(image)}, expected a path relative to the list"
    elif _is_outside(image):
        yield f"has image = {_shown(image)}, which lies outside; expected a path below the folder of the list"
    yield from _caption_faults(row["captions"])
    one = row.get("class")
    whole = isinstance(one, int) and not isinstance(one, bool)
    if not (one is None or isinstance(one, str) or (whole and 0 <= one < MOST_CLASS)):
        yield f"has class = {_shown(one)}, expected a name, a number from 0, or none"


def _is_outside(image: str) -> bool:
    path = PurePosixPath(image.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or DRIVE.match(image) is not None


def _caption_faults(captions: Any) -> Iterator[str]:
    if not isinstance(captions, list) or not captions or not all(isinstance(text, str) for text in captions):
        yield f"has captions = {_shown(captions)}, expected a list of one text or more"
        return
    for number, text in enumerate(captions):
        if len(text) > LONGEST:
            yield f"has a caption {number} of {len(text)} characters, expected at most {LONGEST}"
        elif not words(text):
            yield f"has a caption {number}, {_shown(text)}, without a word of the letters a to z"


def read_folder(folder: Path) -> OwnImages:
    """Read and check a folder of images with a text beside each."""
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    names, texts, classes, problems, lonely = [], [], [], [], []
    for inside, files in _folders(folder):
        beside = {Path(name).stem: name for name in files if Path(name).suffix.lower() == TEXT}
        images = [name for name in files if Path(name).suffix.lower() in endings]
        stems = Counter(Path(name).stem for name in images)
        lonely += [str(Path(inside, name)) for stem, name in beside.items() if stem not in stems]
        for name in images:
            shown, text = shown_path(str(Path(inside, name))), beside.get(Path(name).stem)
            if text is None:
                problems.append(f"{shown}: there is no {Path(name).stem}{TEXT} with its captions beside it")
            elif stems[Path(name).stem] > 1:
                problems.append(f"{shown}: {text} stands beside {stems[Path(name).stem]} images of that name")
            else:
                lines, faults = _lines(folder / inside / text)
                problems += faults
                names.append((PurePosixPath(inside) / name).as_posix())
                texts.append(lines)
                classes.append(inside if inside != "." else None)
    report_problems(folder, problems, "expected images, and beside each a text with its captions, one a line")
    if not names:
        raise NoRowsError(f"{folder} holds no image with a text beside it; expected such as x.jpg and x{TEXT}")
    if lonely:
        log.warning(
            "%s: %s files without an image beside them are not read, %d such as %s; images end in .jpg, .png ...",
            folder, TEXT, len(lonely), shown_path(lonely[0]),
        )  # fmt: skip
    return OwnImages(folder, folder, names, texts, classes)


def _folders(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder below a folder, relative to it, with the names of its files; links are followed once."""
    seen = set()
    for inside, below, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(inside)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield os.path.relpath(inside, folder), sorted(name for name in files if not name.startswith("."))


def _lines(file: Path) -> tuple[list[str], list[str]]:
    """Return the captions of a text, and what is wrong with them."""
    shown = shown_path(str(file))
    try:
        if file.stat().st_size > LARGEST:
            return [], [f"{shown} has {file.stat().st_size} bytes, expected captions, one a line"]
        lines = [line for line in read_text(file).split("\n") if line.strip()]
    except OSError as error:
        return [], [f"{shown} cannot be read ({error.strerror or error})"]
    except TextError as error:
        return [], [str(error)]
    return lines, [f"{shown} {fault}" for fault in _caption_faults(lines)] if lines else [f"{shown} holds no caption"]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
