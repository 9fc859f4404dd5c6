"""Name the utterances of a dataset for item files and dumped features, and say how long they are."""

from collections.abc import Sequence
from unicodedata import normalize

from common.errors import UserError
from common.text_files import without_surrogates
from datasets.audio.log_mel import FRAME_SECONDS
from datasets.audio.read import SAMPLE_RATE, count_samples
from datasets.spoken_captions.dataset import SpokenCaptions


def utterance_names(dataset: SpokenCaptions, parts: int = 1) -> list[str]:
    """Name every utterance by its sound file, without ending; by its uttid where it has none.

    ``parts`` of the file's path make the name, joined by ``_``: 1 is the file alone (``output_name_level`` of
    wnhsu/ResDAVEnet-VQ ``run_extract_feats_abx.py``). Two utterances of the same name are a UserError.
    """
    rows: dict[str, int] = {}
    for row in range(len(dataset)):
        record = dataset.record(row)
        path = record.audio_path
        name = "_".join(path.with_suffix("").parts[-parts:]) if path else record.uttid.replace("/", "_")
        name = normalize("NFC", without_surrogates(name))  # as item files are read: macOS has decomposed names
        if name in rows:
            way, remedy = f"{parts} of the parts of their paths", "give more of the path with name_parts"
            if path is None:
                way, remedy = "their uttid", "give each its own uttid"
            raise UserError(
                f"rows {rows[name]} and {row} of {dataset.source} are both called {name!r} (by {way}); expected names "
                f"that differ, {remedy}"
            )
        rows[name] = row
    return list(rows)


def encoded_seconds(dataset: SpokenCaptions) -> list[float]:
    """Return the seconds of each utterance that a model encodes, to the last begun 10 ms; infinity if unknown."""
    return [FRAME_SECONDS * count if count else float("inf") for count in encoded_frames(dataset)]


def encoded_frames(dataset: SpokenCaptions) -> list[int]:
    """Return the frames of each utterance that a model encodes, ``max_frames`` at most; 0 where nobody knows."""
    frames = dataset.lengths()
    return (frames if dataset.cut_at() is None else frames.clip(max=dataset.cut_at())).tolist()


def sound_seconds(dataset: SpokenCaptions, rows: Sequence[int], nframes: Sequence[int]) -> list[float]:
    """Return the seconds of recordings, from their headers; from ``nframes`` where there is no file, or it is cut."""
    found = []
    for row, frames in zip(rows, nframes, strict=True):
        path = dataset.record(row).audio_path
        seconds = count_samples(path) / SAMPLE_RATE if path is not None else 0.0
        begun = FRAME_SECONDS * frames
        found.append(seconds if 0 < seconds <= begun else begun)
    return found
