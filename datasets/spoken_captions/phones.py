"""The exact phone times of a world's utterances: ``phones.jsonl`` beside the manifests of its Places layout."""

from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

from datasets.loading.rows import ManifestError
from datasets.spoken_captions.json_rows import read_json_lines, shown
from datasets.spoken_captions.places_manifest import read_places
from datasets.spoken_captions.records import Word, check_words, rows_by_uttid

PHONES = "phones.jsonl"


class SpokenPhones(NamedTuple):
    """The phones of one utterance."""

    uttid: str
    speaker: str
    phones: list[Word]  # (start, end, phone) in seconds, in order and without gaps; pauses are ``sil``


def phones_known(manifest: Path) -> bool:
    """Return whether the phone times of a ``manifest``'s utterances are known."""
    return (manifest.parent / PHONES).is_file()


def read_phones(manifest: Path) -> Iterator[SpokenPhones]:
    """Yield the phones of every utterance of a manifest of a world's ``places`` folder, in its order.

    Raises ManifestError where it cannot be read, names two utterances alike, or no phones are known of one.
    """
    records = read_places(manifest).records
    path = manifest.parent / PHONES
    known = _lines(path, rows_by_uttid(records, manifest).keys())
    for record in records:
        if record.uttid not in known:
            raise ManifestError(f"{path} lacks the utterance {record.uttid} of {manifest.name}; build the world again")
        yield SpokenPhones(record.uttid, record.speaker, known[record.uttid])


def _lines(path: Path, wanted: Container[str]) -> dict[str, list[Word]]:
    """Read the phones of the utterances that are wanted."""
    found: dict[str, list[Word]] = {}
    remedy = "build the world again"
    try:
        for name, row in read_json_lines(path, remedy):
            uttid = row.get("uttid")
            if not isinstance(uttid, str):
                raise ManifestError(f"{name}: uttid is {shown(uttid)}, expected text; {remedy}")
            if uttid in wanted:
                found[uttid] = check_words(row.get("phones"), f"{name}: phones", remedy)
    except FileNotFoundError as error:
        raise ManifestError(
            f"there is no {path}: phone times are known of embedded worlds alone (world/build.yaml writes them); "
            "other data need an item file"
        ) from error
    return found
