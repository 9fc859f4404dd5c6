"""Samples that a run with ``data.on_error=skip`` left out: numbers of metrics.json, and a text for people."""

from collections.abc import Mapping

from evaluation.report.parts.labels import SPLITS

LEFT_OUT, LISTED = "left_out_", "samples_"


def left_out_metrics(left_out: Mapping[str, tuple[int, int]]) -> dict[str, float]:
    """Return the entries of ``metrics.json`` that say how many samples could not be used.

    ``left_out`` is split -> samples left out, and samples of the split with them; the entries ``left_out_SPLIT`` and
    ``samples_SPLIT`` are of each split that lacks any.
    """
    return {
        name: float(value)
        for split, counts in left_out.items()
        if counts[0]
        for name, value in zip((LEFT_OUT + split, LISTED + split), counts, strict=True)
    }


def left_out_names(metrics: Mapping[str, float]) -> list[str]:
    """Return the names of those entries among ``metrics``."""
    splits = [split for split in SPLITS if {LEFT_OUT + split, LISTED + split} <= metrics.keys()]
    return [head + split for split in splits for head in (LEFT_OUT, LISTED)]


def left_out_text(metrics: Mapping[str, float]) -> str:
    """Return the entries of :func:`left_out_metrics` among ``metrics`` as text, "" where nothing was left out.

    It is such as ``7 of 30 training samples and 1 of 4 test samples``.
    """
    names = left_out_names(metrics)
    return " and ".join(
        f"{metrics[few]:.0f} of {metrics[all_]:.0f} {SPLITS[few.removeprefix(LEFT_OUT)]} samples"
        for few, all_ in zip(names[::2], names[1::2], strict=True)
    )
