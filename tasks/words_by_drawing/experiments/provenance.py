"""Note for which layer, generator and segmenter a file of negatives was made: a small JSON file beside it.

The published layout is a dict of ids alone and says none of it, and a wrong layer with as many units gives figures that
mean nothing. So ``make_negatives`` writes ``<file>.json`` and ``recall_selected`` compares it; the published file has
none.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from common.files import write_whole
from common.text_files import TextError, read_text
from models.segmenter.labels import Segmenter
from models.weights import weights_digest
from published.download import sha256_of
from published.words_by_drawing.negatives import NegativesError

log = logging.getLogger(__name__)
COMPARED = ("layer", "generator", "segmenter")


def origin_file(path: Path) -> Path:
    """Return where the origin of the negatives in ``path`` is kept."""
    return path.with_name(f"{path.name}.json")


def write_origin(path: Path, made_from: Mapping[str, Any]) -> None:
    """Write what the negatives in ``path`` were made from: ``layer``, digests of ``generator``, ``segmenter``, etc."""
    content = {"sha256": sha256_of(path), **made_from}
    write_whole(origin_file(path), (json.dumps(content, indent=1) + "\n").encode())


def check_origin(path: Path, layer: str, generator: nn.Module, segmenter: Segmenter) -> None:
    """Compare what negatives were made for with what they are to be used with; warn when nobody noted it.

    Another layer, generator or segmenter, or a note that cannot be read, is a NegativesError.
    """
    beside = origin_file(path)
    noted = _read(beside) if beside.is_file() else None
    if noted is None or noted["sha256"] != sha256_of(path):
        why = "there is no" if noted is None else "another file is described by"
        log.warning("%s: %s %s, so layer, generator and segmenter are not checked", path.name, why, beside.name)
        return
    if noted["layer"] != layer:
        raise NegativesError(
            f"{path} was made for {noted['layer']} (says {beside.name}), not for {layer}: give layer={noted['layer']}, "
            "or make a file for that layer with words_by_drawing/make_negatives.yaml."
        )
    for name, network in (("generator", generator), ("segmenter", segmenter)):
        if noted[name] != weights_digest(network):
            raise NegativesError(
                f"{path} was made with another {name} (digest {noted[name]}, here {weights_digest(network)}; "
                f"{beside.name}): give that {name}, or make the file again with words_by_drawing/make_negatives.yaml."
            )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(path))
        if isinstance(content, dict) and {"sha256", *COMPARED} <= content.keys():
            return content
    except (ValueError, RecursionError, TextError):
        pass
    raise NegativesError(
        f"{path} does not say what the negatives beside it were made for ({', '.join(COMPARED)}): delete it to go on "
        "without this check, or make the negatives again."
    )
