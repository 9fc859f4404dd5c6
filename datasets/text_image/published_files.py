"""The files of AttnGAN's data (taoxugit/AttnGAN ``code/datasets.py``): names, classes, captions, boxes of the birds.

    captions.pickle                  train captions, test captions, words by number, numbers by word
    train|test/filenames.pickle      names of the images, without ending
    train|test/class_info.pickle     their classes; without it each image is a class of its own
    text/<name>.txt                  captions, one a line; read where there is no captions.pickle
    images/<name>.jpg                or, of birds, CUB_200_2011/images/<name>.jpg with images.txt, bounding_boxes.txt

Pickles are read without running code. captions.pickle has no other splits: the captions of one, such as val of the
birds of the embedded world, are read from the texts, and their words numbered as in captions.pickle.
"""

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from common.safe_load import read_plain
from common.text_files import TextError, read_text, without_surrogates
from datasets.file_names import FileNames
from datasets.loading.rows import ManifestError, report_problems
from datasets.text_image.captions import CaptionedSplit, Captions
from datasets.text_image.vocabulary import Vocabulary, words

SPLITS = ("train", "test")
BIRDS = "CUB_200_2011"
EACH = {True: 10, False: 5}  # captions of an image: of birds, of COCO
LARGEST = 2**28  # bytes of captions.pickle; COCO's has about 20 million


def is_published(folder: Path, split: str) -> bool:
    """Return whether a folder holds a split, or its captions, as published."""
    return (folder / split / "filenames.pickle").is_file() or (split in SPLITS and _pickle_of(folder).is_file())


def read_published_split(folder: Path, split: str, captions_per_image: int | None = None) -> CaptionedSplit:
    """Read one split of a ``folder`` as the head of this file describes it.

    An image has ``captions_per_image`` captions; when None 10, or 5 where there are no birds. Raises ManifestError for
    a file that is missing, of another form, or does not fit the others; UserError for a pickle that is unsafe or
    damaged.
    """
    source = folder / split / "filenames.pickle"
    names = _names(source)
    birds = (folder / BIRDS).is_dir()
    each = captions_per_image or EACH[birds]
    captions, vocabulary = _captions(folder, split, each)
    if len(captions) != len(names) * each:
        raise ManifestError(
            f"{folder} has {len(captions)} captions of the {split} split and {len(names)} images; expected "
            f"{each} of each (captions_per_image: 10 of birds, 5 of COCO)"
        )
    empty = np.flatnonzero(captions.lengths() == 0)
    if len(empty):
        raise ManifestError(
            f"{folder}: {len(empty)} captions hold no word, the first is number {empty[0] % each} of "
            f"{names[empty[0] // each]}; give it words, or leave the image out of {source}"
        )
    images = folder / BIRDS / "images" if birds else folder / "images"
    files = FileNames()
    found = [files.find(str(images / f"{name}.jpg")) for name in names]
    missing = (f"{name}: there is no {images / name}.jpg" for name, file in zip(names, found, strict=True) if not file)
    report_problems(source, missing, "put the images there")
    return CaptionedSplit(
        source=source,
        images=images,
        names=[file[len(str(images)) + 1 :].removesuffix(".jpg") for file in found],  # as the disk has them
        captions=captions,
        firsts=np.arange(len(names) + 1, dtype=np.int64) * each,
        classes=_classes(folder / split / "class_info.pickle", len(names)),
        vocabulary=vocabulary,
        ending=".jpg",
        boxes=_boxes(folder / BIRDS, names) if birds else None,
    )


def read_published_vocabulary(folder: Path, captions_per_image: int | None = None) -> Vocabulary:
    """Read the words of ``captions.pickle`` (or of a ``folder`` that is one), or number those of both splits' texts.

    ``captions_per_image`` captions of each text count. Raises as :func:`read_published_split`.
    """
    file = _pickle_of(folder)
    if file.is_file():
        return _vocabulary(_pickled(file), file)
    names = [name for split in SPLITS for name in _names_there(folder, split)]
    if not names:
        raise ManifestError(f"{folder} has neither captions.pickle nor train/filenames.pickle; expected AttnGAN's data")
    files, each = FileNames(), captions_per_image or EACH[(folder / BIRDS).is_dir()]
    return Vocabulary.of(line for name in names for line in _lines(folder, name, files)[:each])


def _pickle_of(folder: Path) -> Path:
    return folder if folder.is_file() else folder / "captions.pickle"


def _names(source: Path) -> list[str]:
    names = read_plain(source)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise ManifestError(f"{source} holds no names; expected a list such as 001.Albatross/Albatross_0001")
    names = [name.replace("\\", "/") for name in names]  # lists that were written on Windows
    outside = [name for name in names if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts]
    if outside:
        raise ManifestError(f"{source} names {outside[0]!r}, which lies outside; expected names below the folder")
    return names


def _names_there(folder: Path, split: str) -> list[str]:
    """Read the names of a split that is there; one may be missing, as in the public code."""
    source = folder / split / "filenames.pickle"
    return _names(source) if source.is_file() else []


def _captions(folder: Path, split: str, each: int) -> tuple[Captions, Vocabulary]:
    file = _pickle_of(folder)
    if not file.is_file():
        vocabulary = read_published_vocabulary(folder, each)
        return _from_texts(folder, split, each, vocabulary), vocabulary
    content = _pickled(file)
    vocabulary = _vocabulary(content, file)
    if split not in SPLITS:
        return _from_texts(folder, split, each, vocabulary), vocabulary
    captions = Captions(content[SPLITS.index(split)])
    lowest, highest = captions.extremes() or (1, 1)
    if not 1 <= lowest <= highest < len(vocabulary):
        raise ManifestError(f"{file} has word numbers from {lowest} to {highest}, expected 1 to {len(vocabulary) - 1}")
    return captions, vocabulary


def _from_texts(folder: Path, split: str, each: int, vocabulary: Vocabulary) -> Captions:
    """Encode the first captions of each image that hold words; unknown words are dropped."""
    rows, short, files = [], [], FileNames()
    for name in _names_there(folder, split):
        lines = _lines(folder, name, files)[:each]
        if len(lines) < each:
            short.append(f"{name}: {len(lines)} captions with words in {folder / 'text' / name}.txt")
        rows += [vocabulary.numbers(words(line)) for line in lines]
    report_problems(folder, short, f"expected {each}, see captions_per_image")
    return Captions(rows)


def _lines(folder: Path, name: str, files: FileNames) -> list[str]:
    """Read the lines of an image's captions that hold a word."""
    file = folder / "text" / f"{name}.txt"
    try:
        text = read_text(Path(files.find(str(file)) or file))
    except OSError as error:
        raise ManifestError(f"{file} cannot be read ({error}); expected captions, one a line, in UTF-8") from error
    except TextError as error:
        raise ManifestError(f"{error} (expected captions, one a line)") from error
    return [line for line in text.split("\n") if words(line)]


def _pickled(file: Path) -> list[Any]:
    content = read_plain(file, LARGEST)
    fits = isinstance(content, list) and [type(part) for part in content] == [list, list, dict, dict]
    if not fits or not all(_is_caption(row) for part in content[:2] for row in part):
        raise ManifestError(
            f"{file} is of another form; expected train captions, test captions (lists of word numbers), words by "
            "number and numbers by word"
        )
    return content


def _is_caption(row: Any) -> bool:
    return isinstance(row, list) and all(type(number) is int and 0 <= number < 2**31 for number in row)


def _vocabulary(content: list[Any], file: Path) -> Vocabulary:
    by_number = content[2]
    numbered = sorted(number for number in by_number if type(number) is int)
    if numbered != list(range(len(by_number))) or len(numbered) < 2:
        raise ManifestError(f"{file}: {len(by_number)} words are not numbered 0 (the padding), 1, 2 ... without gaps")
    return Vocabulary([without_surrogates(str(by_number[number])) for number in numbered[1:]])


def _classes(file: Path, count: int) -> np.ndarray:
    if not file.is_file():
        return np.arange(count)
    classes = read_plain(file)
    if (
        not isinstance(classes, list)
        or len(classes) != count
        or not all(type(one) is int and abs(one) < 2**63 for one in classes)
    ):
        raise ManifestError(f"{file} does not hold the class of each of {count} images; expected a list of integers")
    return np.array(classes, dtype=np.int64)


def _boxes(folder: Path, names: list[str]) -> np.ndarray:
    """Read the boxes (n, 4) of the images; the lists have a line for each image of all splits."""
    file = folder / "bounding_boxes.txt"
    numbers = {name.removesuffix(".jpg"): number for number, name in _table(folder / "images.txt", 2)}
    boxes = {number: box for number, *box in _table(file, 5)}
    report_problems(file, (f"{name}: no box" for name in names if numbers.get(name) not in boxes), "add their lines")
    try:
        return np.array([[float(value) for value in boxes[numbers[name]]] for name in names]).astype(np.int64)
    except ValueError as error:
        raise ManifestError(f"{file}: {error}; expected numbers: id left top width height") from error


def _table(file: Path, columns: int) -> list[list[str]]:
    try:
        rows = [line.split() for line in read_text(file).splitlines() if line.strip()]
    except (OSError, TextError) as error:
        raise ManifestError(f"{file} cannot be read ({error}); it belongs to CUB-200-2011") from error
    wrong = next((number for number, row in enumerate(rows, start=1) if len(row) != columns), None)
    if wrong is not None:
        raise ManifestError(f"{file}: line {wrong} has {len(rows[wrong - 1])} columns, expected {columns}")
    return rows
