"""Reads a split of images with written captions, in whichever layout its folder holds.

    <split>.json                 a list: own_files.py
    <split>/filenames.pickle     AttnGAN's birds and COCO, also captions.pickle alone: published_files.py
    <split>/                     images with a text beside each: own_files.py

They are looked for in this order.
"""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from datasets.loading.rows import ManifestError
from datasets.text_image.captions import CaptionedSplit
from datasets.text_image.own_files import VOCABULARY, is_plain, read_own_split, splits_there
from datasets.text_image.published_files import is_published, read_published_split, read_published_vocabulary
from datasets.text_image.vocabulary import Vocabulary, read_vocabulary_file


def _plain(name: str) -> str:
    if not is_plain(name):
        raise ValueError("a plain name such as train, of letters, digits, _, - and .")
    return name


SplitName = Annotated[str, AfterValidator(_plain)]


def read_split(folder: Path, split: SplitName, captions_per_image: int | None = None) -> CaptionedSplit:
    """Read one split of a ``folder``.

    ``captions_per_image``: of published data the exact number, 10 of birds and 5 of COCO when None; of others the first
    so many of each image count, all when None. Raises ManifestError for a file that is missing, of another form, or
    does not fit the others; VocabularyError for words that do not fit the captions; UserError for a pickle that is
    unsafe or damaged.
    """
    if not is_plain(split):
        raise ManifestError(f"the split {split!r} has no plain name; expected one such as train")
    listed = folder / f"{split}.json"
    if not listed.is_file() and is_published(folder, split):
        return read_published_split(folder, split, captions_per_image)
    if listed.is_file() or (folder / split).is_dir():
        return read_own_split(folder, split, captions_per_image)
    there = splits_there(folder)
    found = f"its splits are {', '.join(there)}" if there else "it has no other split either"
    raise ManifestError(
        f"{folder} has no split {split}: {found}; expected {split}.json, a folder {split}/ of images with texts, or "
        f"AttnGAN's data, which have captions.pickle or {split}/filenames.pickle"
    )


def read_vocabulary(source: Path, captions_per_image: int | None = None) -> Vocabulary:
    """Read the words of a folder of data, or of its ``captions.pickle`` or ``vocabulary.json``.

    ``captions_per_image`` matters where there are published texts alone. Raises as :func:`read_split`.
    """
    kept = source if source.suffix == ".json" else source / VOCABULARY
    if kept.is_file() and not (source / "captions.pickle").is_file():
        return read_vocabulary_file(kept)
    return read_published_vocabulary(source, captions_per_image)
