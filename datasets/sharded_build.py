"""What a folder of prepared data was made of: a small JSON inside it says the settings, and whether it is complete.

For data that are made once and found again: worlds, renders, synthetic captions.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import UserError


def read_state(path: Path, error: type[UserError], remedy: str) -> dict[str, Any]:
    """Read such a JSON.

    Args:
        path: the file.
        error: what is raised.
        remedy: what to do then.

    Returns:
        A mapping with at least ``settings`` and ``complete``.

    Raises:
        error: the file is missing, damaged, or something else.
    """
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(state, dict) and {"settings", "complete"} <= state.keys():
            return state
    except (OSError, ValueError):
        pass
    raise error(f"{path} is missing or cannot be read: {remedy}")


def differences(found: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """Tell how what a folder holds differs from what is asked for, "" where it does not.

    Args:
        found: settings as read.
        asked: settings of plain values; others in ``found`` do not count.

    Returns:
        One sentence part for each setting that differs.
    """
    asked = json.loads(json.dumps(asked))
    return "; ".join(
        f"{name} is {found.get(name)} there, {value} asked for"
        for name, value in asked.items()
        if found.get(name) != value
    )
