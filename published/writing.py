"""Writes weights as the originals' programs read them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from common.files import write_together
from common.safe_load import torch_bytes
from models.weights import WeightsError


def expect_network(network: nn.Module, kind: type[nn.Module], what: str) -> None:
    """Refuse a network that is not the ``kind`` of the published layout; ``what`` names that part of the layout.

    Raises WeightsError where it is of another class.
    """
    if not isinstance(network, kind):
        raise WeightsError(
            f"found {type(network).__name__}, expected {kind.__name__}: {what} is no other network, so the public code "
            "cannot read this one; export a training of the published networks."
        )


def write_torch_files(contents: Mapping[Path, dict[str, Any] | Tensor], others: Mapping[Path, bytes]) -> None:
    """Write torch files of before 1.6, which every version reads, and ``others`` that belong to them: all or none.

    Each holds tensors, alone or with plain values in dicts.
    """
    write_together({path: torch_bytes(_on_cpu(content), old=True) for path, content in contents.items()} | dict(others))


def write_torch_file(path: Path, content: dict[str, Any] | Tensor) -> None:
    """Write one such file."""
    write_torch_files({path: content}, {})


def _on_cpu(value: Any) -> Any:
    """Return the same content, its tensors on the CPU and each with a storage of its own."""
    if isinstance(value, dict):
        return {name: _on_cpu(item) for name, item in value.items()}
    return value.detach().cpu().clone().contiguous() if isinstance(value, Tensor) else value
