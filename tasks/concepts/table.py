"""One table of concepts: ``python run.py -f concepts.yaml``.

For each word of the world: what it is in each system, how well that fits, and what happens when it is taken away or
added, beside a control of equal size.

    concepts.csv, concepts.json   every word and part, each seed's figures
    parts/                        what each part found: a stopped command goes on from there
    report.html, metrics.json     one page
"""

import csv
import io
import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from common.errors import UserError
from common.files import write_whole
from common.text_files import read_text
from config.limits import Seed
from engine.context import Context
from engine.logs import say
from engine.run_folder import RunSettings
from evaluation.report.concepts import Cell, concepts_html
from evaluation.report.image_scores import Table
from models.segmenter.labels import ATTRIBUTE_GROUPS, UNUSED_SHAPE
from tasks.concepts.finding import Finding, Part, finding_of, plain
from tasks.results import results_folder, write_results
from tasks.results_page import renew_tables

log = logging.getLogger(__name__)
KINDS = ("colour", "shape", "size", "material")  # in the order of the table
WORDS = {
    kind: [label for group in ATTRIBUTE_GROUPS if group.name == kind for label in group.labels if label != UNUSED_SHAPE]
    for kind in KINDS
}
PARTS = "parts"
CAUSES = "above the control in every seed, and twice as large at least"
Findings = Mapping[str, Mapping[str, Finding]]
CSV_HEAD = (
    "word", "kind", "part", "what", "fit_name", "fit", "fit_chance", "effect_name", "effect", "effect_std", "control",
    "control_std", "cases", "causes",
)  # fmt: skip


class ConceptsTableError(UserError, ValueError):
    """A table without words or parts."""


def concepts_table(
    parts: dict[str, Part | None],
    context: Context,
    words: list[str] | None = None,
    seeds: Annotated[list[Seed], Field(min_length=2)] = [0, 1, 2],  # noqa: B006  never changed
    page: Path | None = None,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Ask every part for every word, and write one table.

    Args:
        parts: by name, in the order of the columns; null leaves one out.
        context: given by run.py.
        words: that are asked for; by default all colours, shapes, sizes and materials of the world.
        seeds: of everything random; figures are means and standard deviations over them.
        page: of the documentation, such as docs/results/NAME.md, in which the tables of this run are renewed as well.
        run: folder of the results.

    Raises:
        UserError: there is no part, no part has a word, or a part's files are missing or do not fit.
    """
    asked = {name: part for name, part in parts.items() if part is not None}
    wanted = words or [word for group in WORDS.values() for word in group]
    if not asked:
        raise ConceptsTableError("every part is null, so that there is no table; give at least one of parts")
    with results_folder(context, run) as folder:
        findings: dict[str, Mapping[str, Finding]] = {}
        protocols: dict[str, str] = {}
        for name, part in asked.items():
            log.info("%s: %s", name, part.title)
            kept = Kept(folder.path / PARTS / f"{name}.json", context.values.get("parts", {}).get(name), wanted, seeds)
            findings[name], protocol = kept.read() or kept.write(part, context.dry_run)
            protocols[name] = protocol[0].upper() + protocol[1:]
        known = [word for word in wanted if any(word in found for found in findings.values())]
        if not known:
            raise ConceptsTableError(f"no part knows any of {', '.join(wanted)}; expected words such as red or cube")
        if context.dry_run:
            log.info("dry run: %d words in %d parts", len(known), len(asked))
            return
        tables = [*_tables(asked, findings, protocols, known), _summary(asked, findings, known)]
        write_whole(folder.path / "concepts.csv", _csv(asked, findings, known).encode())
        write_whole(folder.path / "concepts.json", _json(asked, findings, protocols, known, seeds).encode())
        html = concepts_html(
            [(part.title, part.fit_name, part.effect_name, protocols[name]) for name, part in asked.items()],
            {word: (_kind(word), [_cell(findings[name].get(word)) for name in asked]) for word in known},
            len(seeds),
        )
        sections = [("Words in every system", html), (tables[-1].heading, tables[-1].html())]
        write_results(folder, context, "one table of concepts", _metrics(asked, findings), sections)
        if page is not None:
            renew_tables(page, tables, context, folder)
        for table in tables:
            say(table.text())


class Kept(NamedTuple):
    """The file of a part's findings, from which a stopped command goes on; another config or word makes it void."""

    path: Path
    node: Any  # of the part, as the config has it
    words: Sequence[str]
    seeds: Sequence[int]

    def _about(self) -> dict[str, Any]:
        return {"node": self.node, "words": list(self.words), "seeds": list(self.seeds)}

    def read(self) -> tuple[dict[str, Finding], str] | None:
        """Return findings and protocol that are there and fit."""
        try:
            kept = json.loads(read_text(self.path)) if self.path.is_file() else {}
        except ValueError:  # damaged: it is made again
            return None
        if kept.get("about") != json.loads(json.dumps(self._about())):
            return None
        log.info("%s is there already", self.path.name)
        return {word: finding_of(values) for word, values in kept["findings"].items()}, kept["protocol"]

    def write(self, part: Part, dry_run: bool) -> tuple[Mapping[str, Finding], str]:
        """Ask the part and keep what it finds; a dry run keeps nothing."""
        found = part.measure(self.words, self.seeds[:1] if dry_run else self.seeds, dry_run)
        protocol = part.protocol()
        if not dry_run:
            findings = {word: plain(one) for word, one in found.items()}
            values = {"about": self._about(), "protocol": protocol, "findings": findings}
            write_whole(self.path, (json.dumps(values, indent=1) + "\n").encode())
        return found, protocol


def _kind(word: str) -> str:
    return next((kind for kind, group in WORDS.items() if word in group), "")


def _cell(finding: Finding | None) -> Cell | None:
    if finding is None:
        return None
    effect, control = (finding.mean, finding.spread), (finding.control_mean, finding.control_spread)
    return Cell(finding.what, *finding.fit, effect, control, finding.cases, finding.causes)


def _tables(
    parts: Mapping[str, Part], findings: Findings, protocols: Mapping[str, str], words: Sequence[str]
) -> list[Table]:
    """Return for the documentation first all parts in short, then each with its protocol."""
    short = [(word, *(_short(findings[name].get(word)) for name in parts)) for word in words]
    protocol = f"effect / control, mean over seeds; ✓: {CAUSES}"
    tables = [Table("All systems", protocol, ("word", *(one.title for one in parts.values())), short)]
    for name, part in parts.items():
        rows = [_row(word, findings[name][word]) for word in words if word in findings[name]]
        head = ("word", "what", part.fit_name, "chance", part.effect_name, "control", "cases")
        tables.append(Table(part.title[0].upper() + part.title[1:], protocols[name], head, rows))
    return tables


def _short(finding: Finding | None) -> str:
    if finding is None:
        return "–"
    return f"{_percent(finding.mean)} / {_percent(finding.control_mean)}{' ✓' if finding.causes else ''}"


def _row(word: str, one: Finding) -> tuple[str, ...]:
    effect = f"{_percent(one.mean)} ± {_percent(one.spread)}{' ✓' if one.causes else ''}"
    control = f"{_percent(one.control_mean)} ± {_percent(one.control_spread)}"
    return (word, one.what, _number(one.fit.value), _number(one.fit.chance), effect, control, str(one.cases))


def _summary(parts: Mapping[str, Part], findings: Findings, words: Sequence[str]) -> Table:
    """Count the words of each kind whose effect is above its control."""
    rows = []
    for name, part in parts.items():
        found = findings[name]
        counts = []
        for kind in KINDS:
            own = [found[word] for word in words if word in found and _kind(word) == kind]
            counts.append(f"{sum(one.causes for one in own)} of {len(own)}" if own else "–")
        rows.append((part.title, *counts))
    protocol = f"words whose effect is {CAUSES}"
    return Table("Words that are causes", protocol, ("part", *KINDS), rows)


def _metrics(parts: Mapping[str, Part], findings: Findings) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name in parts:
        own = [one for one in findings[name].values() if not math.isnan(one.mean)]
        if own:
            metrics |= {
                f"{name}/words": float(len(own)),
                f"{name}/causes": float(sum(one.causes for one in own)),
                f"{name}/effect": sum(one.mean for one in own) / len(own),
                f"{name}/control": sum(one.control_mean for one in own) / len(own),
                f"{name}/fit": sum(one.fit.value for one in own) / len(own),
                f"{name}/fit_chance": sum(one.fit.chance for one in own) / len(own),
            }
    return metrics


def _csv(parts: Mapping[str, Part], findings: Findings, words: Sequence[str]) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(CSV_HEAD)
    for word in words:
        for name, part in parts.items():
            if (one := findings[name].get(word)) is not None:
                fit = (f"{value:.4f}" for value in one.fit)
                numbers = (one.mean, one.spread, one.control_mean, one.control_spread)
                effect = (f"{value:.4f}" for value in numbers)
                about = (word, _kind(word), name, one.what, part.fit_name)
                lines.writerow((*about, *fit, part.effect_name, *effect, one.cases, int(one.causes)))
    return text.getvalue()


def _json(
    parts: Mapping[str, Part],
    findings: Findings,
    protocols: Mapping[str, str],
    words: Sequence[str],
    seeds: Sequence[int],
) -> str:
    about = {
        name: {"title": one.title, "fit": one.fit_name, "effect": one.effect_name, "protocol": protocols[name]}
        for name, one in parts.items()
    }
    found = {word: {name: plain(findings[name][word]) for name in parts if word in findings[name]} for word in words}
    return json.dumps({"seeds": list(seeds), "parts": about, "words": found}, indent=1, allow_nan=False) + "\n"


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.0f} %"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"
