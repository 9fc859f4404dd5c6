"""Images with recorded descriptions from Tux Paint's stamp collection, as pairs for speech-image training.

Debian's package ``tuxpaint-stamps-default`` (GPL-2) holds about 950 images, each ``NAME.png`` or ``NAME.svg`` with
``NAME.txt`` (English first, then ``<language>.utf8=...`` lines) and ``NAME_desc_<language>.ogg`` beside it; an English
recording is ``NAME_desc.ogg``. This module reads that tree and decides which images belong together, so that no
image, mirrored copy, variant or shared recording crosses from training to the held-out images.
"""

import hashlib
import random
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import UserError
from common.files import read_at_once

RECORDING = re.compile(
    r"(?P<stem>.+)_desc(?:_(?P<language>[a-z]{2,3}(?:_[A-Z]{2})?(?:@[a-z]+)?))?(?:\.ogg)?\.(?:ogg|wav)"
)
MIRRORED = re.compile(r"_(mirror|flip|mirror_flip)$")
VARIANT = re.compile(
    r"[\W_]+|\d+|(?<![a-z])(filled|outlined?|photo|left|right|open|closed|in|out|front|side|[a-z])(?![a-z])"
)
LARGEST_HELD_OUT_GROUP = 4


class TuxPaintError(UserError):
    """The stamp collection is missing, is not one, or lacks what was asked of it."""


@dataclass
class Stamp:
    """One image, its mirrored copy if it has one, and its descriptions."""

    name: str  # path below the collection, without suffix; also the key in every manifest
    image: Path  # the PNG if there is one, else the SVG
    mirrored: Path | None = None  # a mirrored copy drawn by hand (with readable lettering), or None
    texts: dict[str, str] = field(default_factory=dict)  # language -> written description
    recordings: dict[str, Path] = field(default_factory=dict)  # language -> sound file


def find_stamps(folder: Path) -> tuple[list[Stamp], list[Path]]:
    """Return the images below ``folder`` with a recording in some language, by name, and recordings without an image.

    A recording belongs to the image of the same name in its folder; where there is none, to the one whose name differs
    only in case and punctuation (``cherry_Stella`` and ``Cherry_Stella``). Raises TuxPaintError where there is no image
    with a recording.
    """
    root = next((path for path in sorted(folder.rglob("tuxpaint/stamps")) if path.is_dir()), folder)
    stamps = _images(root)
    loose = {(Path(name).parent, _loose(Path(name).name)): stamp for name, stamp in stamps.items()}
    orphans = []
    for path in sorted(root.rglob("*_desc*")):
        match = RECORDING.fullmatch(path.name)
        if match is None:
            continue
        inside = path.parent.relative_to(root)
        stamp = stamps.get((inside / match["stem"]).as_posix()) or loose.get((inside, _loose(match["stem"])))
        if stamp is None:
            orphans.append(path)
        else:
            stamp.recordings.setdefault(match["language"] or "en", path)
    spoken = [stamp for _, stamp in sorted(stamps.items()) if stamp.recordings]
    if not spoken:
        raise TuxPaintError(
            f"{folder} holds no image with a spoken description (NAME.png with NAME_desc_<language>.ogg). "
            "Expected the unpacked package tuxpaint-stamps-default, whose images lie in usr/share/tuxpaint/stamps."
        )
    return spoken, orphans


def _images(root: Path) -> dict[str, Stamp]:
    """Return all images below ``root`` by name; a mirrored copy is kept with its original."""
    files = {}
    for suffix in (".svg", ".png"):  # PNG last: it wins, since it needs no rasteriser
        files.update({path.relative_to(root).with_suffix("").as_posix(): path for path in root.rglob(f"*{suffix}")})
    stamps = {name: Stamp(name, path) for name, path in sorted(files.items())}
    for name in [name for name in stamps if MIRRORED.search(name)]:
        original = stamps.get(MIRRORED.sub("", name))
        if original is not None:
            original.mirrored = stamps.pop(name).image
    for name, stamp in stamps.items():
        stamp.texts = read_texts(root / f"{name}.txt")
    return stamps


def _loose(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def read_texts(path: Path) -> dict[str, str]:
    """Return the written descriptions of one image by language from ``path``; none when the file is missing."""
    if not path.is_file():
        return {}
    lines = read_at_once(path).decode("utf-8-sig", "replace").splitlines()
    texts = {"en": lines[0].strip()} if lines and lines[0].strip() else {}
    for line in lines[1:]:
        language, found, text = line.partition(".utf8=")
        if found and text.strip():
            texts[language.strip()] = text.strip()
    return texts


def languages_of(stamps: list[Stamp]) -> dict[str, int]:
    """Count the recordings of ``stamps`` per language, most frequent first."""
    return dict(Counter(language for stamp in stamps for language in stamp.recordings).most_common())


def group_stamps(stamps: list[Stamp]) -> list[list[Stamp]]:
    """Put images that must not be parted into groups: variants by name and images that share a recording.

    Variants are images of one folder whose names differ in digits, single letters or words such as ``outline`` or
    ``left``; names that begin with a digit (coins) take their whole folder. A recording counts as shared when its bytes
    are equal, in any language, so that groups do not depend on the languages that are chosen later. They come in order
    of their first image's name.
    """
    leader = {stamp.name: stamp.name for stamp in stamps}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    first: dict[tuple, str] = {}
    for stamp in stamps:
        sounds = [(language, file_digest(path)) for language, path in stamp.recordings.items()]
        for key in [("name", variant_key(stamp.name)), *sounds]:
            leader[find(stamp.name)] = find(first.setdefault(key, stamp.name))
    groups = defaultdict(list)
    for stamp in stamps:
        groups[find(stamp.name)].append(stamp)
    return sorted(groups.values(), key=lambda group: group[0].name)


def variant_key(name: str) -> str:
    """Return what the variants of one image have in common: its folder and the words that distinguish images."""
    folder, _, base = name.rpartition("/")
    rest = VARIANT.sub("", re.sub(r"[\W_]+|\d+", " ", base.lower()))
    return f"{folder}/{'' if base[0].isdigit() else rest or base.lower()}"


def split_groups(groups: list[list[Stamp]], seed: int, val: float, test: float) -> dict[str, list[Stamp]]:
    """Deal whole groups to train, val and test (shares 0-1), the same way for the same seed whatever the languages.

    Groups of more than four images (coins, gravestones, sign language) always train: they would fill a held-out split
    with images that hardly differ. Each split is sorted by name. Raises TuxPaintError for shares that leave nothing to
    train on.
    """
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise TuxPaintError(f"val is {val} and test is {test}: both must be at least 0 and their sum below 1.")
    total = sum(len(group) for group in groups)
    wanted = {"test": test * total, "val": val * total}
    splits: dict[str, list[Stamp]] = {"train": [], "val": [], "test": []}
    for group in random.Random(seed).sample(groups, len(groups)):
        small = len(group) <= LARGEST_HELD_OUT_GROUP
        goal = next((s for s in wanted if small and len(splits[s]) + len(group) <= wanted[s] + 0.5), "train")
        splits[goal].extend(group)
    return {split: sorted(members, key=lambda stamp: stamp.name) for split, members in splits.items()}


def file_digest(path: Path) -> str:
    """Return the digest of the bytes of ``path``, by which shared recordings are recognised."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
