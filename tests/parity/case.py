"""One parity case: its JSON, its npz, its filled weights, and how far results are from what it stores."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.parity.expressions import evaluate
from tests.parity.fill import fill_state
from tests.parity.kinds import check_kind

REQUIRED = ("outputs", "rtol", "atol")


class CaseError(ValueError):
    """A case that is not complete."""


@dataclass(frozen=True)
class Case:
    """A case and a folder of its own.

    Attributes:
        name: The JSON file's name without suffix.
        spec: The JSON.
        arrays: The npz: stored inputs and expected outputs.
        folder: An empty folder for the files that the case writes in their published layout.
    """

    name: str
    spec: dict[str, Any]
    arrays: dict[str, np.ndarray]
    folder: Path

    @property
    def kind(self) -> str:
        return self.spec["kind"]

    @property
    def hyper(self) -> dict[str, Any]:
        return self.spec.get("hyper", {})

    @property
    def files(self) -> dict[str, Any]:
        """The weight files that the case describes."""
        if not isinstance(self.spec.get("files"), dict):
            raise CaseError("the case lacks files, expected a mapping from a file's name to its entries")
        return self.spec["files"]

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs to compare."""
        return list(self.spec["outputs"])

    def input(self, name: str) -> np.ndarray:
        """The input of that name: from the npz, else the value of its expression."""
        if name in self.arrays:
            return self.arrays[name]
        expressions = self.spec.get("input_exprs", {})
        if name not in expressions:
            raise CaseError(f"the case has no input {name!r}, expected it in its npz or its input_exprs")
        return np.asarray(evaluate(expressions[name]))

    def tensor(self, name: str) -> torch.Tensor:
        """The input as a tensor."""
        return torch.from_numpy(np.ascontiguousarray(self.input(name)))

    def state(self, file: str) -> dict[str, torch.Tensor]:
        """The filled state dict of one of the case's files, prefixes included, ``post_fill`` rules applied."""
        entry = self.files[file]
        state = fill_state(entry["entries"], self.spec.get("salt", ""))
        for rule in entry.get("post_fill", []):
            if rule["multiply"] != "sqrt(prod(shape[1:]))":
                raise ValueError(f"{self.name}: unknown post_fill rule {rule['multiply']!r}")
            for name, value in state.items():
                if name.endswith(rule["suffix"]):
                    state[name] = value * np.float32(math.sqrt(math.prod(value.shape[1:])))
        return state

    def file_like(self, pattern: str) -> str:
        """The one name under ``files`` that contains ``pattern``."""
        found = [name for name in self.files if pattern in name]
        if len(found) != 1:
            raise ValueError(f"{self.name}: expected one file named *{pattern}*, found {found}")
        return found[0]


def read_case(path: Path, folder: Path) -> Case:
    """Read ``path`` (JSON) and the npz beside it.

    Args:
        path: The case.
        folder: An empty folder for it.

    Raises:
        UnknownKindError: It has no kind, or one that is not known.
        CaseError: It is no mapping, or lacks something that every case has.
    """
    spec = json.loads(path.read_text())
    if not isinstance(spec, dict):
        raise CaseError(f"the case is a JSON {type(spec).__name__}, expected a mapping")
    check_kind(spec.get("kind"))
    lacking = [name for name in REQUIRED if name not in spec]
    if lacking:
        raise CaseError(f"the case lacks {', '.join(lacking)}, expected {', '.join(REQUIRED)}")
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
        case = Case(path.stem, spec, {name: arrays[name] for name in arrays.files}, folder)
    if not case.outputs:
        raise CaseError("the case lists no outputs, expected at least one to compare")
    return case


def fraction(
    result: np.ndarray | None, expected: np.ndarray, rtol: float, atol: float, may_differ: float = 0.0
) -> tuple[float | None, str]:
    """Largest error as a fraction of its tolerance ``atol + rtol * |expected|``; at most 1 is right.

    Integers and booleans (codes, labels, counts) must be equal: 0 if they are, else 1 plus how many differ; or, where
    some may differ, the share that does as a fraction of the share that may.

    Args:
        result: What was computed, or None when it is missing.
        expected: What the case stores.
        rtol: Relative tolerance.
        atol: Absolute tolerance.
        may_differ: Share of the integers that may differ.

    Returns:
        The fraction, None when the two cannot be compared, and a remark.
    """
    if result is None:
        return None, "missing"
    result = np.asarray(result)
    if result.shape != expected.shape:
        return None, f"shape {result.shape}, expected {expected.shape}"
    if expected.dtype.kind in "iub":
        different = int(np.count_nonzero(result != expected))
        if not different:
            return 0.0, "equal"
        value = different / expected.size / may_differ if may_differ else 1.0 + different
        return value, f"{different} entries differ"
    result, expected = result.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(expected)
    if not np.array_equal(result[~finite], expected[~finite], equal_nan=True) or not np.isfinite(result[finite]).all():
        return None, "not finite" if finite.all() else "NaN or infinity elsewhere than expected"
    result, expected = result[finite], expected[finite]
    error = np.abs(result - expected) / (atol + rtol * np.abs(expected))
    return (float(error.max()) if error.size else 0.0), ""
