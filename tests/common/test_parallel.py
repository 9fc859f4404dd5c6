"""Work in processes: every shard once, whatever the number of workers; a dead worker is reported; progress in few
lines.
"""

import logging
import os
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import torch

from common import parallel
from common.errors import UserError
from common.parallel import AHEAD, cores, in_processes, progress

ROOT = Path(__file__).resolve().parents[2]


class DyingPool(ThreadPoolExecutor):
    """A pool of processes whose first worker dies."""

    def __init__(self, workers, **_):
        super().__init__(workers)

    def submit(self, *_):
        future = Future()
        future.set_exception(BrokenProcessPool("gone"))
        return future


def threads_and_square(number):
    return torch.get_num_threads(), number**2


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_every_shard_is_done_once_with_one_thread(workers):
    torch.set_num_threads(2)
    shards = range(3 * AHEAD * 2)  # more than are handed out at first
    results = list(in_processes(threads_and_square, iter(shards), workers, "workers"))
    assert sorted(results) == [(1, number**2) for number in shards]
    assert torch.get_num_threads() == 2


def test_a_worker_that_dies_is_reported(monkeypatch):
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", DyingPool)
    with pytest.raises(UserError, match=r"a worker process died.*with fewer than data\.workers=3"):
        list(in_processes(threads_and_square, [1, 2], 3, "data.workers"))


def test_an_error_of_the_work_is_passed_on():
    with pytest.raises(TypeError, match="unsupported operand"):
        list(in_processes(threads_and_square, ["text"], 1, "workers"))


def test_progress_is_some_ten_lines_and_counts_what_was_there(caplog):
    with caplog.at_level(logging.INFO), progress("rows", 1000, done=500) as advance:
        for _ in range(250):
            advance(2)
    assert caplog.messages == [f"{count} of 1000 rows" for count in range(600, 1001, 100)]


def test_there_is_a_core():
    assert cores() >= 1


def test_a_script_without_a_guard_is_reported_and_does_not_hang(tmp_path):
    """Its processes import it again: they would wait for the lock that their parent holds until they are done."""
    script = tmp_path / "prepare.py"
    script.write_text(
        "from pathlib import Path\n"
        "from common.parallel import cores, in_processes, locked\n"
        f"with locked(Path({str(tmp_path / 'lock')!r})):\n"
        "    print(list(in_processes(abs, [-1, -2], 2, 'workers')))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert f"UserError: {script}: starts processes when it is imported" in done.stderr
    assert 'below if __name__ == "__main__":' in done.stderr


@pytest.mark.parametrize(
    ("text", "guarded"),
    [
        ('if __name__ == "__main__":\n    pass\n', True),
        ('if "__main__" == __name__ and 1:\n    pass\n', True),
        ('if __name__ != "__main__":\n    raise SystemExit\n', True),
        ("import logging\nlog = logging.getLogger(__name__)\n", False),
        ('# if __name__ == "__main__":\nprint("__name__ == \'__main__\'")\n', False),
        ("if __name__ == 'other':\n    pass\n", False),
    ],
)
def test_a_guard_is_a_comparison_and_no_mention(tmp_path, monkeypatch, text, guarded):
    script = tmp_path / "script.py"
    script.write_text(text)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(script), raising=False)
    assert parallel._script_without_guard() == (None if guarded else str(script))


def test_a_terminated_program_ends_its_workers_and_leaves_nothing_behind(tmp_path):
    script = tmp_path / "prepare.py"
    script.write_text(
        "import time\n"
        "from common.parallel import in_processes\n"
        'if __name__ == "__main__":\n'
        "    for _ in in_processes(time.sleep, [0, *[60] * 9], 2, 'workers'):\n"
        "        print('begun', flush=True)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, str(script)], env=environment, **pipes)
    assert process.stdout.readline() == "begun\n"
    process.terminate()
    assert process.communicate(timeout=50)[1] == ""  # the workers hold the pipe as well: they are gone
    assert process.returncode == 128 + signal.SIGTERM
