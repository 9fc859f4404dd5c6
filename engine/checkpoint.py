"""Checkpoints: written atomically, verified when read, with the previous one as the net below.

Files are torch zip archives of tensors and plain values, read with ``weights_only=True`` only. Each archive member
carries a CRC-32, which torch does not check; :func:`read` does, so a flipped bit is found as surely as a cut file.
"""

import io
import logging
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from common import distributed
from common.errors import UserError
from common.files import written_whole
from common.safe_load import check_size, check_tensors

log = logging.getLogger(__name__)

FORMAT = 1
Check = Callable[[dict[str, Any], str], None]  # of a state and the name of its file
OLD_TORCH = pickle.dumps(torch.serialization.MAGIC_NUMBER, protocol=2)  # how files before torch 1.6 begin


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged or of another kind."""


class ForeignCheckpointError(CheckpointError):
    """A torch file, but none that this project wrote."""


def write(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` so that ``path`` is at any time the old file or the new one, never a part.

    A full disk is a NoRoomError; the old file is still there then.
    """
    with written_whole(path) as temporary, _Noting(temporary) as file:
        try:
            torch.save({"format": FORMAT, **state}, file)
        except RuntimeError:  # torch says "unexpected pos" of whatever stopped a write
            if file.error is not None:
                raise file.error from None
            raise


class _Noting(io.FileIO):
    """A file to write that keeps the system's error, which torch loses."""

    error: OSError | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(path, "wb")

    def write(self, content: bytes | memoryview) -> int:
        """Write all of ``content``: a raw file may take a part of it where room ends."""
        rest = memoryview(content).cast("B")
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
            raise
        return memoryview(content).nbytes


def keep_previous(path: Path) -> None:
    """Make ``previous.pt`` a second name of the file at ``path``, or a copy, before that is replaced."""
    if not path.exists():
        return
    with written_whole(path.with_name("previous.pt")) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(path, temporary)
        except OSError:  # exFAT, and many SMB, FUSE and cloud mounts, have no second names
            shutil.copyfile(path, temporary)


def read(path: Path, map_location: str | torch.device = "cpu") -> dict[str, Any]:
    """Read and verify a checkpoint: what :func:`write` was given, and ``format``.

    Another program's file is a ForeignCheckpointError, a missing, truncated or damaged one a CheckpointError.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}; give a run folder or a .pt file that exists")
    if _start(path) == OLD_TORCH:
        raise _foreign(path)
    try:
        check_size(path)
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise CheckpointError(f"{path} is damaged: the checksum of its part '{damaged}' does not fit")
        state = torch.load(path, map_location=map_location, weights_only=True)
        check_tensors(state, path)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:  # whole, but it holds more than tensors and plain values
        raise _foreign(path) from error
    except Exception as error:  # torch and zipfile raise many kinds for cut or foreign files
        raise CheckpointError(f"{path} ({path.stat().st_size} bytes) is truncated or no checkpoint") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise _foreign(path)
    return state


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(OLD_TORCH))


def _foreign(path: Path) -> ForeignCheckpointError:
    return ForeignCheckpointError(
        f"{path} is no checkpoint of this project (format {FORMAT}); published weights of both encoders are taken by "
        "init_from of a speech-image task and by model.published of its experiments, others by published.load_published"
    )


def read_newest(folder: Path, check: Check) -> tuple[Path, dict[str, Any]] | None:
    """Read ``last.pt``; when it is damaged or missing, say so and read the newest other one (call on every rank).

    Rank 0 decides which file is used. A damaged ``last.pt`` becomes ``last.damaged.pt``: left where it is, it would
    replace the good ``previous.pt`` at the next save. ``check`` raises a CheckpointError where a run cannot go on from
    a state, which then counts as damaged. None where the folder holds no file; a CheckpointError where none can be
    read.
    """
    found, errors = _find_newest(folder, check) if distributed.is_main() else (None, [])
    path, errors = distributed.gather_objects((found[0] if found else None, errors))[0]
    if path is not None:
        return found or (path, read(path))
    if errors:
        listed = "\n  ".join(errors)
        raise CheckpointError(f"no checkpoint can be read:\n  {listed}\nrun.resume=overwrite starts the run again")
    return None


def _find_newest(folder: Path, check: Check) -> tuple[tuple[Path, dict[str, Any]] | None, list[str]]:
    """Return the newest checkpoint that can be read, and what is wrong with the others."""
    errors: list[str] = []
    last, previous = folder / "last.pt", folder / "previous.pt"
    state = _try_read(last, check, errors)
    if state is not None:
        return (last, state), errors
    path, state = previous, _try_read(previous, check, errors)
    for copy in sorted(folder.glob("step_*.pt"), reverse=True):
        if state is not None and copy.name <= step_name(state["step"]):
            break
        newer = _try_read(copy, check, errors)
        if newer is not None:
            path, state = copy, newer
            break
    if state is None:
        return None, errors
    if last.exists():
        last.replace(last.with_name("last.damaged.pt"))
    if errors:
        log.warning("using the newest good checkpoint instead: %s (step %s)", path, state.get("step"))
    return (path, state), errors


def _try_read(path: Path, check: Check, errors: list[str]) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        state = read(path)
        check(state, str(path))
    except CheckpointError as error:
        log.warning("%s", error)
        errors.append(str(error))
        return None
    return state


def step_name(step: int) -> str:
    """Return the file name of the numbered copy of a step (up to nine digits); names sort as steps do."""
    return f"step_{step:09d}.pt"


def prune(folder: Path, keep: int) -> None:
    """Delete the oldest ``step_*.pt`` beyond the newest ``keep``."""
    numbered = sorted(folder.glob("step_*.pt"))
    for path in numbered[: max(0, len(numbered) - keep)]:
        path.unlink()
