"""Numbers as people and files want them."""

import math


def number(value: float) -> str:
    """Format ``value`` for reading: three significant digits, thousands kept whole."""
    if not math.isfinite(value):
        return "—"
    if value == round(value) and abs(value) < 1e6:
        return f"{value:.0f}"
    if abs(value) < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def rounded(value: float, digits: int = 6) -> float:
    """Return a metric as readers want it: with so many significant ``digits``; a whole ``value`` stays as it is."""
    return value if not math.isfinite(value) or value == int(value) else float(f"{value:.{digits}g}")
