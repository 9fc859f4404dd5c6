"""Compares results that are mappings and lists, as a case's JSON stores them."""

import math
from typing import Any

Number = int | float


def nested_fraction(result: Any, expected: Any, rtol: float, atol: float) -> tuple[float | None, str]:
    """Largest error of any number as a fraction of its tolerance ``atol + rtol * |expected|``; at most 1 is right.

    Texts, whole numbers, keys and lengths must be equal.

    Args:
        result: What was computed, or None when it is missing.
        expected: What the case stores.
        rtol: Relative tolerance.
        atol: Absolute tolerance.

    Returns:
        The fraction, None when the two cannot be compared, and a remark that says where.
    """
    return (None, "missing") if result is None else _compared(result, expected, rtol, atol, "")


def _compared(result: Any, expected: Any, rtol: float, atol: float, path_of_key: str) -> tuple[float | None, str]:
    if isinstance(expected, dict) and isinstance(result, dict):
        if result.keys() != expected.keys():
            return None, f"{path_of_key}: keys {sorted(result.keys() ^ expected.keys())[:5]} are on one side only"
        return _worst(_compared(result[key], expected[key], rtol, atol, f"{path_of_key}/{key}") for key in expected)
    if isinstance(expected, list) and isinstance(result, list):
        if len(result) != len(expected):
            return None, f"{path_of_key}: {len(result)} entries, expected {len(expected)}"
        pairs = enumerate(zip(result, expected, strict=True))
        return _worst(_compared(one, other, rtol, atol, f"{path_of_key}/{at}") for at, (one, other) in pairs)
    numbers = all(isinstance(value, Number) and not isinstance(value, bool) for value in (result, expected))
    if numbers and float in (type(result), type(expected)):
        error = abs(result - expected) / (atol + rtol * abs(expected))
        return (None, f"{path_of_key}: {result}, expected {expected}") if math.isnan(error) else (error, path_of_key)
    return (0.0, "") if result == expected else (None, f"{path_of_key}: {result!r}, expected {expected!r}")


def _worst(found: Any) -> tuple[float | None, str]:
    """The largest fraction of all, or the first that could not be compared."""
    worst: tuple[float | None, str] = (0.0, "")
    for value, remark in found:
        if value is None:
            return None, remark
        worst = max(worst, (value, remark)) if value else worst
    return worst
