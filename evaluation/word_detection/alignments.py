"""A check of the time alignment of an utterance's words."""

from collections.abc import Sequence

from evaluation.word_detection.counts import Word

SLACK = 0.01  # seconds: aligners round to frames of 10 ms


def alignment_error(words: Sequence[Word], duration: float, slack: float = SLACK) -> str | None:
    """Return the first error of an alignment (words that overlap, go back or pass the sound), None where all is well.

    ``words`` are (start, end, word), all times seconds; by ``slack``, which is rounding, they may overlap or pass the
    end.
    """
    before: Word | None = None
    for word in words:
        start, end, name = word
        if not 0 <= start <= end:  # NaN too
            return f"{name!r} is said to last from {start:g} s to {end:g} s, expected a start from 0 on and a later end"
        if before is not None and start < before[1] - slack:
            return (
                f"{name!r} begins at {start:g} s, before {before[2]!r} ends at {before[1]:g} s; expected words one "
                "after the other"
            )
        if end > duration + slack:
            return (
                f"{name!r} ends at {end:g} s, the sound at {duration:.2f} s; expected the alignment of this very sound "
                "(are the rows of the list those of the sounds?)"
            )
        before = word
    return None
