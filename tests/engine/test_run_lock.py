"""Two processes do not write the same run, and a killed one is in nobody's way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import UserError
from engine import run_lock
from engine.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
HOLDER = """
import os, sys, time
from pathlib import Path
from engine import run_lock
run_lock.hold(Path(sys.argv[1]))
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock, and its forked child, which lives longer."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    child = int(process.stdout.readline())
    yield process, child
    process.kill()
    process.wait()
    os.kill(child, signal.SIGKILL)


def test_a_held_run_is_refused_and_a_killed_one_goes_on_at_once(tmp_path, holder):
    process, child = holder
    with pytest.raises(UserError, match=rf"being written by process {process.pid} on .*; wait .* another run\.name"):
        run_lock.hold(tmp_path)
    made = RunFolder(tmp_path)
    with pytest.raises(UserError, match=f"process {process.pid} "):
        made.check({"seed": 1}, "auto")
    with pytest.raises(UserError, match=f"process {process.pid} "):
        made.prepare({"seed": 1}, "overwrite", ["run.py"])
    assert [path.name for path in tmp_path.iterdir()] == [run_lock.NAME]
    process.kill()
    process.wait()
    os.kill(child, 0)  # is still there
    made.prepare({"seed": 1}, "auto", ["run.py"])
    assert (tmp_path / run_lock.NAME).read_text().startswith(f"process {os.getpid()} on ")
    made.prepare({"seed": 1}, "auto", ["run.py"])  # this process has it already
    made.release()


def test_a_released_run_is_free_for_others(tmp_path):
    made = RunFolder(tmp_path / "new")
    made.check({"seed": 1}, "auto")
    assert not made.path.exists()  # nothing is written before the run begins
    made.prepare({"seed": 1}, "auto", ["run.py"])
    command = [sys.executable, "-c", "import sys; from pathlib import Path; from engine import run_lock\n"
               "run_lock.hold(Path(sys.argv[1]))", str(made.path)]  # fmt: skip
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert f"being written by process {os.getpid()} " in refused.stderr
    made.release()
    subprocess.run(command, cwd=ROOT, check=True)
