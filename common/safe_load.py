"""Torch files of others: read without running code, whatever is wrong with them said in one sentence."""

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from common.errors import UserError
from common.guarded_pickles import GrowingPickleError, check_torch_file
from common.numpy_values import NUMPY_VALUES

# What torch's restricted unpickler raises, besides its own error, on files of which bytes were cut or changed.
DAMAGED = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, SyntaxError,
    zipfile.BadZipFile,
)  # fmt: skip


class TorchFileError(UserError, ValueError):
    """A torch file that is damaged, of another format, larger than it seems, or wants to run code."""


def read_torch_values(path: Path) -> Any:
    """Read a torch file (zip or the older format) on the CPU with ``weights_only=True``.

    Args:
        path: The file, which exists.

    Returns:
        Whatever the file holds: tensors, NumPy arrays and numbers, containers and plain values.

    Raises:
        TorchFileError: The file is truncated or corrupt, wants to run code, or claims more than it holds.
    """
    check_size(path)
    try:
        with torch.serialization.safe_globals(NUMPY_VALUES):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        refused = re.search(r"GLOBAL (\S+) (?:was not|whose module)", str(error))
        if refused:
            raise TorchFileError(
                f"{path} holds more than weights and plain values ({refused[1]}) and was not read, since reading it "
                "could run code: save tensors, arrays and plain values alone."
            ) from error
        raise TorchFileError(_damaged(path)) from error
    except PermissionError as error:
        raise TorchFileError(f"{path} cannot be read ({error.strerror}): make it readable.") from error
    except DAMAGED as error:
        raise TorchFileError(_damaged(path)) from error
    check_tensors(content, path)
    return content


def check_size(path: Path) -> None:
    """Refuse a file that would become larger than it is, before torch reads it.

    Args:
        path: The file, which exists.

    Raises:
        TorchFileError: It is such a file, or damaged.
    """
    try:
        check_torch_file(path)
    except GrowingPickleError as error:
        raise TorchFileError(
            f"{path} ({path.stat().st_size} bytes) claims more than it holds or would take for ever to read ({error}), "
            "and was not read: torch writes no such file; get it from another source."
        ) from error
    except PermissionError as error:
        raise TorchFileError(f"{path} cannot be read ({error.strerror}): make it readable.") from error
    except Exception as error:  # of a damaged pickle or archive, of nearly any kind
        raise TorchFileError(_damaged(path)) from error


def check_tensors(content: Any, path: Path) -> None:
    """Refuse tensors that repeat few numbers to look like many, or that are sparse: whoever copies them is lost.

    Args:
        content: What torch read.
        path: From where.

    Raises:
        TorchFileError: There is such a tensor.
    """
    waiting, seen = [content], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, torch.Tensor):
            plain = value.layout == torch.strided and value.device.type != "meta"
            if not plain or value.numel() * value.element_size() > value.untyped_storage().nbytes():
                raise TorchFileError(
                    f"{path} holds a tensor of shape {tuple(value.shape)} without as many numbers: save it contiguous."
                )
        elif isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            waiting += value


def _damaged(path: Path) -> str:
    """Say what is known of a file that torch could not read, without the words of the libraries below it."""
    with path.open("rb") as file:
        start = file.read(2)
    if not start:
        reason = "it is empty"
    elif start == b"PK":  # torch's zip archives
        reason = "it is truncated or damaged"
    else:
        reason = "it is truncated, damaged or of another format"
    return f"{path} ({path.stat().st_size} bytes) is not a complete torch file: {reason}. Fetch or copy it again."
