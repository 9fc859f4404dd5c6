"""How each kind of case is run: one file per kind with ``run(case) -> {output: array}``, imported when needed."""

import importlib
from collections.abc import Callable

import numpy as np

from tests.parity.case import Case

KINDS = ("davenet", "resdavenet_vq", "losses_speech", "logmel")


class UnknownKindError(ValueError):
    """No file here runs cases of this kind, or of this form of it."""


def runner(kind: str) -> Callable[[Case], dict[str, np.ndarray]]:
    """Return the function that runs cases of a kind.

    Raises:
        UnknownKindError: There is none.
    """
    if kind not in KINDS:
        raise UnknownKindError(f"unknown kind {kind!r}; known are {', '.join(KINDS)}")
    return importlib.import_module(f"tests.parity.kinds.{kind}").run
