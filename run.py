"""Run a config: ``python run.py -f train_example.yaml key.sub=value``.

The file is looked up in config_files/ or taken as a path, checked as a whole, and its ``entry`` is called: on as many
visible GPUs as its batches can be shared by, or as one rank of a torchrun job.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  old interpreters must get a sentence, not a syntax error
    sys.exit(f"drawl needs Python 3.11 or newer; this is {sys.version.split()[0]} ({sys.executable})")

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C within the imports, which take seconds, ends without words

import argparse
import contextlib
import logging
import os
import subprocess
import time
import traceback
from pathlib import Path

try:
    import torch
except ModuleNotFoundError:
    sys.exit(f"{sys.executable} has no torch: run scripts/quickstart.sh once, then source .venv/bin/activate")

import config
from engine import distributed, stop, text_log
from engine.context import Context
from engine.errors import UserError
from engine.logs import set_up_logging
from engine.processes import planned_processes
from engine.room import NoRoomError, full_disk, no_room

log = logging.getLogger(__name__)

SECOND_RANK_WAITS = 10.0  # seconds; a busy machine ends the other ranks late


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line.

    Args:
        arguments: of the command line, without the program's name.

    Returns:
        ``file``, ``list``, ``print_config``, ``dry_run`` and ``overrides``; wrong ones end the program with code 2.
    """
    parser = argparse.ArgumentParser(
        prog="run.py",
        description="Run a config file.",
        epilog="key.sub=value arguments override the config; values are parsed as YAML.",
    )
    parser.add_argument("-f", "--file", help="a config, by name in config_files/ or by path")
    parser.add_argument("--list", action="store_true", help="list every config with its description")
    parser.add_argument("--print-config", action="store_true", help="print the resolved config and end")
    parser.add_argument("--dry-run", action="store_true", help="build everything, run one step, write nothing")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="override a value of the config")
    parsed = parser.parse_intermixed_args(arguments)
    if not parsed.list and not parsed.file:
        parser.error("give a config with -f, or --list to see them")
    return parsed


def list_configs() -> None:
    """Print every config with its description."""
    folder = config.PROJECT_ROOT / "config_files"
    names = {path.relative_to(folder).as_posix(): path for path in config.list_configs()}
    width = max(map(len, names))
    for name, path in names.items():
        loaded = config.load(path)
        print(f"{name:<{width}}  {loaded.values.get('description', '(no description)')}")


def relaunch(count: int, arguments: list[str]) -> int:
    """Start ``count`` ranks of this program through torchrun and return its exit code.

    torchrun runs in a session of its own and gets one SIGTERM when this process is told to stop, so that the workers
    save their checkpoint once however often the terminal repeats the signal. A second signal kills torchrun; the ranks,
    which are in sessions of their own, end when they find it gone.

    Args:
        count: ranks on this machine.
        arguments: of run.py's command line, given to each of them.

    Returns:
        The exit code of the rank that failed first, 0, or 128 + the signal that stopped this process.
    """
    script = str(config.PROJECT_ROOT / "run.py")
    command = [sys.executable, "-m", "engine.launch", "--standalone", f"--nproc-per-node={count}", script]
    environment = os.environ | {
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(_threads(count))),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(config.PROJECT_ROOT), os.environ.get("PYTHONPATH")])),
        stop.STARTED_BY: str(os.getpid()),
    }
    log.info("starting %d ranks", count)
    child = subprocess.Popen([*command, *arguments], env=environment, start_new_session=True)
    told: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        if told:
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.terminate()
        told.append(number)

    stop.handle(pass_on)
    code = child.wait()
    return 128 + told[0] if told else code


def _threads(processes: int) -> int:
    return max(1, (os.cpu_count() or 1) // processes)


def run(parsed: argparse.Namespace, command: list[str]) -> int:
    """Load, check and run one config; return the exit code.

    Args:
        parsed: of :func:`parse_arguments`, with a file.
        command: the whole command line, kept in the run folder.

    Returns:
        0, or what :func:`relaunch` returned.

    Raises:
        UserError: the config has faults, or what it describes cannot be run.
        NoRoomError: a disk is full.
    """
    loaded = config.load(parsed.file, parsed.overrides)
    refuse_configs_of_the_original(loaded)
    values = config.check(loaded)
    if parsed.print_config:
        print(config.dump(values), end="")
        return 0
    count = planned_processes(values)
    if count > 1 and not distributed.launched_by_torchrun():
        return relaunch(count, command[1:])
    if "launch" not in values and distributed.launched_by_torchrun() and int(os.environ["WORLD_SIZE"]) > 1:
        raise UserError(
            f"{values['entry']} runs as one process, but torchrun started {os.environ['WORLD_SIZE']} of them; run it "
            "without torchrun (it uses the first visible GPU)"
        )
    target = config.resolve_type(values["entry"])
    if parsed.dry_run and not config.takes_context(target):
        print(
            f"{config.short(loaded.path)} is valid; {values['entry']} has no training step to try, so nothing was run"
        )
        return 0
    context = Context(loaded.name, values, command, parsed.dry_run)
    try:
        # Until here, seconds of imports and checks, a signal ends the program at once and without words, as nothing
        # was done; the trainer has a gentler handler while it trains.
        stop.handle(stop.Interruption())
        config.call_entry(values, context=context)
    except KeyboardInterrupt as interruption:
        if parsed.dry_run:
            interruption.add_note("a dry run leaves nothing")
        elif context.after_stop is not None:
            interruption.add_note(context.after_stop())
        raise
    except (OSError, RuntimeError, NoRoomError) as error:
        full = error if isinstance(error, NoRoomError) else _no_room(error)
        if full is None:
            raise
        further = "" if context.after_stop is None or parsed.dry_run else f"; then {context.after_stop()}"
        raise NoRoomError(f"{full}{further}") from error
    return 0


def refuse_configs_of_the_original(loaded: config.Config) -> None:
    """Answer a YAML of surisdi/learning-by-drawing with the command here that does the same.

    Args:
        loaded: not yet checked.

    Raises:
        UserError: it is one.
    """
    if "entry" in loaded.values or "args" not in loaded.values:
        return
    from published.drawing_options import answer, is_of_the_original  # it imports every network: only when needed

    if is_of_the_original(loaded.values):
        raise UserError(answer(config.short(loaded.path), loaded.values, lambda name: config.load(name).values))


def _no_room(error: OSError | RuntimeError) -> NoRoomError | None:
    """A full disk in a sentence; None for other errors."""
    reason, name = full_disk(error), getattr(error, "filename", None)
    place = "a folder that is written to" if name is None else Path(name).absolute().parent
    return None if reason is None else no_room(place, reason)


def say_last(message: str, stopped: bool = False) -> None:
    """Print the sentence that ends the program, once: ranks above 0 wait, and rank 0 failing too ends them.

    Args:
        message: goes to standard error.
        stopped: by a signal, which every rank gets; then rank 0 alone speaks.
    """
    if os.environ.get("RANK", "0") not in ("0", "") and distributed.launched_by_torchrun():
        if stopped:
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(SECOND_RANK_WAITS)
    with contextlib.suppress(OSError):  # the terminal may be gone, which is what SIGHUP says
        print(message, file=sys.stderr, flush=True)
    text_log.note(message, logging.INFO if stopped else logging.ERROR)


def main(arguments: list[str]) -> int:
    """Run the command line; faults that a user can mend end in one message and exit code 2.

    Args:
        arguments: of the command line, without the program's name.

    Returns:
        0; 2 after a fault of the user's; 128 + the signal after a stop.
    """
    parsed = parse_arguments(arguments)
    set_up_logging()
    try:
        distributed.check_environment()
        if parsed.list:
            list_configs()
            return 0
        return run(parsed, ["run.py", *arguments])
    except UserError as error:
        stopped = hasattr(error, "exit_code")
        say_last(str(error) if stopped else f"error: {error}", stopped)
        return getattr(error, "exit_code", 2)
    except OSError as error:  # a path of the config that cannot be read or written, a full disk
        if error.filename is None:
            text_log.note(traceback.format_exc(), logging.ERROR)
            raise
        say_last(f"error: {error.filename}: {error.strerror}; check this path in the config")
        return 2
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        say_last(
            f"error: not enough memory ({' '.join(str(error).split())[:200] or 'no details'}); give a smaller "
            "data.batch_size, images, captions or network"
        )
        return 2
    except KeyboardInterrupt as interruption:
        notes = getattr(interruption, "__notes__", ["the same command does what was not finished"])
        say_last(f"stopped; {notes[-1]}", stopped=True)
        return 128 + int(interruption.args[0] if interruption.args else signal.SIGINT)
    except Exception:
        text_log.note(traceback.format_exc(), logging.ERROR)
        raise
    finally:
        text_log.end()
        distributed.stop()


def run_to_the_end(arguments: list[str]) -> int:
    """Run the command line as the program itself; a signal that comes when all is done and said ends it at once.

    Args:
        arguments: of the command line, without the program's name.

    Returns:
        See :func:`main`; what Python does at its end is not interrupted by an exception either.
    """
    try:
        exit_code = main(arguments)
        stop.handle(lambda number, _frame: stop.end_at_once(number))
    except KeyboardInterrupt as interruption:
        stop.end_at_once(int(interruption.args[0]) if interruption.args else signal.SIGINT)
    return exit_code


if __name__ == "__main__":
    if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun itself started this rank
        stop.watch_parent(os.getppid(), lambda: stop.end_at_once(signal.SIGKILL))
    sys.exit(run_to_the_end(sys.argv[1:]))
