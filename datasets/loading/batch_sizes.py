"""The sizes of batches that fit a dataset and the number of processes, and messages about those that serve badly."""

from common.errors import TooFewRowsError
from datasets.loading.rows import TrainingRows


def uneven_share(batch_size: int, processes: int) -> str | None:
    """Return a message about a global batch that the processes cannot share evenly; None where they can."""
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
    """Refuse sizes that do not fit together (ValueError), and too few rows (TooFewRowsError).

    ``target_length`` is in frames, ``pad_multiple`` divides padded lengths.
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
    """Return a warning about a training set that does not fill one batch, of which ``used`` samples remain; or None."""
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
