"""A dataset of images with written captions: each image at the resolutions of a generator's stages, and one caption.

taoxugit/AttnGAN ``code/datasets.py``: birds are cut out around their box, images scaled to 76 / 64 of the largest
resolution, a random square of it taken and mirrored in training. A sample is a dict: ``image_R`` for each resolution R,
(3, R, R) float32 in [-1, 1]; ``tokens`` (T,) int64 padded with 0 and ``ntokens``; ``class`` and ``index`` int.
"""

import contextlib
import logging
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from common.errors import UserError
from config.limits import Count, CountOrZero, Resolution
from datasets.crops import centre_crop, random_crop, random_mirror, resize_shorter
from datasets.decoded_cache import DecodedCache
from datasets.digests import rows_digest
from datasets.image_ids import ImageIds
from datasets.images import ImageError, narrow, read_image, read_image_bytes
from datasets.loading.rows import ManifestError, OnError, unusable_row
from datasets.text_image.files import SplitName, read_split

log = logging.getLogger(__name__)

MARGIN = 76 / 64  # of the scaled image over the square that is cut from it
HALF_OF_BOX = 0.75  # half the edge of a bird's square, as a share of its box's longer edge
TINY = 1 / 4  # of the largest resolution: an image with a shorter edge has hardly anything to show there
LOOKED_AT = 500  # images whose size is looked at, evenly spread over the split


class CaptionedImages(Dataset):
    """Images and captions of one split.

    Args:
        folder: of the data (datasets/text_image/files.py): AttnGAN's, or own images with captions.
        split: train or test, or another name of which the folder holds a list or a folder.
        train: draw the square, the mirror, the caption and, of long captions, the words; otherwise the middle, the
            first caption and its first words.
        resolutions: of the images, pixels, the largest last.
        captions_per_image: of published data exactly, 10 of birds and 5 of COCO when None; of own images the first so
            many count, all when None.
        max_words: of a caption; longer ones keep so many of their words, in order.
        caption_choice: which caption of an image a sample has: the first, one that is drawn anew in each epoch, or the
            one of this number, counted from 0. None: drawn in training, otherwise the first.
        margin: edge of the scaled image over that of the square which is cut from it; 1 takes all of a square image.
        mirror: whether half of the training images are mirrored; captions that say left or right become wrong by it.
        keep_mb: megabytes of decoded images that each loading process keeps instead of reading their files again.
        on_error: action of a loader at an image that cannot be decoded: stop, or skip, count and list it.

    Attributes:
        source: the file or folder that lists the images, for messages.
        split: what its owner calls it, "" until it says so.
        skipped: rows left out so far, and why.
        vocabulary: of the tokens.

    Raises:
        ManifestError: see :func:`datasets.text_image.files.read_split`; or an image lacks the chosen caption.
        VocabularyError: the folder's vocabulary does not fit the captions.
        ValueError: the resolutions do not rise.
    """

    def __init__(
        self,
        folder: Path,
        split: SplitName,
        train: bool,
        resolutions: Sequence[Resolution] = (64, 128, 256),
        captions_per_image: Count | None = None,
        max_words: Count = 18,
        caption_choice: Literal["first", "drawn"] | CountOrZero | None = None,
        margin: Annotated[float, Field(ge=1, le=2)] = MARGIN,
        mirror: bool = True,
        keep_mb: CountOrZero = 0,
        on_error: OnError = "error",
    ) -> None:
        if not resolutions or list(resolutions) != sorted(set(resolutions)):
            raise ValueError(
                f"resolutions is {list(resolutions)}, expected rising resolutions in pixels such as 64, 128, 256"
            )
        self.content = read_split(folder, split, captions_per_image)
        self.source, self.split, self.on_error = self.content.source, "", on_error
        self.skipped: dict[int, str] = {}
        self.train, self.resolutions, self.max_words = train, list(resolutions), max_words
        self.margin, self.mirror = margin, mirror
        self.caption_choice = caption_choice if caption_choice is not None else "drawn" if train else "first"
        self.vocabulary = self.content.vocabulary
        self._image_ids = ImageIds(len(self), self._image_bytes)
        self._kept = DecodedCache(keep_mb)
        self._refuse_too_few()
        self._warn_of_tiny()

    def __len__(self) -> int:
        return len(self.content.names)

    def digest(self) -> str:
        """Return number and digest of the images' names and all their captions."""
        captions = (self.content.captions[i].tobytes() for i in range(len(self.content.captions)))
        return rows_digest(chain(self.content.names, captions), len(self))

    def files(self) -> Iterable[str]:
        """Return the paths of the images, in the order of the rows."""
        return (str(self.content.path(row)) for row in range(len(self)))

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read one sample; raise SampleError where its image cannot be used."""
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        tokens, count = self._caption(index)
        return {
            **{f"image_{resolution}": image for resolution, image in self._images(index).items()},
            "tokens": tokens,
            "ntokens": count,
            "class": int(self.content.classes[index]),
            "index": index,
        }

    def caption(self, index: int, number: int = 0) -> np.ndarray:
        """Return all words (n,) of caption ``number`` of an image, as numbers."""
        return self.content.captions[self._of(index, number)]

    def captions_of(self, index: int) -> list[np.ndarray]:
        """Return all captions of an image in order, each all its words (n,) as numbers."""
        return [self.content.captions[row] for row in self.content.numbers(index)]

    def text(self, index: int, number: int = 0) -> str:
        """Return caption ``number`` of an image as it was written; of published data its words."""
        row = self._of(index, number)
        if self.content.texts is None:
            return self.vocabulary.decode(self.content.captions[row])
        return self.content.texts[row]

    def padded(self, index: int, number: int = 0) -> tuple[Tensor, int]:
        """Return the first ``max_words`` words of a caption, padded (max_words,) int64, and their number."""
        return self._padded(self.caption(index, number)[: self.max_words])

    def class_name(self, index: int) -> str:
        """Return the name of an image's class, or its number where it has none."""
        names = self.content.class_names
        return str(self.content.classes[index]) if names is None else names[index]

    def _of(self, index: int, number: int) -> int:
        """Return the number among all captions of caption ``number`` of an image."""
        own = self.content.numbers(index)
        if not 0 <= number < len(own):
            raise IndexError(f"caption {number} of {len(own)} of row {index}")
        return own[number]

    def stored_image(self, index: int) -> Image.Image:
        """Return an image as it is (RGB), but for birds cut out around their box.

        Raises SampleError where it cannot be decoded, or its box lies outside.
        """
        name = self.content.names[index]
        try:
            image = read_image(self.content.path(index))
        except UserError as error:
            raise unusable_row(self, index, name, error) from error
        if self.content.boxes is None:
            return image
        square = around(self.content.boxes[index], image.size)
        if square[0] >= square[2] or square[1] >= square[3]:
            message = (
                f"its box {self.content.boxes[index].tolist()} lies outside its {image.size[0]} x {image.size[1]} "
                "pixels; mend bounding_boxes.txt"
            )
            raise unusable_row(self, index, name, message)
        cropped = image.crop(square)
        if problem := narrow(cropped.size):
            raise unusable_row(self, index, name, f"cut out around its box it {problem}")
        return cropped

    def image_ids(self, rows: Sequence[int]) -> np.ndarray:
        """Return numbers (n,) int64 of some rows' images, equal where the files have the same bytes.

        Raises SampleError where an image cannot be read.
        """
        return self._image_ids.of(rows)

    def _image_bytes(self, index: int) -> bytes:
        try:
            return read_image_bytes(self.content.path(index))
        except ImageError as error:
            raise unusable_row(self, index, self.content.names[index], str(error)) from error

    def _images(self, index: int) -> dict[int, Tensor]:
        """Return the images by resolution."""
        largest = self.resolutions[-1]
        image = self._kept.get("scaled", index, lambda: self._scaled(index))
        image = random_crop(image, largest) if self.train else centre_crop(image, largest)
        image = random_mirror(image) if self.train and self.mirror else image
        scaled = (
            image if resolution == largest else resize_shorter(image, resolution) for resolution in self.resolutions
        )
        return {resolution: _in_range(one) for resolution, one in zip(self.resolutions, scaled, strict=True)}

    def _scaled(self, index: int) -> Image.Image:
        """Return an image whose shorter edge is that of the square, and the margin around it."""
        return resize_shorter(self.stored_image(index), int(self.resolutions[-1] * self.margin))

    def _caption(self, index: int) -> tuple[Tensor, int]:
        own = self.content.numbers(index)
        if self.caption_choice == "drawn":
            number = int(torch.randint(len(own), ()))
        else:
            number = 0 if self.caption_choice == "first" else self.caption_choice
        words = self.content.captions[own[number]]
        if len(words) > self.max_words:
            kept = torch.randperm(len(words))[: self.max_words].sort().values if self.train else slice(self.max_words)
            words = words[kept]
        return self._padded(words)

    def _padded(self, words: np.ndarray) -> tuple[Tensor, int]:
        tokens = torch.zeros(self.max_words, dtype=torch.int64)
        tokens[: len(words)] = torch.from_numpy(words.astype(np.int64))
        return tokens, len(words)

    def _refuse_too_few(self) -> None:
        """Raise ManifestError where an image lacks the caption of the chosen number."""
        counts = np.diff(self.content.firsts)
        number = self.caption_choice
        if isinstance(number, int) and number >= counts.min():
            few = int(counts.argmin())
            raise ManifestError(
                f"caption_choice is {number}, but {self.content.names[few]} in {self.source} has captions from 0 to "
                f"{counts[few] - 1}; expected a number that every image has"
            )

    def _warn_of_tiny(self) -> None:
        """Log how many images are so small that scaled up they show hardly anything."""
        if self.content.boxes is not None:
            return
        rows = np.unique(np.linspace(0, len(self) - 1, min(len(self), LOOKED_AT)).astype(int)).tolist()
        largest = self.resolutions[-1]
        tiny = [row for row in rows if _shorter_edge(self.content.path(row)) < TINY * largest]
        if tiny:
            log.warning(
                "%s: of %d images that were looked at, %d have a shorter edge below a quarter of the %d pixels that "
                "they are scaled to, such as %s: they will be blurred; give larger images, or smaller resolutions",
                self.source, len(rows), len(tiny), largest, self.content.path(tiny[0]),
            )  # fmt: skip


def around(box: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the square (left, top, right, bottom) around a box (left, top, width, height), as published, in pixels.

    It is cut at the borders of an image of ``size`` (width, height).
    """
    left, top, width, height = (int(value) for value in box)
    half = int(max(width, height) * HALF_OF_BOX)
    x, y = (2 * left + width) // 2, (2 * top + height) // 2
    return max(0, x - half), max(0, y - half), min(size[0], x + half), min(size[1], y + half)


def _in_range(image: Image.Image) -> Tensor:
    """Return pixels (3, R, R) in [-1, 1]."""
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, 3)
    return pixels.permute(2, 0, 1).float().div_(127.5).sub_(1)


def _shorter_edge(path: Path) -> float:
    """Return the shorter edge of an image in pixels; infinity where its file says none, as its row will report."""
    with contextlib.suppress(Exception), Image.open(path) as image:  # decoders raise what they like
        return min(image.size)
    return float("inf")
