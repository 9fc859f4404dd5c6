"""Write what a measurement of trained weights finds: a run folder without checkpoints, metrics and a report."""

import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import config
from common.errors import UserError
from engine.context import Context
from engine.logs import say
from engine.run_folder import RunFolder, RunSettings
from evaluation.report.retrieval import Query, Report, metrics_table, write_metrics, write_report

log = logging.getLogger(__name__)


@contextmanager
def results_folder(context: Context, run: RunSettings) -> Iterator[RunFolder]:
    """Yield a measurement's run folder, its config and command written; a dry run gets a temporary one.

    Raises a UserError where the folder holds a training run.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) if context.dry_run else run.path(context.name)
        folder = RunFolder(path)
        if any(folder.checkpoints.glob("*.pt")):
            raise UserError(f"{folder.path} holds a training run; give the experiment another run.name=...")
        folder.prepare(context.values, run.resume, context.command)
        yield folder
        folder.release()


def write_results(
    folder: RunFolder,
    context: Context,
    title: str,
    metrics: dict[str, float],
    sections: Sequence[tuple[str, str]] = (),
    queries: Sequence[Query] = (),
    weights: str | None = None,
) -> None:
    """Write metrics.json and report.html (``sections``: heading and HTML) and show where they are; a dry run logs."""
    if context.dry_run:
        log.info("dry run: %s", {name: round(value, 4) for name, value in metrics.items()})
        return
    write_metrics(folder.path, metrics)
    report = Report(
        title=f"{context.run_name}: {title}",
        metrics=metrics,
        queries=list(queries),
        sections=list(sections),
        config_yaml=context.config_text,
        info={"config": context.name} | ({"weights": weights} if weights else {}) | last_start(folder),
    )
    write_report(folder.path / "report.html", report)
    show_results(folder, metrics)


def show_results(folder: RunFolder, metrics: dict[str, float]) -> None:
    """Print the metrics and where everything is."""
    say(metrics_table(metrics))
    for name in ("report.html", "metrics.json"):
        path = folder.path / name
        if path.exists():
            say(f"{name:<14}{config.short(path)}")


def last_start(folder: RunFolder) -> dict[str, str]:
    """Return the last start of a run as readable rows."""
    last = json.loads((folder.path / "info.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    machine = last["machine"]
    return {
        "started": last["started"],
        "command": " ".join(last["command"]),
        "commit": last["commit"] or "not in git",
        "seed": str(last["seed"]),
        "machine": f"{machine['cores']} cores, {machine['gpu'] or 'no GPU'}, {machine['system']}",
        "packages": ", ".join(f"{name} {version}" for name, version in last["packages"].items()),
    }
