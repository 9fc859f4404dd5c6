"""The splits of a job with their loaders, and what could not be used of them: what every ``data`` node shares."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from datasets.loading.loader import Loader
from datasets.loading.rows import TrainingRows
from datasets.loading.skipped import Skipped, SkippedFile

Split = Literal["validation", "test"]


class SplitLoaders:
    """Training, validation and perhaps test rows, each with its loader.

    Args:
        loader: of a split, given its name, its dataset's node and the rows of a global batch.
        train: dataset node of what is trained on.
        validation: dataset node of what chooses ``best.pt``.
        test: dataset node of what the final report is about; the validation rows when None.
        batch_size: rows in a global training batch, all processes together.
        evaluation_batch_size: rows at a time in evaluation; ``batch_size`` when None.

    Attributes:
        train_loader: of the training rows.
        loaders: of the others, by split.
    """

    def __init__(
        self,
        loader: Callable[[str, Callable[..., TrainingRows], int], Loader],
        train: Callable[..., TrainingRows],
        validation: Callable[..., TrainingRows],
        test: Callable[..., TrainingRows] | None,
        batch_size: int,
        evaluation_batch_size: int | None,
    ) -> None:
        self.batch_size = batch_size
        self.train_loader = loader("train", train, batch_size)
        size = evaluation_batch_size or batch_size
        self.loaders: dict[str, Loader] = {"validation": loader("validation", validation, size)}
        if test is not None:
            self.loaders["test"] = loader("test", test, size)

    @property
    def report_split(self) -> Split:
        """The split that the final report is about."""
        return "test" if "test" in self.loaders else "validation"

    def keep_skipped(self, path: Path) -> None:
        """List rows that cannot be used in a file as they are found (on every rank).

        Args:
            path: ``skipped.csv`` of the run.
        """
        file = SkippedFile(path)
        for split, loader in self._all.items():
            loader.on_skip = partial(file.add, split)

    @property
    def skipped(self) -> list[tuple[str, int, str]]:
        """What could not be used on this rank so far: split, row, reason."""
        return [(split, row, reason) for split, loader in self._all.items() for row, reason in loader.skipped.items()]

    def digests(self) -> dict[str, str]:
        """Number and digest of the rows of each split, by names such as ``training set``."""
        names = {"train": "training set", "validation": "validation set", "test": "test set"}
        return {names[split]: loader.dataset.digest() for split, loader in self._all.items()}

    def left_out(self, listed: list[Skipped], evaluated: int) -> dict[str, tuple[int, int]]:
        """How many samples were left out of how many, by split.

        Args:
            listed: ``skipped.csv`` of the run; it may still list rows that were mended since.
            evaluated: samples of the report's split that could be used.

        Returns:
            Those left out and all, by split.
        """
        counts = Counter(split for split, _, _ in listed)
        totals = {split: len(loader.dataset) for split, loader in self._all.items()}
        counts[self.report_split] = totals[self.report_split] - evaluated
        return {split: (counts[split], total) for split, total in totals.items()}

    @property
    def _all(self) -> dict[str, Loader]:
        return {"train": self.train_loader, **self.loaders}


def split_loader(
    split: str, node: Callable[..., TrainingRows], size: int, on_error: str, seed: int, **settings: Any
) -> Loader:
    """Build the dataset of a split and its loader.

    Args:
        split: its name; training rows are shuffled and augmented.
        node: its dataset, a ``train`` and an ``on_error`` short of being built.
        size: rows in a global batch.
        on_error: what is done with a row that cannot be decoded.
        seed: of order and augmentation.
        settings: further ones of :class:`datasets.loading.loader.Loader`.

    Returns:
        The loader.
    """
    dataset = node(train=split == "train", on_error=on_error)
    dataset.split = split
    return Loader(dataset, size, seed, split == "train", **settings)
