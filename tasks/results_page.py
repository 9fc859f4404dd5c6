"""Pages of docs/results: what a command measured stands between two marks, what people wrote stays around them."""

import logging
import shlex
from collections.abc import Sequence
from pathlib import Path

import config
from common.files import write_whole
from common.text_files import read_text
from engine.context import Context
from engine.run_folder import RunFolder
from evaluation.report.image_scores import Table
from tasks.results import last_start

log = logging.getLogger(__name__)


def renew_tables(page: Path, tables: Sequence[Table], context: Context, folder: RunFolder) -> None:
    """Write a measurement's tables into a page, with the command, commit and machine that made them."""
    start = last_start(folder)
    command = shlex.join(["python", *context.command])
    made = f"Command: `{command}`  \nCommit: {start['commit']}  \nMachine: {start['machine']}"
    parts = [f"## {context.run_name}", made, *(f"### {one.heading}\n\n{one.markdown()}" for one in tables)]
    renew_page(config.resolve_path(page), "\n\n".join(parts), context.run_name)
    log.info("renewed the tables of %s", config.short(page))


def renew_page(path: Path, text: str, by: str) -> None:
    """Put ``text`` (Markdown) in the place of what ``by`` last wrote in a page, or at the end of it."""
    former = read_text(path) if path.is_file() else f"# {path.stem.replace('_', ' ')}\n"
    write_whole(path, renewed(former, text, by).encode())


def renewed(page: str, text: str, by: str) -> str:
    """Return a page with ``text`` between the marks of ``by``, or at its end; the rest of the page stays."""
    begin, end = marks(by)
    before, mark, rest = page.partition(begin)
    after = rest.partition(end)[2] if mark else "\n"
    before = before if mark else before.rstrip("\n") + "\n\n"
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"


def marks(by: str) -> tuple[str, str]:
    """Return the lines between which ``by`` writes."""
    return f"<!-- written by {by}: begin -->", f"<!-- written by {by}: end -->"
