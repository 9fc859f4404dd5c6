"""Writes Tux Paint's spoken images as manifests in the published Places layout, with images and sound beside them.

Every split is by image (see :mod:`datasets.tuxpaint.stamps`). Training takes every recording in the chosen languages,
and mirrored copies as further images. The held-out splits hold each image once, in one of its languages, and never
two images with the same recording or the same English text, since no retrieval could distinguish those.
"""

import io
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

from common.files import write_plainly, write_whole
from datasets.tuxpaint.media import UnusableImageError, check_recording, open_image
from datasets.tuxpaint.stamps import (
    Stamp,
    TuxPaintError,
    file_digest,
    find_stamps,
    group_stamps,
    languages_of,
    split_groups,
)


@dataclass
class Pair:
    """One image ready for a manifest."""

    stamp: Stamp  # where it comes from
    image: str  # file name below ``images/``
    mirrored: str | None  # file name of the mirrored image, None where there is none
    sounds: dict[str, str]  # file names below ``audio/`` by language


@dataclass
class Prepared:
    """The counts of :func:`prepare`; also the contents of ``summary.json``."""

    pairs: dict[str, int] = field(default_factory=dict)  # by manifest
    images: dict[str, int] = field(default_factory=dict)  # different ones, by manifest
    recordings: dict[str, int] = field(default_factory=dict)  # kept in all splits, by language
    seconds: dict[str, float] = field(default_factory=dict)  # of speech kept, by language
    without_text: dict[str, int] = field(default_factory=dict)  # recordings without a written description, by language
    words_seen: dict[str, int] = field(default_factory=dict)  # pairs with an English text of training, by manifest
    skipped: dict[str, list[str]] = field(default_factory=dict)  # reason -> names of the files left out

    def skip(self, reason: str, name: str) -> None:
        """Note one file that is left out."""
        self.skipped.setdefault(reason, []).append(name)


def prepare(
    source: Path,  # the unpacked package
    folder: Path,  # gets images/, audio/, {train,val,test}.json, summary.json; test_<language>.json of several
    languages: list[str],  # codes such as en or pt_BR; ["all"] takes every language there is
    seed: int = 1,  # of the split, and of the language in which a held-out image is described
    val: float = 0.1,  # share of the images for validation, 0-1
    test: float = 0.15,  # share of the images for the test, 0-1
    size: int = 256,  # height and width of the images in pixels
    exclude: tuple[str, ...] = (),  # prefixes of image names to leave out, such as symbols/alphabets
) -> Prepared:
    """Turn an unpacked stamp collection into train, val and test manifests; return the counts.

    Raises TuxPaintError for no stamp collection, an unknown language, impossible shares, or nothing left.
    """
    stamps, orphans = find_stamps(source)
    stamps = [stamp for stamp in stamps if not stamp.name.startswith(exclude)] if exclude else stamps
    chosen = _check_languages(languages, languages_of(stamps))
    splits = split_groups(group_stamps(stamps), seed, val, test)
    summary = Prepared()
    for old in folder.glob("test_*.json"):  # of an earlier call with other languages
        old.unlink()
    for path in orphans:
        summary.skip("recording without an image", path.name)
    kept = {split: _keep(members, folder, chosen, size, split == "train", summary) for split, members in splits.items()}
    if not kept["train"]:
        raise TuxPaintError(
            f"Nothing to train on is left in {chosen}; skipped: { {k: len(v) for k, v in summary.skipped.items()} }."
        )
    seen = {pair.stamp.texts.get("en") for pair in kept["train"]}
    for name, members in _manifests(kept, chosen, seed).items():
        _write_manifest(folder / f"{name}.json", members)
        summary.pairs[name] = len(members)
        summary.images[name] = len({pair.stamp.name for pair, _, _ in members})
        if name != "train":
            summary.words_seen[name] = sum(pair.stamp.texts.get("en") in seen for pair, _, _ in members)
    write_whole(folder / "summary.json", json.dumps(vars(summary), indent=1, ensure_ascii=False).encode())
    return summary


def _check_languages(languages: list[str], available: dict[str, int]) -> list[str]:
    """Return the languages to use, sorted; raise TuxPaintError on one that nobody speaks here."""
    if "all" in languages:
        return sorted(available)
    unknown = sorted(set(languages) - set(available))
    if unknown or not languages:
        offer = ", ".join(f"{language} ({count})" for language, count in available.items())
        raise TuxPaintError(
            f"No recordings in language {', '.join(unknown) or '(none given)'}. There are: {offer}, or all."
        )
    return sorted(set(languages))


def _keep(
    stamps: list[Stamp], folder: Path, languages: list[str], size: int, mirror: bool, summary: Prepared
) -> list[Pair]:
    """Write the usable images and recordings among ``stamps``; note the rest in ``summary.skipped``."""
    pairs = []
    for stamp in stamps:
        spoken = [language for language in languages if language in stamp.recordings]
        image = _write_image(stamp.image, stamp.name, folder, size, summary) if spoken else None
        if image is None:
            continue
        sounds = {}
        for language in spoken:
            sound = _copy_recording(stamp.recordings[language], f"{language}/{stamp.name}", folder, language, summary)
            if sound is not None:
                sounds[language] = sound
                if language not in stamp.texts:
                    summary.without_text[language] = summary.without_text.get(language, 0) + 1
        if sounds:
            twin = stamp.mirrored if mirror else None
            mirrored = twin and _write_image(twin, f"{stamp.name}_mirror", folder, size, summary)
            pairs.append(Pair(stamp, image, mirrored, sounds))
    return pairs


def _write_image(source: Path, name: str, folder: Path, size: int, summary: Prepared) -> str | None:
    target = folder / "images" / f"{name}.jpg"
    try:
        image = open_image(source, size)
    except UnusableImageError as error:
        summary.skip(f"image: {error}", name)
        return None
    content = io.BytesIO()
    image.save(content, "JPEG", quality=95)
    write_plainly(target, content.getvalue())
    return f"{name}.jpg"


def _copy_recording(source: Path, name: str, folder: Path, language: str, summary: Prepared) -> str | None:
    target = folder / "audio" / f"{name}{source.suffix}"
    write_plainly(target, source.read_bytes())
    seconds, error = check_recording(target)
    if error is not None:
        target.unlink()
        summary.skip(f"recording: {error}", source.name)
        return None
    summary.recordings[language] = summary.recordings.get(language, 0) + 1
    summary.seconds[language] = round(summary.seconds.get(language, 0.0) + seconds, 3)
    return f"{name}{source.suffix}"


def _manifests(kept: dict[str, list[Pair]], languages: list[str], seed: int) -> dict[str, list[tuple[Pair, str, str]]]:
    """Return manifest name -> (image, language, image file) of every row."""

    def any_language(pair: Pair) -> str:
        return random.Random(f"{seed}/{pair.stamp.name}").choice(sorted(pair.sounds))

    manifests = {
        "train": [
            (pair, language, image)
            for pair in kept["train"]
            for language in pair.sounds
            for image in (pair.image, pair.mirrored)
            if image
        ],
        "val": _distinct([(pair, any_language(pair)) for pair in kept["val"]]),
        "test": _distinct([(pair, any_language(pair)) for pair in kept["test"]]),
    }
    for language in languages if len(languages) > 1 else []:
        manifests[f"test_{language}"] = _distinct(
            [(pair, language) for pair in kept["test"] if language in pair.sounds]
        )
    return manifests


def _distinct(described: list[tuple[Pair, str]]) -> list[tuple[Pair, str, str]]:
    """Return the rows without those whose recording or English text occurred before."""
    rows, seen = [], set()
    for pair, language in described:
        stamp = pair.stamp
        marks = {file_digest(stamp.recordings[language]), stamp.texts.get("en", stamp.name)}
        if not marks & seen:
            rows.append((pair, language, pair.image))
        seen |= marks
    return rows


def _write_manifest(path: Path, rows: list[tuple[Pair, str, str]]) -> None:
    data = [
        {
            "uttid": f"{language}-{image.removesuffix('.jpg').replace('/', '-')}",
            "speaker": f"tuxpaint_{language}",
            "asr_text": pair.stamp.texts.get(language, ""),
            "wav": pair.sounds[language],
            "image": image,
        }
        for pair, language, image in rows
    ]
    manifest = {"image_base_path": "images/", "audio_base_path": "audio/", "data": data}
    write_whole(path, json.dumps(manifest, indent=1, ensure_ascii=False).encode())
