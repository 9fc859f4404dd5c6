"""The three splits of a speech-image job with their loaders: one node of a config."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from config import Deferred, Problem
from config.limits import BatchSize, Frames, Workers
from datasets.loading.rows import OnError
from datasets.loading.splits import SplitLoaders
from datasets.spoken_captions.dataset import SpokenCaptions

Captions = Annotated[Callable[..., SpokenCaptions], Deferred("train", "on_error")]
Node = Mapping[str, Any]


class SpeechImageData(SplitLoaders):
    """Pairs to train on, to choose the best checkpoint by, and to report on.

    Args:
        train: dataset node of the training pairs.
        validation: dataset node of the pairs that choose ``best.pt``.
        batch_size: pairs in a global training batch, all processes together.
        test: dataset node of the held-out pairs that the final report is about; the validation pairs when None.
        evaluation_batch_size: pairs encoded at a time in evaluation; ``batch_size`` when None.
        workers: loading processes of each rank; 0 loads in the training process.
        target_length: frames that spectrograms are padded to with 0 dB, as published; None pads to the longest of the
            batch.
        evaluation_target_length: the same for validation and test, whose captions may be kept longer than those of
            training; ``target_length`` when None.
        bucket: put captions of like length into the same training batch.
        prefetch: batches that each worker loads ahead.
        on_error: ``error`` stops at a sample that cannot be decoded, ``skip`` leaves it out, counts and lists it;
            training then takes another row instead, none that is in the batch already.
        seed: of order and augmentation, given by main.
        rank: given by main.
        world_size: given by main.
        pin_memory: given by main.
    """

    def __init__(
        self,
        train: Captions,
        validation: Captions,
        batch_size: BatchSize,
        test: Captions | None = None,
        evaluation_batch_size: BatchSize | None = None,
        workers: Workers = 0,
        target_length: Frames | None = None,
        evaluation_target_length: Frames | None = None,
        bucket: bool = False,
        prefetch: Annotated[int, Field(gt=0, le=1000)] = 2,
        on_error: OnError = "error",
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        pin_memory: bool = False,
    ) -> None:
        self.target_length = target_length
        self.evaluation_target_length = evaluation_target_length or target_length
        super().__init__(
            train, validation, test, batch_size, evaluation_batch_size, on_error, seed,
            (target_length, self.evaluation_target_length), workers=workers, rank=rank, world=world_size,
            bucket=bucket, prefetch=prefetch, pin_memory=pin_memory,
        )  # fmt: skip

    @staticmethod
    def validate(
        train: Node,
        validation: Node,
        test: Node | None,
        target_length: int | None,
        evaluation_target_length: int | None = None,
    ) -> Iterator[Problem]:
        """Refuse datasets whose captions may be longer than what they are padded to (nodes as the config has them)."""
        yield from _too_long({"train": train}, "target_length", target_length)
        name = "target_length" if evaluation_target_length is None else "evaluation_target_length"
        length = target_length if evaluation_target_length is None else evaluation_target_length
        yield from _too_long({"validation": validation, "test": test}, name, length)


class HeldOut(SpeechImageData):
    """One set of pairs to evaluate on, for jobs that do not train.

    Args:
        pairs: dataset node.
        batch_size: pairs encoded at a time.
        workers: as in :class:`SpeechImageData`; so are the rest.
        target_length: frames that spectrograms are padded to.
        on_error: action at a sample that cannot be decoded.
        seed: given by main.
        rank: given by main.
        world_size: given by main.
        pin_memory: given by main.
    """

    def __init__(
        self,
        pairs: Captions,
        batch_size: BatchSize,
        workers: Workers = 0,
        target_length: Frames | None = None,
        on_error: OnError = "error",
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        pin_memory: bool = False,
    ) -> None:
        super().__init__(
            pairs, pairs, batch_size, workers=workers, target_length=target_length, on_error=on_error, seed=seed,
            rank=rank, world_size=world_size, pin_memory=pin_memory,
        )  # fmt: skip

    @staticmethod
    def validate(pairs: Node, target_length: int | None) -> Iterator[Problem]:
        """Refuse a dataset whose captions may be longer than what they are padded to."""
        yield from _too_long({"pairs": pairs}, "target_length", target_length)


def _too_long(nodes: Mapping[str, Node | None], key: str, length: int | None) -> Iterator[Problem]:
    """Yield the error of each dataset whose captions may be longer than ``length``, the value of ``key``."""
    for name, node in nodes.items():
        if length is None or "max_frames" not in (node or {}):
            continue
        longest = node["max_frames"]
        if longest is None or longest > length:
            found = "null" if longest is None else longest
            yield f"{name}.max_frames", f"found {found}, expected at most {key}, {length} frames"
