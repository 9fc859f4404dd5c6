"""A folder of sound files as utterances: no list, no texts, no images."""

import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from config.limits import Frames
from datasets.audio.log_mel import read_log_mel
from datasets.loading.rows import ManifestError, OnError, Sample
from datasets.spoken_captions.dataset import SpokenCaptions
from datasets.spoken_captions.records import Records, SpokenCaption


class SoundFolder(SpokenCaptions):
    """All sound files of a folder and the folders below it, in alphabetical order; names are paths below the folder.

    Args:
        folder: folder of the sounds.
        extension: which files are taken, without the point; upper and lower case count as the same.
        max_frames: longer sounds are cut to this many frames of 10 ms; None keeps everything.
        on_error: action of a loader at a sound that cannot be decoded.

    Raises:
        ManifestError: there is no such folder, or it holds no such file.
    """

    def __init__(
        self, folder: Path, extension: str = "wav", max_frames: Frames | None = None, on_error: OnError = "error"
    ) -> None:
        if not folder.is_dir():
            raise ManifestError(f"there is no folder {folder}; give one that holds sound files")
        ending = f".{extension.lstrip('.').lower()}"
        files = sorted(path for path in _files(folder) if path.name.lower().endswith(ending) and path.name[0] != ".")
        if not files:
            raise ManifestError(
                f"{folder} and the folders below it hold no *{ending}; give another folder or extension"
            )
        records = Records(
            SpokenCaption(path.relative_to(folder).with_suffix("").as_posix(), audio_path=path) for path in files
        )
        super().__init__(records, folder, None, False, max_frames, "first", None, on_error)

    def _image(self, index: int) -> Image.Image:
        raise ValueError(f"{self.source} holds sounds, and row {index} has no image")

    def _speech(self, index: int) -> Sample:
        path = self.records[index].audio_path
        return self._finished(read_log_mel(path), path)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and of those below it, also behind links, but not those that lead back to it."""
    for name, folders, files in os.walk(folder, followlinks=True):
        root = Path(name)
        above = {path.resolve() for path in (root, *root.parents) if path.is_relative_to(folder)}
        folders[:] = [below for below in folders if (root / below).resolve() not in above]
        yield from (root / file for file in files)
