"""Dialogues to train, choose and report on: one node of a config."""

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from common.errors import UserError
from config import Deferred
from config.limits import BatchSize, Workers
from datasets.dialogue.dataset import DialogueRows
from datasets.loading.rows import OnError
from datasets.loading.splits import SplitLoaders

Rows = Annotated[Callable[..., DialogueRows], Deferred("train", "on_error")]


class DialogueData(SplitLoaders):
    """Turns or dialogues of several files.

    Args:
        train: dataset node of the training rows.
        validation: dataset node of the rows that choose ``best.pt``.
        batch_size: rows in a global training batch, all processes together.
        test: dataset node of what the final report is about; the validation rows when None.
        evaluation_batch_size: rows at a time in evaluation; ``batch_size`` when None.
        workers: loading processes of each rank; 0 loads in the training process.
        prefetch: batches that each worker loads ahead.
        on_error: ``error`` stops at a row that cannot be read, ``skip`` leaves it out, counts and lists it.
        seed: of order, given by main.
        rank: given by main.
        world_size: given by main.
        pin_memory: given by main.

    Raises:
        UserError: the splits have other classes of objects, or embeddings of other sizes.
    """

    def __init__(
        self,
        train: Rows,
        validation: Rows,
        batch_size: BatchSize,
        test: Rows | None = None,
        evaluation_batch_size: BatchSize | None = None,
        workers: Workers = 0,
        prefetch: Annotated[int, Field(gt=0, le=1000)] = 2,
        on_error: OnError = "error",
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        pin_memory: bool = False,
    ) -> None:
        super().__init__(
            train, validation, test, batch_size, evaluation_batch_size, on_error, seed,
            workers=workers, rank=rank, world=world_size, prefetch=prefetch, pin_memory=pin_memory,
        )  # fmt: skip
        for split, other in self.loaders.items():
            found, expected = _sizes(other.dataset), _sizes(self.train_loader.dataset)
            if found != expected:
                raise UserError(
                    f"the {split} split, {other.dataset.source}, has {_told(found)}, the training split "
                    f"{_told(expected)}; expected splits of one data set, embedded by one encoder"
                )

    @property
    def num_objects(self) -> int:
        """K, classes of objects."""
        return self.train_loader.dataset.dialogues.num_objects

    @property
    def num_coords(self) -> int:
        """C, coordinates of an object."""
        return self.train_loader.dataset.dialogues.num_coords

    @property
    def text_dim(self) -> int:
        """D, size of the embeddings.

        Raises UserError where there are none.
        """
        embeddings = self.train_loader.dataset.embeddings
        if embeddings is None:
            raise UserError("data.train has no embeddings: give the HDF5 file of its instructions' embeddings")
        return embeddings.text_dim


def _sizes(dataset: DialogueRows) -> tuple[int, int, int | None]:
    text_dim = None if dataset.embeddings is None else dataset.embeddings.text_dim
    return dataset.dialogues.num_objects, dataset.dialogues.num_coords, text_dim


def _told(sizes: tuple[int, int, int | None]) -> str:
    classes, coords, text_dim = sizes
    embeddings = "no embeddings" if text_dim is None else f"embeddings of {text_dim} numbers"
    return f"{classes} classes with {coords} coordinates and {embeddings}"
