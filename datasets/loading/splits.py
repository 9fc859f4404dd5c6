"""The splits of a job with their loaders, and the rows of them that could not be used: the base of ``data`` nodes."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datasets.digests import files_digest
from datasets.loading.loader import Loader
from datasets.loading.rows import OnError, SampleError, TrainingRows
from datasets.loading.skipped import Skipped, SkippedFile

log = logging.getLogger(__name__)
LOOK_SECONDS = 10.0  # for the rows that are evaluated, before a training
Split = Literal["validation", "test"]
Node = Callable[..., TrainingRows]  # a dataset, ``train`` and ``on_error`` short of being built


class SplitLoaders:
    """Training, validation and perhaps test rows, each with its loader; what is not named here is the loader's."""

    def __init__(
        self,
        train: Node,
        validation: Node,
        test: Node | None,
        batch_size: int,
        evaluation_batch_size: int | None,
        on_error: OnError,
        seed: int,
        target_lengths: tuple[int | None, int | None] = (None, None),  # of training, of the others
        **settings: Any,
    ) -> None:
        self.batch_size = batch_size

        def loader(split: str, node: Node) -> Loader:
            training = split == "train"
            dataset = node(train=training, on_error=on_error)
            dataset.split = split
            size = batch_size if training else evaluation_batch_size or batch_size
            length = target_lengths[0 if training else 1]
            return Loader(dataset, size, seed, training, target_length=length, **settings)

        self.train_loader = loader("train", train)
        self.loaders = {"validation": loader("validation", validation)}
        if test is not None:
            self.loaders["test"] = loader("test", test)

    @property
    def report_split(self) -> Split:
        """The split that the final report is about."""
        return "test" if "test" in self.loaders else "validation"

    def look_at_held_out(self, seconds: float = LOOK_SECONDS) -> None:
        """Read rows of validation and test, so that a broken file ends a run before its training and not after it.

        Each rank reads its share; where ``seconds`` do not allow all, as many as they do, spread over the split.
        Nothing is read with ``on_error`` "skip", for which a broken file is no end.

        Raises:
            SampleError: a row cannot be used.
        """
        end = time.monotonic() + seconds
        for split, loader in reversed(self.loaders.items()):
            if loader.dataset.on_error == "skip":
                continue
            own = np.random.default_rng(0).permutation(len(loader.dataset))[loader.rank :: loader.world].tolist()
            for looked_at, row in enumerate(own):
                if time.monotonic() > end:
                    log.info(
                        "%s: of %d rows %d were looked at; a file of the others that cannot be read is found when they "
                        "are evaluated", split, len(own), looked_at,
                    )  # fmt: skip
                    break
                try:
                    loader.dataset[row]
                except SampleError as error:
                    loader.note(error)

    def keep_skipped(self, path: Path) -> None:
        """List rows that cannot be used in ``skipped.csv`` of the run as they are found (on every rank)."""
        file = SkippedFile(path)
        for split, loader in self._all.items():
            loader.on_skip = partial(file.add, split)

    @property
    def skipped(self) -> list[tuple[str, int, str]]:
        """Rows that could not be used on this rank so far: split, row, reason."""
        return [(split, row, reason) for split, loader in self._all.items() for row, reason in loader.skipped.items()]

    def digests(self) -> dict[str, str]:
        """Return number and digest of the rows of each split, and of their files.

        The names are such as ``training set`` and ``files of the training set``.
        """
        found = {}
        for split, loader in self._all.items():
            name = f"{'training' if split == 'train' else split} set"
            found[name] = loader.dataset.digest()
            if (paths := loader.dataset.files()) is not None:
                found[f"files of the {name}"] = files_digest(paths)
        return found

    def left_out(self, listed: list[Skipped], evaluated: int) -> dict[str, tuple[int, int]]:
        """Return how many samples were left out of how many, by split.

        ``listed`` is ``skipped.csv`` of the run, which may still list rows that were mended since; ``evaluated``
        samples of the report's split could be used.
        """
        counts = Counter(split for split, _, _ in listed)
        totals = {split: len(loader.dataset) for split, loader in self._all.items()}
        counts[self.report_split] = totals[self.report_split] - evaluated
        return {split: (counts[split], total) for split, total in totals.items()}

    @property
    def _all(self) -> dict[str, Loader]:
        return {"train": self.train_loader, **self.loaders}
