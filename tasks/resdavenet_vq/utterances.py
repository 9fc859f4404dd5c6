"""What the utterances of a dataset are called in item files and in dumped features, and how long they are."""

from collections.abc import Sequence
from unicodedata import normalize

from common.errors import UserError
from common.text_files import without_surrogates
from datasets.audio.read import SAMPLE_RATE, count_samples
from datasets.spoken_captions.dataset import SpokenCaptions
from tasks.resdavenet_vq.layers import FRAME_SECONDS


def utterance_names(dataset: SpokenCaptions, parts: int = 1) -> list[str]:
    """Name every utterance by its sound file, without ending; by its uttid where it has none.

    Args:
        dataset: of the utterances.
        parts: how many parts of the path make the name, joined by ``_``: 1 is the file alone (``output_name_level`` of
            wnhsu/ResDAVEnet-VQ ``run_extract_feats_abx.py``).

    Returns:
        A name for each row.

    Raises:
        UserError: two utterances have the same name.
    """
    rows: dict[str, int] = {}
    for row in range(len(dataset)):
        record = dataset.record(row)
        path = record.audio_path
        name = "_".join(path.with_suffix("").parts[-parts:]) if path else record.uttid.replace("/", "_")
        name = normalize("NFC", without_surrogates(name))  # as item files are read: macOS has decomposed names
        if name in rows:
            raise UserError(
                f"rows {rows[name]} and {row} of {dataset.source} are both called {name!r} (by {parts} of the parts of "
                "their paths); expected names that differ, give more of the path with name_parts"
            )
        rows[name] = row
    return list(rows)


def seconds_heard(dataset: SpokenCaptions) -> list[float]:
    """How much of each utterance a model hears, in seconds to the last begun 10 ms; infinity where nobody knows.

    Args:
        dataset: of the utterances; ``max_frames`` cuts them.

    Returns:
        Seconds for each row.
    """
    return [FRAME_SECONDS * count if count else float("inf") for count in frames_heard(dataset)]


def frames_heard(dataset: SpokenCaptions) -> list[int]:
    """How many frames of each utterance a model hears; 0 where nobody knows.

    Args:
        dataset: of the utterances; ``max_frames`` cuts them.

    Returns:
        Frames of 10 ms for each row.
    """
    frames = dataset.lengths()
    return (frames if dataset.cut_at() is None else frames.clip(max=dataset.cut_at())).tolist()


def sound_seconds(dataset: SpokenCaptions, rows: Sequence[int], nframes: Sequence[int]) -> list[float]:
    """How long recordings are, from their headers; from their frames where there is no file, or where it is cut.

    Args:
        dataset: of the utterances.
        rows: of the dataset.
        nframes: of each, as they were encoded.

    Returns:
        Seconds for each of ``rows``.
    """
    heard = []
    for row, frames in zip(rows, nframes, strict=True):
        path = dataset.record(row).audio_path
        seconds = count_samples(path) / SAMPLE_RATE if path is not None else 0.0
        begun = FRAME_SECONDS * frames
        heard.append(seconds if 0 < seconds <= begun else begun)
    return heard
