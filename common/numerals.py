"""Whole numbers that stand in files as text: ids, counts, positions."""

LONGEST = 18  # digits; fits 64 bits


def is_whole_number(text: str) -> bool:
    """Whether ``int`` gives a number of at least 0 that fits 64 bits.

    Args:
        text: as read; ``str.isdigit`` would also take characters such as ``²``, at which ``int`` fails.
    """
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST
