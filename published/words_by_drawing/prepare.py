"""Files that a training on a published set of captions needs, fetched before it begins (``prepare:`` of a config)."""

import logging
from pathlib import Path
from typing import Literal

from published.download import DownloadError
from published.words_by_drawing.files import KINDS, SERVER, SPLITS, fetch

log = logging.getLogger(__name__)
PREFIX = "audio_clevrgan_"
Extra = Literal["negatives", "repetition_audios", "seg_encoder", "seg_decoder", "text"]


def ensure_fetched(
    folder: Path,
    models: Path,
    extras: tuple[Extra, ...] = (),
    server: str = SERVER,
    dry_folder: Path | None = None,
) -> Path:
    """Fetch name lists, recordings and the generator, as far as they are not there; returns the set's folder.

    Args:
        folder: of the set, ``.../audio_clevrgan_natural`` or ``.../audio_clevrgan_synth``.
        models: folder of the models.
        extras: fetched too: ``negatives``, ``repetition_audios`` and the segmenter are for the experiments, ``text`` is
            for people. Training needs none of them, so one that cannot be fetched is a warning.
        server: another address with the same layout.
        dry_folder: a dry run, which fetches nothing.

    Raises:
        DownloadError: something is not there and cannot be fetched, or a dry run lacks it; names address and target.
    """
    kind = folder.name.removeprefix(PREFIX)
    if folder.name != PREFIX + kind or kind not in KINDS:
        expected = " or ".join(PREFIX + known for known in KINDS)
        raise DownloadError(f"found the folder {folder} for a published set, expected one named {expected}")
    if dry_folder is not None:
        raise DownloadError(
            f"{folder} is not there and a dry run fetches nothing: run without --dry-run, or scripts/download_data.sh, "
            f"where there is network; both take it from {server}"
        )
    data, address = folder.parent, server.rstrip("/")
    fetch([*(f"list_{kind}_{split}" for split in SPLITS), f"audio_{kind}", "generator"], data, models, address)
    for extra in extras:
        try:
            fetch([f"text_{kind}" if extra == "text" else extra], data, models, address)
        except DownloadError as error:
            log.warning("training goes on without a file of the experiments: %s", error)
    return folder
