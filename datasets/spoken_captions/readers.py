"""Pairs of an image and its spoken caption, from files, from HDF5, or in the GAN-CLEVR layout.

The first two give the very same sample for the same manifest. Layouts: wnhsu/ResDAVEnet-VQ (JSON, HDF5 pair) and
surisdi/learning-by-drawing (GAN-CLEVR). Keys of a sample: datasets/spoken_captions/dataset.py.
"""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import torch
from PIL import Image

from common.errors import UserError
from common.text_files import is_whole_number
from config import Problem
from config.limits import Count, Frames, Megabytes
from datasets.audio.log_mel import check_usable_waveform, count_frames, read_log_mel
from datasets.audio.read import read_audio
from datasets.audio.spec_augment import SpecAugment
from datasets.audio.windows import window_start
from datasets.decoded_cache import DecodedCache
from datasets.digests import digest
from datasets.images import ImageTransform, read_image
from datasets.loading.rows import ManifestError, OnError, Sample
from datasets.spoken_captions.active_learning import split_name
from datasets.spoken_captions.dataset import SpokenCaptions, Window
from datasets.spoken_captions.gan_clevr import Split, read_gan_clevr
from datasets.spoken_captions.hdf5_pair import AUDIO, IMAGE, check_pair, opened, state_of, tried
from datasets.spoken_captions.places_manifest import read_places
from datasets.spoken_captions.records import Records, SpokenCaption

FARTHEST = 200  # dB of a log-mel, also without the loudest value taken off: power of 16-bit integers is 140
NARROWEST = 1  # dB that log-mels above 0 span more than; powers of samples up to 1, taken for decibels, do not
SAMPLED = 16  # rows of a published HDF5 pair that its digest reads


class _FromFiles(SpokenCaptions):
    """Reads images and sounds from their own files.

    ``features`` says where log-mels are computed; ``megabytes`` of them and of the images stay in memory (None: all).
    """

    def __init__(self, *args: Any, features: Literal["worker", "device"], megabytes: int | None) -> None:
        super().__init__(*args)
        self.features, self.megabytes, self._kept = features, megabytes, DecodedCache(megabytes)
        if features == "device" and self.spec_augment is not None:
            raise ValueError("spec_augment masks features in the worker; with features: device apply it in the task")
        if features == "device" and megabytes != 0:
            raise ValueError("log-mels are kept with features: worker, found device: they are the task's; keep none")

    @staticmethod
    def _errors(spec_augment: object, features: str, **keep: bool | int | None) -> Iterator[Problem]:
        """Refuse masks over features that the worker does not compute, and keeping them."""
        if spec_augment is not None and features == "device":
            yield "spec_augment", "found with features: device, expected null there, or features: worker"
        for name, value in keep.items():
            if value and features == "device":
                found, expected = str(value).lower(), "false" if value is True else "null"
                message = (
                    f"found {found} with features: device, whose log-mels the worker does not have; expected {expected}"
                )
                yield name, message

    def _image(self, index: int) -> Image.Image:
        return self._kept.get("image", index, lambda: read_image(self.records[index].image_path))

    def _speech(self, index: int) -> Sample:
        path = self.records[index].audio_path
        if self.features == "worker":
            return self._finished(self._kept.get("mel", index, lambda: read_log_mel(path)), path)
        waveform = torch.from_numpy(read_audio(path))
        frames = count_frames(len(waveform))
        start = window_start(frames, self.max_frames, self.random_window)
        kept = min(frames, self.max_frames or frames)
        check_usable_waveform(waveform, frames if self.random_window else kept, path)
        return {"waveform": waveform, "nsamples": len(waveform), "start": start, "nframes": kept}


class PlacesFiles(_FromFiles):
    """A Places manifest, read on the fly from its sound and image files.

    Args:
        manifest: Places JSON.
        image: Cut and size of images; None for samples without images.
        train: Take crops, windows and masks at random.
        max_frames: Longer captions are cut to this many frames of 10 ms; None keeps everything.
        window: Frames kept in training, the first or a random window; evaluation keeps the first.
        spec_augment: Masks drawn over training spectrograms.
        on_error: Action of a loader at a sample that cannot be decoded.
        features: Log-mels are computed by the loading workers, or by the task on its device.
        keep_mb: Memory in MB, of every loading process, for log-mels (16 kB for each second of sound) and decoded
            images (4 bytes a pixel), so that a file is read and decoded once; samples are the same, windows, crops
            and masks are drawn anew. Samples beyond this memory are read each time. None keeps nothing.

    Raises:
        ManifestError: The manifest does not fit its format or its files.
        ValueError: Log-mels that the task computes on its device are to be kept.
    """

    def __init__(
        self,
        manifest: Path,
        image: ImageTransform | None,
        train: bool,
        max_frames: Frames | None = None,
        window: Window = "first",
        spec_augment: SpecAugment | None = None,
        on_error: OnError = "error",
        features: Literal["worker", "device"] = "worker",
        keep_mb: Megabytes | None = None,
    ) -> None:
        records = read_places(manifest, need="files").records
        args = (records, manifest, image, train, max_frames, window, spec_augment, on_error)
        super().__init__(*args, features=features, megabytes=keep_mb or 0)

    @staticmethod
    def validate(spec_augment: object, features: str, keep_mb: int | None) -> Iterator[Problem]:
        """Refuse masks over features that the worker does not compute, and keeping them."""
        yield from _FromFiles._errors(spec_augment, features, keep_mb=keep_mb)


class GanClevr(_FromFiles):
    """One split of the GAN-CLEVR layout; samples carry ``latent``, the id whose noise vector makes the image.

    They also carry ``active``: whether the caption was collected for the edited image
    (datasets/spoken_captions/active_learning.py).

    Args:
        folder: Holds ``name_list_<split>.txt``, ``audio/``, ``text/`` and ``images/``.
        split: Name of the list.
        image: Cut and size of images; None when the task generates them from the latent.
        train: As in :class:`PlacesFiles`; so are the rest.
        max_frames: Longer captions are cut.
        window: Frames kept in training.
        spec_augment: Masks drawn over training spectrograms.
        on_error: Action of a loader at a sample that cannot be decoded.
        features: Log-mels of the loading workers, or of the task's device.
        keep: Keep log-mels (16 kB for each second of sound) and images (4 bytes a pixel) in memory, so that each file
            is read once in every loading process.
        first: Take only so many captions, from the top of the list; None takes all.
        last: Of those only the last; None takes all. With 504 and 500 a validation list gives the pairs that the public
            code evaluates with batches of 8.

    Raises:
        ManifestError: The list or files are missing, or an id is no number.
        ValueError: Log-mels that the task computes on its device are to be kept.
    """

    def __init__(
        self,
        folder: Path,
        split: Split,
        image: ImageTransform | None,
        train: bool,
        max_frames: Frames | None = None,
        window: Window = "random",
        spec_augment: SpecAugment | None = None,
        on_error: OnError = "error",
        features: Literal["worker", "device"] = "worker",
        keep: bool = False,
        first: Count | None = None,
        last: Count | None = None,
    ) -> None:
        found = read_gan_clevr(folder, split, images=image is not None)
        wrong = [record.uttid for record in found.records if not is_whole_number(split_name(record.uttid)[0])]
        if wrong:
            raise ManifestError(f"{found.path}: ids {wrong[:3]} are no numbers; an id is the index of a noise vector")
        records = found.records
        if first is not None or last is not None:
            end = min(first or len(records), len(records))
            records = Records(records[row] for row in range(max(0, end - (last or end)), end))
        args = (records, found.path, image, train, max_frames, window, spec_augment, on_error)
        super().__init__(*args, features=features, megabytes=None if keep else 0)

    @staticmethod
    def validate(spec_augment: object, features: str, keep: bool) -> Iterator[Problem]:
        """Refuse masks over features that the worker does not compute, and keeping them."""
        yield from _FromFiles._errors(spec_augment, features, keep=keep)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample, as :class:`SpokenCaptions`, with its ``latent`` and whether it is ``active``."""
        latent, active = split_name(self.records[index].uttid)
        return super().__getitem__(index) | {"latent": int(latent), "active": active}

    def leave_out_active(self) -> int:
        """Remove, in place, captions that were collected for edited images (active_learning.py); return how many."""
        kept = [record for record in self.records if not split_name(record.uttid)[1]]
        number = len(self.records) - len(kept)
        self.records = Records(kept)
        self._kept = DecodedCache(self.megabytes)  # the rows have other numbers now
        self._image_ids = None
        return number


class PlacesHDF5(SpokenCaptions):
    """The HDF5 pair of a Places manifest: encoded images and ready log-mels.

    ``melspec_len`` holds integers, or floats of 32 or 64 bits each of which is exactly a whole number.

    Args:
        manifest: JSON with ``audio_hdf5_path`` and ``image_hdf5_path``, with the rows of the manifest or without.
        image: Cut and size of images; None for samples without images.
        train: As in :class:`PlacesFiles`; so are the rest.
        max_frames: Longer captions are cut.
        window: Frames kept in training.
        spec_augment: Masks drawn over training spectrograms.
        on_error: Action of a loader at a sample that cannot be decoded.
        texts: Places JSON with the rows, when ``manifest`` (as published) names only the pair.

    Raises:
        ManifestError: A file is missing or no HDF5, lacks its datasets, or the lengths differ.
    """

    def __init__(
        self,
        manifest: Path,
        image: ImageTransform | None,
        train: bool,
        max_frames: Frames | None = None,
        window: Window = "first",
        spec_augment: SpecAugment | None = None,
        on_error: OnError = "error",
        texts: Path | None = None,
    ) -> None:
        pair = read_places(manifest, need="hdf5")
        rows = read_places(texts).records if texts is not None else pair.records
        self._state = check_pair(pair.path, pair.audio_hdf5, pair.image_hdf5, len(rows) if rows else None)
        count = self._state[0]
        records = rows or Records(SpokenCaption(uttid=str(row)) for row in range(count))
        super().__init__(records, pair.path, image, train, max_frames, window, spec_augment, on_error)
        self._paths = {"audio": pair.audio_hdf5, "image": pair.image_hdf5}
        self._open: dict[tuple[int, str], h5py.File] = {}

    def lengths(self) -> np.ndarray:
        """Return the frames of every row before cutting, (n,) int64; 0 for those that cannot be."""
        file = self._file("audio")
        frames = tried(f"{file.filename}: melspec_len", lambda: file["melspec_len"][:])
        usable = (frames >= 1) & (frames <= file["melspec"].shape[2]) & (frames == np.floor(frames))
        return np.where(usable, frames, 0).astype(np.int64)

    def digest(self) -> str:
        """Return number and digest of the rows, and what distinguishes this pair of files from others."""
        return f"{super().digest()} in a pair with digest {self._state[1] or self._sampled()}"

    def files(self) -> None:
        """Return None: the digest has the content of the pair."""

    def _sampled(self) -> str:
        """Return a digest of all lengths and some rows, for published pairs, which have no identity."""
        audio, images = self._file("audio"), self._file("image")["image"]
        rows = np.unique(np.linspace(0, len(images) - 1, SAMPLED).astype(int))
        read = (
            tried(f"{self.source}: row {row}", partial(data.__getitem__, row))
            for row in rows
            for data in (audio["melspec"], images)
        )
        return digest([audio["melspec_len"][:].tobytes(), *(np.asarray(values).tobytes() for values in read)])

    def cut_at(self) -> int:
        """Return the frames that longer captions are cut to: the file's width, which cut them before, or fewer."""
        width = self._file("audio")["melspec"].shape[2]
        return width if self.max_frames is None else min(width, self.max_frames)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}}

    def _file(self, kind: str) -> h5py.File:
        """Return the open file of this very process: HDF5 handles do not survive a fork."""
        key = (os.getpid(), kind)
        if key not in self._open:
            file = opened(self._paths[kind], {"audio": AUDIO, "image": IMAGE}[kind], self.source)
            if state_of(file) != self._state:
                raise ManifestError(
                    f"{self._paths[kind]}: was written anew since this run began: it had {self._state[0]} rows and has "
                    f"{state_of(file)[0]}, which may be others now; start the run again"
                )
            self._open[key] = file
        return self._open[key]

    def _image(self, index: int) -> Image.Image:
        name, content = self._encoded_image(index)
        return read_image(content, name)

    def _image_bytes(self, index: int) -> bytes:
        return np.asarray(self._encoded_image(index)[1]).tobytes()

    def _encoded_image(self, index: int) -> tuple[str, np.ndarray]:
        """Return an image's name in errors, and its bytes."""
        name = f"{self._paths['image']} image[{index}]"
        return name, tried(name, lambda: self._file("image")["image"][index], UserError)

    def _speech(self, index: int) -> Sample:
        name = f"{self._paths['audio']} melspec[{index}]"
        file = self._file("audio")
        frames, width = tried(name, lambda: file["melspec_len"][index], UserError), file["melspec"].shape[2]
        if not 1 <= frames <= width or frames != int(frames):
            raise UserError(
                f"{name}: melspec_len is {frames}, expected a whole number from 1 to {width}; make the file again"
            )
        with np.errstate(over="ignore"):  # doubles beyond single precision become infinite, which is reported below
            mel = tried(name, lambda: file["melspec"][index], UserError)[:, : int(frames)]
            mel = mel.astype(np.float32, order="C")
        if not np.isfinite(mel).all():
            raise UserError(f"{name}: holds NaN or infinite values; make the file again")
        if mel.min() == mel.max():  # the published writers leave zeros where decoding failed; silence is as constant
            raise UserError(
                f"{name}: holds nothing but {mel.flat[0]:g}, silence or a recording that could not be decoded when the "
                "file was made; make it again without that row"
            )
        low, high = float(mel.min()), float(mel.max())
        if max(-low, high) > FARTHEST or (low >= 0 and high - low <= NARROWEST):
            raise UserError(
                f"{name}: holds values from {low:g} to {high:g}, expected log-mels in decibels, at most {FARTHEST} "
                f"from 0 and more than {NARROWEST} apart; take 10 log10 of powers and make the file again"
            )
        return self._finished(torch.from_numpy(mel), name)
