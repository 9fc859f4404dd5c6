"""Each kind of case in a file of its own with ``groups(case)``, imported when needed.

``groups`` prepares what its groups share and returns, by name, functions that each make some outputs ``{name: array}``.
"""

import importlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tests.parity.case import Case

KINDS = (
    "davenet",
    "resdavenet_vq",
    "resdavenet_vq_training",
    "vq_ema_update",
    "losses_speech",
    "logmel",
    "clevr_segmenter",
    "unit_clustering",
    "unit_analysis",
    "progan",
    "regions",
    "progan_ablation",
    "dissection_iou",
    "damsm",
    "attngan",
    "attngan_dcgan",
    "attngan_discriminators",
    "losses_damsm",
    "damsm_text",
    "zero_shot",
    "biggan",
    "biggan_discriminator",
    "biggan_tf_hub",
    "lattegan",
    "lattegan_variants",
    "geneva_localizer",
    "tirg_text",
    "geneva_losses",
    "geneva",
)
Arrays = dict[str, np.ndarray]
Groups = dict[str, Callable[[], Arrays]]


class UnknownKindError(ValueError):
    """No file here runs cases of this kind, or of this form of it."""


def check_kind(kind: Any) -> None:
    """Refuse a case whose kind is missing or not known.

    Raises:
        UnknownKindError: It is.
    """
    if kind not in KINDS:
        found = "no kind" if kind is None else f"unknown kind {kind!r}"
        raise UnknownKindError(f"{found}; known are {', '.join(KINDS)}")


def may_differ(kind: str, output: str) -> float:
    """Share of an integer output's entries that may differ: labels of near ties only."""
    return 0.005 if kind == "clevr_segmenter" and output.startswith("labels") else 0.0


def run(case: "Case") -> Arrays:
    """Make a case's outputs; a group that fails is reported in one line on stderr, and its outputs are missing.

    Raises:
        UnknownKindError: The case has a form of its kind that is not known.
    """
    module = importlib.import_module(f"tests.parity.kinds.{case.kind}")
    outputs: Arrays = {}
    try:
        groups = module.groups(case)
    except UnknownKindError:
        raise
    except Exception as error:  # whatever the project raises, other cases still run
        _tell(case.name, error)
        return outputs
    for name, group in groups.items():
        try:
            outputs |= group()
        except Exception as error:
            _tell(f"{case.name}, {name}", error)
    return outputs


def one_line(error: Exception) -> str:
    """An error's kind and message without line breaks."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _tell(where: str, error: Exception) -> None:
    print(f"{where}: {one_line(error)}", file=sys.stderr)  # noqa: T201 (part of a command line tool)
