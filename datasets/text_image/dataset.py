"""A dataset of images with written captions: each image at the resolutions of a generator's stages, and one caption.

taoxugit/AttnGAN ``code/datasets.py``: birds are cut out around their box, images scaled to 76 / 64 of the largest
resolution, a random square of it taken and mirrored in training. A sample is a dict: ``image_R`` for each resolution R,
(3, R, R) float32 in [-1, 1]; ``tokens`` (T,) int64 padded with 0 and ``ntokens``; ``class`` and ``index`` int.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from common.errors import UserError
from config.limits import Count, Resolution
from datasets.crops import centre_crop, random_crop, random_mirror, resize_shorter
from datasets.digests import rows_digest
from datasets.image_ids import ImageIds
from datasets.images import read_image
from datasets.loading.rows import OnError, unusable_row
from datasets.text_image.files import Split, read_split

MARGIN = 76 / 64  # of the scaled image over the square that is cut from it
HALF_OF_BOX = 0.75  # half the edge of a bird's square, as a share of its box's longer edge


class CaptionedImages(Dataset):
    """Images and captions of one split.

    Args:
        folder: of the data (datasets/text_image/files.py).
        split: train or test.
        train: draw the square, the mirror, the caption and, of long captions, the words; otherwise the middle, the
            first caption and its first words.
        resolutions: of the images, pixels, the largest last.
        captions_per_image: 10 of birds, 5 of COCO.
        max_words: of a caption; longer ones keep so many of their words, in order.
        on_error: action of a loader at an image that cannot be decoded: stop, or skip, count and list it.

    Attributes:
        source: the file of the names, for messages.
        split: what its owner calls it, "" until it says so.
        skipped: rows left out so far, and why.
        vocabulary: of the tokens.

    Raises:
        ManifestError: see :func:`datasets.text_image.files.read_split`.
        ValueError: the resolutions do not rise.
    """

    def __init__(
        self,
        folder: Path,
        split: Split,
        train: bool,
        resolutions: Sequence[Resolution] = (64, 128, 256),
        captions_per_image: Count = 10,
        max_words: Count = 18,
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
        self.vocabulary = self.content.vocabulary
        self._image_ids = ImageIds(len(self), self._image_bytes)

    def __len__(self) -> int:
        return len(self.content.names)

    def digest(self) -> str:
        """Return number and digest of the images' names and all their captions."""
        captions = (self.content.captions[i].tobytes() for i in range(len(self.content.captions)))
        return rows_digest(chain(self.content.names, captions), len(self))

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
        return self.content.captions[index * self.content.captions_per_image + number]

    def stored_image(self, index: int) -> Image.Image:
        """Return an image as it is (RGB), but for birds cut out around their box.

        Raises SampleError where it cannot be decoded, or its box lies outside.
        """
        name = self.content.names[index]
        try:
            image = read_image(self.content.images / f"{name}.jpg")
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
        return image.crop(square)

    def image_ids(self, rows: Sequence[int]) -> np.ndarray:
        """Return numbers (n,) int64 of some rows' images, equal where the files have the same bytes.

        Raises SampleError where an image cannot be read.
        """
        return self._image_ids.of(rows)

    def _image_bytes(self, index: int) -> bytes:
        name = self.content.names[index]
        path = self.content.images / f"{name}.jpg"
        try:
            return path.read_bytes()
        except OSError as error:
            raise unusable_row(self, index, name, f"{path}: cannot be read ({error.strerror})") from error

    def _images(self, index: int) -> dict[int, Tensor]:
        """Return the images by resolution."""
        largest = self.resolutions[-1]
        image = resize_shorter(self.stored_image(index), int(largest * MARGIN))
        image = random_mirror(random_crop(image, largest)) if self.train else centre_crop(image, largest)
        scaled = (
            image if resolution == largest else resize_shorter(image, resolution) for resolution in self.resolutions
        )
        return {resolution: _in_range(one) for resolution, one in zip(self.resolutions, scaled, strict=True)}

    def _caption(self, index: int) -> tuple[Tensor, int]:
        number = int(torch.randint(self.content.captions_per_image, ())) if self.train else 0
        words = torch.from_numpy(self.caption(index, number).astype(np.int64))
        if len(words) > self.max_words:
            kept = torch.randperm(len(words))[: self.max_words].sort().values if self.train else slice(self.max_words)
            words = words[kept]
        tokens = torch.zeros(self.max_words, dtype=torch.int64)
        tokens[: len(words)] = words
        return tokens, len(words)


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
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1
