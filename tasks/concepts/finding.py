"""What a part of the table finds of a word: what stands for it, how well that fits, and what it causes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np


class Fit(NamedTuple):
    """How well something stands for a word, beside chance; 0-1."""

    value: float
    chance: float


@dataclass(frozen=True)
class Finding:
    """Keep what stands for a word in one system.

    Attributes:
        what: it is, in words, such as "code 17 of quant3".
        fit: by the measure that its part names.
        effect: of each seed, share of its cases, 0-1; NaN where there is none.
        control: the same of what is as large but has nothing to do with the word.
        cases: of all seeds.
    """

    what: str
    fit: Fit
    effect: Sequence[float]
    control: Sequence[float]
    cases: int

    @property
    def mean(self) -> float:
        """Return the mean effect of the seeds that have cases; NaN where none has."""
        return _mean(self.effect)

    @property
    def spread(self) -> float:
        """Return the standard deviation of the effect over seeds; NaN with fewer than two."""
        return _spread(self.effect)

    @property
    def control_mean(self) -> float:
        """Return the mean of the control."""
        return _mean(self.control)

    @property
    def control_spread(self) -> float:
        """Return the standard deviation of the control over seeds."""
        return _spread(self.control)

    @property
    def causes(self) -> bool:
        """Return whether the effect is above the control in every seed, and on average twice as large at least."""
        pairs = [(a, b) for a, b in zip(self.effect, self.control, strict=True) if a == a and b == b]
        return bool(pairs) and all(a > b for a, b in pairs) and self.mean >= 2 * self.control_mean


def plain(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON has it: NaN is null."""
    return {key: _null(value) for key, value in asdict(finding).items()}


def finding_of(values: Mapping[str, Any]) -> Finding:
    """Return the finding that :func:`plain` was given."""
    what, fit, effect, control, cases = (values[name] for name in ("what", "fit", "effect", "control", "cases"))
    return Finding(what, Fit(*_nan(fit)), _nan(effect), _nan(control), cases)


class Part(Protocol):
    """One system's part of the table."""

    title: str  # heading of its columns
    fit_name: str  # such as "F1"
    effect_name: str  # such as "vanishes"

    def protocol(self) -> str:
        """Return in one paragraph what was done and counted."""
        ...

    def measure(self, words: Sequence[str], seeds: Sequence[int], dry_run: bool) -> Mapping[str, Finding]:
        """Return findings of those words that the system has; a dry run takes as few cases as it can."""
        ...


def _null(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_null(one) for one in value]
    return None if value != value else value


def _nan(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _mean(values: Sequence[float]) -> float:
    there = [value for value in values if value == value]
    return float(np.mean(there)) if there else float("nan")


def _spread(values: Sequence[float]) -> float:
    there = [value for value in values if value == value]
    return float(np.std(there, ddof=1)) if len(there) > 1 else float("nan")
