"""Keep what a search of negatives has found so far, a line for each image, so that a stopped search goes on.

The first line says what the search was made from; a file of another search, or of another layout, is begun anew. The
result for an image depends on nothing but that and the image's id, so nothing else needs to be kept.
"""

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import torch

from common.errors import UserError
from common.files import append_whole, write_whole
from published.words_by_drawing.negatives import Negative
from tasks.words_by_drawing.experiments.scene_changes import Change

log = logging.getLogger(__name__)


class Found(NamedTuple):
    """A negative that was found, as it is stored, and what it changed."""

    negative: Negative
    change: Change


class Searched:
    """Negatives found by image, in memory and in a file that grows; ``made_from`` are plain values that decide them.

    A damaged file is a UserError.
    """

    def __init__(self, path: Path, made_from: dict[str, Any]) -> None:
        self.path = path
        self.found: dict[int, list[Found]] = {}
        head = json.dumps(made_from, sort_keys=True)
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []  # none that was cut
        if lines and lines[0] == head:
            self.found = dict(_line(path, line) for line in lines[1:])
            log.info("%d images were searched before and are not searched again (%s)", len(self.found), path.name)
        kept = [head, *lines[1:]] if self.found else [head]
        write_whole(path, "".join(f"{line}\n" for line in kept).encode())

    def add(self, name: int, found: list[Found]) -> None:
        """Keep the negatives of the image of latent ``name``; none when the search gave up at once."""
        self.found[name] = found
        row = {"id": name, "negatives": [_row(one) for one in found]}
        append_whole(self.path, f"{json.dumps(row)}\n".encode())

    def remove(self) -> None:
        """Delete the file, once what was found is written where it is wanted."""
        self.path.unlink()


def _line(path: Path, line: str) -> tuple[int, list[Found]]:
    try:
        row = json.loads(line)
        return int(row["id"]), [_found(one) for one in row["negatives"]]
    except (ValueError, KeyError, TypeError, IndexError, RuntimeError, OverflowError) as error:
        raise UserError(f"{path} is damaged at {line!r:.60} ({error!r}); delete it to search again") from error


def _row(one: Found) -> dict[str, Any]:
    units = one.negative.units
    return {
        "position": list(one.negative.position),
        "off": torch.nonzero(units)[:, 0].tolist(),
        "units": len(units),
        "change": list(one.change),
    }


def _found(row: dict[str, Any]) -> Found:
    units = torch.zeros(row["units"])
    units[row["off"]] = 1
    return Found(Negative((row["position"][0], row["position"][1]), units), Change(*row["change"]))
