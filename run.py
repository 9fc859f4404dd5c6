"""Run a config: ``python run.py -f train_example.yaml key.sub=value``.

The file is looked up in config_files/ or taken as a path, checked as a whole, and its ``entry`` is called: on as many
visible GPUs as its batches can be shared by, or as one rank of a torchrun job.

Imports that take seconds (torch) stand in the functions that need them, so that ``--help`` and ``--list`` are quick.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  old interpreters must get a sentence, not a syntax error
    sys.exit(f"drawl needs Python 3.11 or newer; this is {sys.version.split()[0]} ({sys.executable})")

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C within the imports, which take seconds, ends without words

import argparse
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config import Config


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the options and ``overrides`` of the command line; wrong ones end the program with code 2."""
    parser = argparse.ArgumentParser(
        prog="run.py",
        description="Run a config file.",
        epilog="key.sub=value arguments override the config; values are parsed as YAML.",
    )
    parser.add_argument("-f", "--file", help="a config, by name in config_files/ or by path")
    parser.add_argument(
        "--list",
        nargs="?",
        const="",
        metavar="WORD",
        help="list every config with its description, or those whose name or description holds a word",
    )
    parser.add_argument("--print-config", action="store_true", help="print the resolved config and end")
    parser.add_argument("--dry-run", action="store_true", help="build everything, run one step, write nothing")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="override a value of the config")
    parsed = parser.parse_intermixed_args(arguments)
    if parsed.list is None and not parsed.file:
        named = next((text for text in parsed.overrides if "=" not in text), None)
        if named is not None:
            parser.error(f"'{named}' is no key=value; to run that config, write -f {shlex.quote(named)}")
        parser.error("give a config with -f, or --list to see them")
    return parsed


def list_configs(word: str) -> int:
    """Print the configs, with descriptions, whose name or description holds a word (case aside); return 0, or 2."""
    from config.load import CONFIG_FOLDER, descriptions

    found = {path.relative_to(CONFIG_FOLDER).as_posix(): text for path, text in descriptions()}
    shown = {name: text for name, text in found.items() if word.lower() in f"{name} {text}".lower()}
    if not shown:
        print(f"error: no config holds '{word}' in its name or description; --list shows every config", file=sys.stderr)
        return 2
    width = max(map(len, shown))
    for name, text in shown.items():
        print(f"{name:<{width}}  {text}")
    return 0


def refuse_configs_of_the_original(loaded: "Config") -> None:
    """Raise a UserError for a YAML of surisdi/learning-by-drawing, with the command here that does the same."""
    if "entry" in loaded.values or "args" not in loaded.values:
        return
    import config
    from common.errors import UserError
    from published.words_by_drawing.options import (  # it imports every network: only when needed
        answer,
        is_of_the_original,
    )

    if is_of_the_original(loaded.values):
        raise UserError(answer(config.short(loaded.path), loaded.values, lambda name: config.load(name).values))


def main(arguments: list[str], program: bool = False) -> int:
    """Run the command line; errors that a user can mend end in one message and exit code 2, a stop in 128 + the signal.

    With ``program`` the process ends with it, and ends itself when torchrun is gone.
    """
    parsed = parse_arguments(arguments)
    if parsed.list is not None:
        return list_configs(parsed.list)
    try:
        from engine.exit_codes import exit_code_at_the_end, exit_code_of
        from engine.run_config import run_config
    except ModuleNotFoundError as error:
        from pathlib import Path

        lacking = (error.name or "").partition(".")[0]
        if not lacking or Path(__file__).with_name(lacking).is_dir():
            raise
        sys.exit(f"{sys.executable} has no {lacking}: run scripts/quickstart.sh once, then source .venv/bin/activate")
    command = ["run.py", *arguments]
    ends = exit_code_at_the_end if program else exit_code_of
    return ends(lambda: run_config(parsed, command, refuse_configs_of_the_original))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], program=True))
