"""The base of all datasets of spoken captions: how an image and a sound become one sample, and its errors.

A sample is a dict: ``image`` (3, H, W) float32, ``mel`` (40, n) float32 dB without padding, ``nframes`` int, ``index``
int. With ``features="device"`` it holds ``waveform`` (N,) float32, ``nsamples`` and ``start``, the first of its
``nframes`` frames, instead of the mel: :func:`datasets.audio.windows.device_features` makes the same mel of a batch of
them.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from common.errors import UserError
from datasets.audio.log_mel import HOP, check_usable
from datasets.audio.read import count_samples, read_audio
from datasets.audio.spec_augment import SpecAugment
from datasets.audio.windows import cut
from datasets.digests import rows_digest
from datasets.file_names import FileNames
from datasets.image_ids import ImageIds
from datasets.images import ImageError, ImageTransform, read_image_bytes
from datasets.loading.rows import ManifestError, OnError, Sample, SampleError, unusable_row
from datasets.spoken_captions.records import Records, SpokenCaption

Window = Literal["first", "random"]


class SpokenCaptions(Dataset, ABC):
    """Rows of an image and a sound, and what is done with unusable ones; ``image`` is None without images.

    ``source`` is the file that lists the rows and ``split`` its owner's name for them ("" until given), both for
    messages. Only with ``train`` random crops, windows and masks are drawn (from torch's generator).
    """

    def __init__(
        self,
        records: Sequence[SpokenCaption],
        source: Path,
        image: ImageTransform | None,
        train: bool,
        max_frames: int | None,
        window: Window,
        spec_augment: SpecAugment | None,
        on_error: OnError,
    ) -> None:
        if max_frames is not None and max_frames < 1:
            raise ValueError(f"max_frames is {max_frames}, expected at least 1 frame of 10 ms")
        self.records = records
        self.source, self.split = source, ""
        self.image = image
        self.train = train
        self.max_frames = max_frames
        self.random_window = train and window == "random"
        self.spec_augment = spec_augment if train else None
        self.on_error = on_error
        self.skipped: dict[int, str] = {}
        self._image_ids: ImageIds | None = None

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises SampleError where its image or sound cannot be used (with file, row, list and split), and ManifestError
        where the files are others than those that were checked.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        try:
            sample: Sample = {"index": index}
            if self.image is not None:
                sample["image"] = self.image(self._image(index), self.train)
            return sample | self._speech(index)
        except ManifestError:
            raise  # no row is to blame, so none is to be skipped
        except UserError as error:
            raise self.unusable(index, error) from error
        except MemoryError as error:
            reason = UserError("takes more memory than there is; shorten its sound, scale its image down, or remove it")
            raise self.unusable(index, reason) from error

    def unusable(self, index: int, error: UserError) -> SampleError:
        """Return the error of a row, for the caller to raise: its number, name, list and split, and what is wrong."""
        return unusable_row(self, index, self.record(index).uttid, error)

    def record(self, index: int) -> SpokenCaption:
        """Return the texts and paths of a row."""
        return self.records[index]

    def image_u8(self, index: int) -> np.ndarray:
        """Return the image that the model is given in evaluation, (H, W, 3) uint8; UserError if it is unusable."""
        if self.image is None:
            raise ValueError("this dataset was built without images")
        return np.asarray(self.image.crop(self._image(index), train=False))

    def image_ids(self, rows: Sequence[int]) -> np.ndarray:
        """Return numbers (n,) int64 of some rows' images: equal for captions of the same file, and for equal files.

        Raises SampleError where an image cannot be read.
        """
        if self.image is None:
            raise ValueError("this dataset was built without images")
        if self._image_ids is None or len(self._image_ids) != len(self):
            self._image_ids = ImageIds(len(self), self._image_bytes)
        return self._image_ids.of(rows)

    def waveform(self, index: int) -> np.ndarray | None:
        """Return the sound to listen to, even silence, (n,) float32 mono at 16 kHz; None when only features exist."""
        path = self.record(index).audio_path
        if path is not None and not path.exists():  # with features in HDF5 nobody has looked for it yet
            found = FileNames().find(str(path))
            path = Path(found) if found else path
        return read_audio(path, allow_silence=True) if path is not None and path.exists() else None

    def lengths(self) -> np.ndarray:
        """Return the frames of every row before cutting, (n,) int64, from file headers; 0 where one cannot be read."""
        paths = [record.audio_path for record in self.records]
        with ThreadPoolExecutor(8) as pool:
            samples = np.fromiter(pool.map(count_samples, paths), np.int64, len(paths))
        return np.where(samples > 0, 1 + samples // HOP, 0)

    def digest(self) -> str:
        """Return number and digest of the rows: names, texts and files, relative to the list's folder below it."""
        base = f"{self.source.parent.absolute()}{os.sep}"

        def parts(row: int) -> Iterator[str]:
            record = self.record(row)
            yield from (record.uttid, record.text)
            yield from (str(path or "").removeprefix(base) for path in (record.audio_path, record.image_path))

        return rows_digest((part for row in range(len(self)) for part in parts(row)), len(self))

    def files(self) -> Iterable[str] | None:
        """Return the paths of the sounds and, where images are read, of the images, in the order of the rows."""
        records = self.records if isinstance(self.records, Records) else Records(self.records)
        kinds = 1 if self.image is None else len(records.folders)
        return (path for paths in records.paths() for path in paths[:kinds] if path is not None)

    def cut_at(self) -> int | None:
        """Return the frames that longer captions are cut to; None where none is cut."""
        return self.max_frames

    def _image_bytes(self, index: int) -> bytes:
        """Read the content of a row's image file."""
        try:
            return read_image_bytes(self.record(index).image_path)
        except ImageError as error:
            raise self.unusable(index, error) from error

    @abstractmethod
    def _image(self, index: int) -> Image.Image:
        """Return the whole image, RGB."""

    @abstractmethod
    def _speech(self, index: int) -> Sample:
        """Return ``mel`` and ``nframes``, or ``waveform``, ``nsamples``, ``start`` and ``nframes``."""

    def _finished(self, mel: Tensor, name: object) -> Sample:
        """Cut and mask a whole spectrogram (40, T) of the sound ``name``; what is kept must be usable."""
        if self.random_window:
            check_usable(mel, name)
        mel = cut(mel, self.max_frames, self.random_window)
        if not self.random_window:
            check_usable(mel, name)
        if self.spec_augment is not None:
            mel = self.spec_augment(mel)
        return {"mel": mel, "nframes": mel.shape[1]}
