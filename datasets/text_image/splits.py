"""Images with written captions to train, choose and report on: one node of a config."""

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from config import Deferred
from config.limits import BatchSize, Workers
from datasets.loading.rows import OnError
from datasets.loading.splits import SplitLoaders
from datasets.text_image.dataset import CaptionedImages
from datasets.text_image.vocabulary import Vocabulary, VocabularyError

Images = Annotated[Callable[..., CaptionedImages], Deferred("train", "on_error")]


class CaptionedData(SplitLoaders):
    """Pairs of an image and one of its captions.

    Args:
        train: dataset node of the training pairs.
        validation: dataset node of the pairs that choose ``best.pt``.
        batch_size: pairs in a global training batch, all processes together.
        test: dataset node of what the final report is about; the validation pairs when None.
        evaluation_batch_size: pairs at a time in evaluation; ``batch_size`` when None.
        workers: loading processes of each rank; 0 loads in the training process.
        prefetch: batches that each worker loads ahead.
        on_error: ``error`` stops at an image that cannot be decoded, ``skip`` leaves it out, counts and lists it.
        seed: of order and augmentation, given by main.
        rank: given by main.
        world_size: given by main.
        pin_memory: given by main.

    Raises:
        VocabularyError: the splits number their words differently.
    """

    def __init__(
        self,
        train: Images,
        validation: Images,
        batch_size: BatchSize,
        test: Images | None = None,
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
            if other.dataset.vocabulary.words != self.vocabulary.words:
                raise VocabularyError(
                    f"the {split} split, {other.dataset.source}, numbers its {len(other.dataset.vocabulary)} words "
                    f"otherwise than the training split its {len(self.vocabulary)}; expected splits of one folder"
                )

    @property
    def vocabulary(self) -> Vocabulary:
        """The words of all splits."""
        return self.train_loader.dataset.vocabulary
