"""Run one config: load it, check it as a whole, start further ranks where it is run by several, call its entry."""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import config
from common import distributed
from common.disk_space import NoRoomError, full_disk, no_room
from common.errors import UserError
from engine import signals as stop
from engine.context import Context
from engine.launch import planned_processes, relaunch
from engine.logs import set_up_logging

log = logging.getLogger(__name__)


def run_config(parsed: argparse.Namespace, command: list[str], refuse: Callable[[config.Config], None]) -> int:
    """Load, check and run one config; return 0, or the exit code of :func:`relaunch`.

    ``refuse`` raises a UserError for configs of other programs before the check; ``command``, the whole command line,
    is kept in the run folder. A full disk is a NoRoomError.
    """
    set_up_logging()
    distributed.check_environment()
    loaded = config.load(parsed.file, parsed.overrides)
    refuse(loaded)
    values = config.check(loaded)
    if parsed.print_config:
        sys.stdout.write(config.dump(values))
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
        log.info(
            "%s is valid; %s has no training step to try, so nothing was run",
            config.short(loaded.path),
            values["entry"],
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


def _no_room(error: OSError | RuntimeError) -> NoRoomError | None:
    """Return a full disk's error in a sentence; None for other errors."""
    reason, name = full_disk(error), getattr(error, "filename", None)
    where = "a folder that is written to" if name is None else Path(name).absolute().parent
    return None if reason is None else no_room(where, reason)
