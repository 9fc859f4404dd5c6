"""Which sizes of batches fit a dataset and the number of processes, and what to say of those that serve badly."""

from common.errors import TooFewRowsError
from datasets.loading.rows import TrainingRows


def uneven_share(batch_size: int, processes: int) -> str | None:
    """What to say of a global batch that the processes cannot share evenly.

    Args:
        batch_size: Of all processes together.
        processes: Their number.

    Returns:
        What was found and what was expected; None where each gets as much.
    """
    if batch_size % processes == 0:
        return None
    return f"found {batch_size} for {processes} processes, which share a batch; expected a multiple of {processes}"


def check_sizes(
    dataset: TrainingRows,
    batch_size: int,
    train: bool,
    rank: int,
    world: int,
    target_length: int | None,
    pad_multiple: int,
) -> None:
    """Refuses sizes that do not fit together.

    Args:
        dataset: What is loaded.
        batch_size: Of the global batch.
        train: Whether it is trained on.
        rank: Of this process.
        world: Number of processes.
        target_length: Frames that spectrograms are padded to, or None.
        pad_multiple: What padded lengths are a multiple of.

    Raises:
        ValueError: Sizes that do not fit together.
        TooFewRowsError: The dataset is empty, or has fewer training rows than there are processes.
    """
    if len(dataset) == 0:
        raise TooFewRowsError("the dataset is empty, expected at least one row; look at the manifest")
    if batch_size < 1 or pad_multiple < 1 or not 0 <= rank < world:
        raise ValueError(
            f"batch_size {batch_size}, pad_multiple {pad_multiple}, rank {rank} of {world}: expected sizes from 1 on "
            "and a rank below the number of processes"
        )
    if train and (uneven := uneven_share(batch_size, world)):
        raise ValueError(f"batch_size: {uneven}")
    if train and len(dataset) < world:
        raise TooFewRowsError(
            f"{len(dataset)} training rows for {world} processes; expected at least one row each: give more rows, or "
            "fewer processes with launch.processes"
        )
    if target_length is not None and (dataset.max_frames is None or dataset.max_frames > target_length):
        raise ValueError(
            f"target_length is {target_length} frames while the dataset's max_frames is {dataset.max_frames}; "
            "expected max_frames up to target_length, so that every caption fits"
        )


def small_set(dataset: TrainingRows, batch_size: int, used: int, world: int) -> str | None:
    """What to warn of where a training set does not fill one batch.

    Args:
        dataset: What is trained on.
        batch_size: Of the global batch, as asked for.
        used: Samples in the one batch that can be made.
        world: Number of processes.

    Returns:
        What was found, what comes of it and what to do; None where there is at least one whole batch.
    """
    count = len(dataset)
    if count >= batch_size:
        return None
    smaller = max(count // 4, 2, world) // world * world
    steps = count // smaller
    way_out = f"data.batch_size={smaller} ({steps} steps an epoch) or more pairs" if steps > 1 else "more pairs"
    return (
        f"{dataset.source} lists {count} pairs to train on, expected at least data.batch_size={batch_size}: every "
        f"epoch is one step with a batch of {used}, so there is little training; give {way_out}"
    )
