"""Define where a speech-image task's images come from: an image source; here the one that reads files.

Shape letters: b pairs of this rank, H0, W0 pixels.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from common.errors import UserError
from datasets.spoken_captions.dataset import SpokenCaptions
from datasets.spoken_captions.splits import SpeechImageData

Batch = dict[str, Any]


class ImageSource(Protocol):
    """Gives the images of a batch to the image encoder, to the report and to TensorBoard."""

    def check(self, data: SpeechImageData) -> None:
        """Raise a UserError where a dataset's images cannot be had."""

    def prepared(self, batch: Batch) -> Batch:
        """Return a training batch with what is made of it only once a step."""

    def images(self, batch: Batch) -> Tensor:
        """Return the images of a batch, prepared or not, on the device, (b, 3, H0, W0) normalised."""

    def image_u8(self, dataset: SpokenCaptions, row: int) -> np.ndarray:
        """Return the image of one row of a dataset as people see it, (H0, W0, 3) uint8."""

    def image_ids(self, dataset: SpokenCaptions, rows: Sequence[int]) -> Tensor:
        """Return numbers of some rows' images (n,) int64, equal for rows that show the same one."""

    def shown(self, batch: Batch) -> dict[str, np.ndarray]:
        """Return what TensorBoard shows of a prepared ``batch``: images (H0, W0, 3) uint8 by name."""

    def digests(self) -> dict[str, str]:
        """Return digests of what generates the images, by what it is; of files the data know their own."""


class FileImages:
    """Images that the datasets read from files; ``device`` is where the encoders are."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def check(self, data: SpeechImageData) -> None:
        """Refuse datasets that read no images."""
        for loader in (data.train_loader, *data.loaders.values()):
            if loader.dataset.image is None:
                raise UserError("data: a dataset has image: null, but this task looks at images; give size and resize")

    def prepared(self, batch: Batch) -> Batch:
        """Return the batch as it is."""
        return batch

    def images(self, batch: Batch) -> Tensor:
        """See :class:`ImageSource`."""
        return batch["image"].to(self.device, non_blocking=True)

    def image_u8(self, dataset: SpokenCaptions, row: int) -> np.ndarray:
        """See :class:`ImageSource`."""
        return dataset.image_u8(row)

    def image_ids(self, dataset: SpokenCaptions, rows: Sequence[int]) -> Tensor:
        """See :class:`ImageSource`; images are the same where the files have the same bytes."""
        return torch.from_numpy(dataset.image_ids(rows))

    def shown(self, batch: Batch) -> dict[str, np.ndarray]:  # noqa: ARG002  a generator's images differ
        """Return nothing: the examples of an evaluation show files."""
        return {}

    def digests(self) -> dict[str, str]:
        """Return nothing: the data have the digests of the files' names."""
        return {}
