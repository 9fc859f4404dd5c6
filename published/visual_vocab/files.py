"""Addresses of the data sets of schwettmann/visual-vocab (``visualvocab/datasets.py``) and a cache of them.

The repository states no checksums of its archives; the lists of concepts lie in the repository itself, whose commit
fixes their content.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from common.errors import UserError
from published.archives import unpack
from published.download import DownloadError, download
from published.visual_vocab.concepts import read_concepts
from published.visual_vocab.data_sets import AnnotatedDirectionsDataset

log = logging.getLogger(__name__)
SERVER = "https://visualvocab.csail.mit.edu"
REPOSITORY = "https://raw.githubusercontent.com/schwettmann/visual-vocab/d6ba80dc648576baf13efcb7c778e7e4384dcacb"
SCENES = ("cottage", "kitchen", "lake", "medina")
KEYS = tuple(f"{kind}_{scene}" for kind in ("lsd", "distilled") for scene in ("all", *SCENES))
URLS = {key: f"{SERVER}/{key}.zip" for key in KEYS}
CONCEPT_LISTS = {  # SHA-256
    "cottage": "3053c9d0a64c0b02eb13c60ea41dffee99acdce778848ebda3e7e915128199c0",
    "kitchen": "da4c2f7fec116193a9e6143a71475f89e3fa3f18faceb4086f79320a572a5ae9",
    "lake": "f56b4bd5438dd3ff7d2d761472de6337b6ab70ef00eec15c114dc6d99883f5ad",
    "medina": "ee87b4e6be3701adb363714cb98050c74446b0d9e0724094eadc3e7069e8fa31",
}
FOLDER_VARIABLE = "VISUALVOCAB_DATA_DIR"  # as in the public code


class UnknownKeyError(UserError, KeyError):
    """There is no published data set or list of that name."""

    __str__ = Exception.__str__


def data_folder(folder: Path | None = None) -> Path:
    """Return the folder of the data sets: the one given, that of VISUALVOCAB_DATA_DIR, or downloads/visual_vocab."""
    return Path(folder or os.environ.get(FOLDER_VARIABLE) or "downloads/visual_vocab")


def load(
    key: str,
    folder: Path | None = None,
    fetch: bool = True,
    urls: Mapping[str, str] = URLS,
    checksum: str | None = None,
) -> AnnotatedDirectionsDataset:
    """Load a published data set, which is fetched and unpacked first when it is not there.

    Args:
        key: ``lsd_all`` (directions as people annotated them, each once for each of four scenes), ``distilled_all``
            (one direction a word), or ``_cottage``, ``_kitchen``, ``_lake``, ``_medina`` instead of ``_all``.
        folder: of all data sets, see :func:`data_folder`; this one lies in a folder of its name.
        fetch: download what is not there.
        urls: addresses by key.
        checksum: SHA-256 of the archive, where you know it.

    Raises:
        UnknownKeyError: there is no such key.
        DownloadError: it is not there and cannot be fetched, or the archive is damaged; names address and target.
        VocabularyError: a file of it does not fit.
    """
    if key not in urls:
        raise UnknownKeyError(f"there is no data set {key!r}; choose one of {', '.join(sorted(urls))}")
    target = data_folder(folder) / key
    if not target.is_dir() or not any(target.iterdir()):
        archive = target.with_name(f"{key}.zip")
        if not fetch and not archive.is_file():
            raise DownloadError(
                f"{target} is not there: fetch {urls[key]}, place it at {archive}, or allow the download"
            )
        download(urls[key], archive, checksum)
        unpack(archive, target, outer=0)
        archive.unlink()
    return AnnotatedDirectionsDataset(target)


def load_concepts(scene: str, folder: Path | None = None) -> list[str]:
    """Load the published list of concepts of a scene, the most frequent first; it is fetched when it is not there.

    Args:
        scene: ``cottage`` (508 words), ``kitchen`` (445), ``lake`` (479) or ``medina`` (460).
        folder: see :func:`data_folder`.

    Raises:
        UnknownKeyError: there is no such list.
        DownloadError: it is not there and cannot be fetched, or is another file.
    """
    if scene not in CONCEPT_LISTS:
        raise UnknownKeyError(f"there is no list of concepts {scene!r}; choose one of {', '.join(CONCEPT_LISTS)}")
    name = f"conceptlist_{scene}.txt"
    path = data_folder(folder) / name
    return read_concepts(download(f"{REPOSITORY}/visualvocab/{name}", path, CONCEPT_LISTS[scene]))
