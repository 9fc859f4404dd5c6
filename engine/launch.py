"""Starts the processes that run a config: as many as the user fixed, else as visible GPUs share its batches evenly.

``python -m engine.launch --nproc-per-node=2 run.py …`` is torchrun without its stack traces: it starts the ranks with
torch's own elastic agent and ends with the exit code of the rank that failed first, so that the one sentence which that
rank printed stays the last word. When a run.py that started it is killed, it stops the ranks, which save a checkpoint.
"""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from common import distributed
from config import PROJECT_ROOT, resolve_type
from engine import signals as stop

log = logging.getLogger(__name__)


def fixed_processes(launch: Mapping[str, Any] | None) -> int | None:
    """Return the number of processes that torchrun or ``launch.processes`` fixes; None where it is free.

    Without a ``launch`` group the entry knows no ranks, which is one process.
    """
    if launch is None:
        return 1
    if distributed.launched_by_torchrun():
        return int(os.environ["WORLD_SIZE"])
    return launch.get("processes")


def planned_processes(values: Mapping[str, Any]) -> int:
    """Return how many processes run a checked config, and say so where that leaves GPUs idle.

    Without a fixed number it is the largest one up to the number of visible GPUs that divides every batch, at least 1.
    """
    fixed = fixed_processes(values.get("launch"))
    if fixed is not None:
        return fixed
    visible, sizes = torch.cuda.device_count(), dict(shared_batches(values))
    count = max((n for n in range(1, visible + 1) if not any(size % n for size in sizes.values())), default=1)
    if count < visible:
        log.warning(
            "%d GPUs are visible, %d of them %s used: the most that share %s evenly; batches that are multiples of %d "
            "would use all", visible, count, "is" if count == 1 else "are",
            ", ".join(f"{key_path}={size}" for key_path, size in sizes.items()), visible,
        )  # fmt: skip
    return count


def shared_batches(values: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the key path and the size of every global batch that the processes of a training share.

    They are ``data.batch_size``, and what the task's static method ``batch_sizes(node)`` yields.
    """
    size = (values.get("data") or {}).get("batch_size")
    if size is not None:
        yield "data.batch_size", size
    task = values.get("task") or {}
    own = getattr(resolve_type(task["type"]), "batch_sizes", None) if "type" in task else None
    if own is not None:
        yield from ((f"task.{key}", count) for key, count in own(task))


def relaunch(count: int, arguments: list[str]) -> int:
    """Start ``count`` ranks of this program through torchrun; return the exit code of the first to fail.

    torchrun runs in a session of its own and gets one SIGTERM when this process is asked to stop (then the code is 128
    + the signal), so that the workers save their checkpoint once however often the terminal repeats the signal. A
    second signal kills torchrun; the ranks, which are in sessions of their own, end when they find it gone.
    """
    script = str(PROJECT_ROOT / "run.py")
    command = [sys.executable, "-m", "engine.launch", "--standalone", f"--nproc-per-node={count}", script]
    environment = os.environ | {
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count))),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT_ROOT), os.environ.get("PYTHONPATH")])),
        stop.STARTED_BY: str(os.getpid()),
    }
    log.info("starting %d ranks", count)
    child = subprocess.Popen([*command, *arguments], env=environment, start_new_session=True)
    received: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        if received:
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.terminate()
        received.append(number)

    stop.handle(pass_on)
    code = child.wait()
    return 128 + received[0] if received else code


def main(arguments: list[str]) -> int:
    """Run torchrun with its own arguments; return the exit code of the first rank to fail, or 128 + a signal."""
    from torch.distributed import run as torchrun  # a second to import, which only this program waits for
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.disable(logging.ERROR)  # torch's modules set levels of their own
    if parent := os.environ.get(stop.STARTED_BY):
        stop.watch_parent(int(parent), lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        torchrun.run(torchrun.parse_args(arguments))
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        return code if code > 0 else 128 - code
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
