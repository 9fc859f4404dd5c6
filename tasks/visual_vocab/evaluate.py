"""Does adding a concept's direction make the concept appear? ``python run.py -f visual_vocab/evaluate.yaml``.

For each method's vocabulary, each concept and each judge: in which fraction of latents the concept appears or grows,
against random directions of equal length; what else changes; two concepts at once; classes it was not distilled from.

    figures.json               everything, by method, judge and concept
    report.html, metrics.json  tables, and images of every concept

Shape letters: Z latents, L labels, D numbers in a latent.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from common import distributed
from common.files import write_whole
from config.limits import BatchSize, Count, Seed
from engine.context import Context
from engine.logs import progress, say
from engine.run_folder import RunSettings
from evaluation.concepts import ConceptError, Effect, effect, grown, mean_effect
from evaluation.report.image_scores import Table
from gan.directions.directions import DirectionError, RandomDirections, shifted
from gan.directions.distillation import Vocabulary
from gan.directions.files import ALL, load_vocabularies
from gan.directions.subjects import Subjects, class_names, draw_images, draw_subjects
from gan.latents import latent_dim_of
from tasks.results import results_folder, write_results
from tasks.results_page import renew_tables
from tasks.visual_vocab.annotation.annotate import Alpha
from tasks.visual_vocab.judges import ConceptJudge, class_by
from tasks.visual_vocab.pictures import sections_of, strip_of

log = logging.getLogger(__name__)
FIGURES = "figures.json"
BATCH = 50  # images at a time
TRIED = 4  # latents of a dry run
SHOWN = 3  # latents that are shown of each concept
COUNTED = ("colour", "shape")  # kinds whose words are counted in the summary
Pair = Annotated[list[str], Field(min_length=2, max_length=2)]


@dataclass(frozen=True)
class EvaluationSettings:
    """Numbers on which the figures depend.

    Attributes:
        alpha: length of the step.
        latents: Z, of each seed.
        seeds: of latents and random directions.
        random: directions that stand for chance, of each seed.
        class_kind: kind of label by which latents are parted where the generator has no classes.
    """

    alpha: Alpha = 6.0
    latents: Count = 200
    seeds: Annotated[list[Seed], Field(min_length=1)] = (0, 1, 2)  # type: ignore[assignment]
    random: Count = 4
    class_kind: str = "shape"


class Looker:
    """Generate images of some latents after a step, and have every judge look at them."""

    def __init__(
        self, generator: nn.Module, judges: Mapping[str, ConceptJudge], subjects: Subjects, batch_size: int
    ) -> None:
        self.generator, self.judges, self.subjects, self.batch_size = generator, judges, subjects, batch_size
        self.before = self.after(torch.zeros(subjects.latents.shape[1]))

    def after(self, step: Tensor) -> dict[str, Tensor]:
        """Return each judge's degrees (Z, L) of the images after a ``step`` (D,)."""
        device = next(self.generator.parameters()).device
        latents = self.subjects.latents + step
        found: dict[str, list[Tensor]] = {name: [] for name in self.judges}
        for rows in torch.arange(len(latents)).split(self.batch_size):
            some = Subjects(latents, self.subjects.classes).take(rows)
            images = draw_images(self.generator, Subjects(*(one if one is None else one.to(device) for one in some)))
            for name, judge in self.judges.items():
                found[name].append(judge.degrees(images))
        return {name: torch.cat(parts) for name, parts in found.items()}


def evaluate(
    vocabularies: dict[str, Path | None],
    generator: nn.Module,
    judges: dict[str, ConceptJudge | None],
    context: Context,
    concepts: list[str] | None = None,
    compositions: list[Pair] = [],  # noqa: B006  never changed
    settings: EvaluationSettings = EvaluationSettings(),
    transfer: bool = True,
    batch_size: BatchSize = BATCH,
    page: Path | None = None,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Judge the concepts of vocabularies and write tables.

    Args:
        vocabularies: ``vocabulary.safetensors`` of ``visual_vocab/distil.yaml`` by the name of the method; null leaves
            one out. The first is also shown, composed and transferred.
        generator: that they were found for.
        judges: by name; null leaves one out.
        context: given by run.py.
        concepts: words that are judged; by default all of the first vocabulary that are labels of a judge.
        compositions: pairs of concepts that are added at once.
        settings: numbers on which the figures depend.
        transfer: also try the words of each class on latents of every other class; of a generator of classes, on as
            many latents of each class that has words of its own.
        batch_size: images at a time.
        page: of the documentation, such as docs/results/NAME.md, in which the tables of this run are renewed as well.
        run: folder of the results.

    Raises:
        UserError: a file is missing, damaged or of another generator, a concept has no direction or no judge knows it.
    """
    paths = {name: path for name, path in vocabularies.items() if path is not None}
    asked = {name: judge for name, judge in judges.items() if judge is not None}
    if not paths or not asked:
        raise ConceptError("vocabularies or judges is empty, so that nothing is judged; give at least one of each")
    found = {name: _checked(path, generator) for name, path in paths.items()}
    first = next(iter(found.values()))
    known = {label for judge in asked.values() for label in judge.labels}
    words = concepts or [word for word in first[ALL].words if word in known]
    _check_words(words, compositions, found, known)
    generator = generator.to(distributed.pick_device()).eval().requires_grad_(False)
    with results_folder(context, run) as folder:
        number = TRIED if context.dry_run else settings.latents
        seeds = settings.seeds[:1] if context.dry_run else settings.seeds
        lookers = [Looker(generator, asked, draw_subjects(generator, number, seed), batch_size) for seed in seeds]
        chance = [_random(looker, seed, settings) for looker, seed in zip(lookers, seeds, strict=True)]
        effects = _effects(found, words, lookers, chance, settings)
        if context.dry_run:
            log.info("dry run: %d words of %d vocabularies by %d judges", len(words), len(found), len(asked))
            return
        tables = [*_effect_tables(effects, settings), _summary(effects, asked)]
        together = _compositions(compositions, first[ALL], lookers, seeds, settings)
        if together:
            tables.append(_composition_table(together))
        if transfer:
            tables += _transfer_tables(first, words, _by_class(lookers[0], first, seeds[0], number, settings), settings)
        sections = [(table.heading, table.html()) for table in tables]
        sections += sections_of(list(_strips(generator, lookers[0].subjects, first[ALL], words, settings.alpha)), [])
        figures = {
            "settings": {"alpha": settings.alpha, "latents": number, "seeds": list(seeds), "random": settings.random},
            "effects": {f"{method}/{judge}/{word}": one._asdict() for (method, judge, word), one in effects.items()},
            "compositions": together,
            "tables": [{"heading": one.heading, "protocol": one.protocol, "rows": one.rows} for one in tables],
        }
        write_whole(folder.path / FIGURES, (json.dumps(figures, indent=1) + "\n").encode())
        write_results(folder, context, "concepts", metrics_of(effects, asked), sections)
        if page is not None:
            renew_tables(page, tables, context, folder)
        for table in tables:
            say(table.text())


def _checked(path: Path, generator: nn.Module) -> dict[str, Vocabulary]:
    """Read vocabularies that fit the generator."""
    found, _ = load_vocabularies(path)
    dim = latent_dim_of(generator)
    if found[ALL].vectors.shape[1] != dim:
        raise DirectionError(
            f"{path}: directions have {found[ALL].vectors.shape[1]} numbers and the generator's latents {dim}; take "
            "the generator they were found for"
        )
    return found


def _check_words(
    words: Sequence[str],
    compositions: Sequence[Sequence[str]],
    found: Mapping[str, Mapping[str, Vocabulary]],
    known: set[str],
) -> None:
    """Raise where there is nothing to judge, or nobody knows a word."""
    if not words:
        raise ConceptError(
            f"no word of the vocabulary is a label of a judge ({', '.join(sorted(known))}); annotate more"
        )
    for word in [*words, *(word for pair in compositions for word in pair)]:
        if word not in known:
            raise ConceptError(f"no judge knows {word!r}; expected one of {', '.join(sorted(known))}")
    first = next(iter(found.values()))[ALL]
    for word in [*words, *(word for pair in compositions for word in pair)]:
        first.direction(word)  # refuses words without a direction


def _random(looker: Looker, seed: int, settings: EvaluationSettings) -> list[dict[str, Tensor]]:
    """Return what every judge sees after steps along random directions."""
    method = RandomDirections(settings.random)
    drawn = method.find(looker.generator, looker.subjects.latents, looker.subjects.classes, seed=10**6 + seed)
    return [looker.after(settings.alpha * vector) for vector in drawn.vectors[0]]


def _step(direction: Tensor, alpha: float) -> Tensor:
    return shifted(torch.zeros_like(direction), direction, alpha)


def _effects(
    found: Mapping[str, Mapping[str, Vocabulary]],
    words: Sequence[str],
    lookers: Sequence[Looker],
    chance: Sequence[Sequence[Mapping[str, Tensor]]],
    settings: EvaluationSettings,
) -> dict[tuple[str, str, str], Effect]:
    """Judge every word of every method."""
    tried = [(method, word) for method, one in found.items() for word in words if word in one[ALL].words]
    every: dict[tuple[str, str, str], list[Effect]] = {}
    for method, word in progress(tried, len(tried), "concepts"):
        step = _step(found[method][ALL].direction(word), settings.alpha)
        for looker, random in zip(lookers, chance, strict=True):
            after = looker.after(step)
            for name, judge in looker.judges.items():
                if word not in judge.labels:
                    continue
                label, before = judge.labels.index(word), looker.before[name]
                strange = [one[name] for one in random]
                one = effect(before, after[name], strange, label, judge.categories, judge.least)
                every.setdefault((method, name, word), []).append(one)
    return {key: mean_effect(values) for key, values in every.items()}


def _compositions(
    pairs: Sequence[Sequence[str]],
    vocabulary: Vocabulary,
    lookers: Sequence[Looker],
    seeds: Sequence[int],
    settings: EvaluationSettings,
) -> list[dict[str, Any]]:
    """Add two concepts at once: in which fraction of latents do both grow, by each judge that knows both?"""
    found = []
    for pair in pairs:
        both = sum(_step(vocabulary.direction(word), settings.alpha) for word in pair)
        seen: dict[str, list[list[float]]] = {}
        for looker, seed in zip(lookers, seeds, strict=True):
            drawn = RandomDirections(1).find(looker.generator, *looker.subjects, seed=2 * 10**6 + seed)
            ends = [looker.after(step) for step in (both, both.norm() * drawn.vectors[0, 0])]
            for name, judge in looker.judges.items():
                if set(pair) <= set(judge.labels):
                    columns = [judge.labels.index(word) for word in pair]
                    there, strange = (grown(looker.before[name], one[name], judge.least)[:, columns] for one in ends)
                    shares = [there.all(dim=1), *there.unbind(1), strange.all(dim=1)]
                    seen.setdefault(name, []).append([one.float().mean().item() for one in shares])
        for name, rows in seen.items():
            together, *each, by_random = torch.tensor(rows).mean(dim=0).tolist()
            about = {"concepts": list(pair), "judge": name}
            found.append(about | {"both": together, "each": each, "both_by_random": by_random})
    return found


class _OfClass(NamedTuple):
    """Latents of one class, and what the judges see after random steps from them."""

    name: str
    looker: Looker
    rows: Tensor  # int64, those latents of the looker that are of the class
    random: dict[str, Tensor]  # (Z, L) degrees by judge


def _by_class(
    looker: Looker, vocabularies: Mapping[str, Vocabulary], seed: int, number: int, settings: EvaluationSettings
) -> list[_OfClass]:
    """Return latents of every class.

    Of a generator of classes they are drawn anew for each class that has words of its own; otherwise the class of a
    latent is what the first judge that knows the kind sees.
    """
    drawn = RandomDirections(1).find(looker.generator, *looker.subjects, seed=3 * 10**6 + seed).vectors[0, 0]
    step = settings.alpha * drawn
    if looker.subjects.classes is not None:
        names = [name for name in class_names(looker.generator) if name in vocabularies]
        lookers = {
            name: Looker(
                looker.generator,
                looker.judges,
                draw_subjects(looker.generator, number, seed, of_class=name),
                looker.batch_size,
            )
            for name in names
        }
        return [_OfClass(name, one, torch.arange(number), one.after(step)) for name, one in lookers.items()]
    kind = settings.class_kind
    seen = next((name for name, judge in looker.judges.items() if kind in judge.categories), None)
    classes = [] if seen is None else class_by(looker.judges[seen], looker.before[seen], kind)
    random = looker.after(step)
    return [
        _OfClass(name, looker, torch.tensor([row for row, one in enumerate(classes) if one == name]), random)
        for name in sorted(set(classes) - {""})
    ]


def _transfer_tables(
    vocabularies: Mapping[str, Vocabulary],
    words: Sequence[str],
    found: Sequence[_OfClass],
    settings: EvaluationSettings,
) -> Iterator[Table]:
    """Return how often words of each class work in latents of every class, and how often random directions do."""
    if len(found) < 2:
        return
    rows = []
    by_chance: dict[str, list[float]] = {one.name: [] for one in found}
    for source, vocabulary in vocabularies.items():
        tried = [word for word in words if word in vocabulary.words]
        shares: dict[str, list[float]] = {one.name: [] for one in found}
        for word in tried:
            step = _step(vocabulary.direction(word), settings.alpha)
            after = {looker: looker.after(step) for looker in dict.fromkeys(one.looker for one in found)}
            for one in found:
                shares[one.name].append(_grew(one, word, after[one.looker]))
                by_chance[one.name].append(_grew(one, word, one.random))
        if tried:
            rows.append((source, str(len(tried)), *(_percent(sum(own) / len(own)) for own in shares.values())))
    if rows:
        rows.append(("random directions", "–", *(_percent(sum(own) / len(own)) for own in by_chance.values())))
    counts = ", ".join(f"{one.name} {len(one.rows)}" for one in found)
    protocol = f"mean over words of the fraction of latents in which the word appears or grows; latents: {counts}"
    head = ("words of", "words", *(f"in {one.name}" for one in found))
    yield Table("Transfer to other classes", protocol, head, rows)


def _grew(one: _OfClass, word: str, after: Mapping[str, Tensor]) -> float:
    """Return in which fraction of a class's latents a word appears or grows, by the first judge that knows it."""
    name = next(name for name, judge in one.looker.judges.items() if word in judge.labels)
    judge = one.looker.judges[name]
    column = judge.labels.index(word)
    return grown(one.looker.before[name], after[name], judge.least)[one.rows, column].float().mean().item()


def _effect_tables(effects: Mapping[tuple[str, str, str], Effect], settings: EvaluationSettings) -> Iterator[Table]:
    """Return a table of each judge: concepts down, methods across."""
    methods, judges = (list(dict.fromkeys(key[place] for key in effects)) for place in (0, 1))
    seeds = ", ".join(map(str, settings.seeds))
    for judge in judges:
        words = list(dict.fromkeys(word for _, one, word in effects if one == judge))
        rows = []
        for word in words:
            own = [effects.get((method, judge, word)) for method in methods]
            chance = next(one.random for one in own if one is not None)
            cells = [_cell(one) for one in own]
            rows.append((word, _percent(chance), *cells))
        protocol = (
            f"fraction of {settings.latents} latents (seeds {seeds}) in which the concept appears or grows after a "
            f"step of {settings.alpha:g}, by the {judge}; behind it purity and change of other kinds; random: "
            f"{settings.random} directions of equal length"
        )
        yield Table(f"Concepts by the {judge}", protocol, ("concept", "random", *methods), rows)


def _summary(effects: Mapping[tuple[str, str, str], Effect], judges: Mapping[str, ConceptJudge]) -> Table:
    """Count the words that appear at least twice as often as by random directions."""
    rows = []
    for (method, judge), kinds in _doubled(effects, judges).items():
        rows.append((method, judge, *(f"{right} of {number}" for right, number in kinds)))
    protocol = "words whose attribute appears at least twice as often as by random directions of equal length"
    return Table("Words that work", protocol, ("method", "judge", *(f"{kind} words" for kind in COUNTED)), rows)


def _doubled(
    effects: Mapping[tuple[str, str, str], Effect], judges: Mapping[str, ConceptJudge]
) -> dict[tuple[str, str], list[tuple[int, int]]]:
    found = {}
    for method, judge in dict.fromkeys((method, judge) for method, judge, _ in effects):
        one = judges[judge]
        kind_of = dict(zip(one.labels, one.categories, strict=True))
        found[method, judge] = [
            (sum(item.doubled for item in words), len(words))
            for words in (
                [e for (m, j, word), e in effects.items() if (m, j) == (method, judge) and kind_of[word] == kind]
                for kind in COUNTED
            )
        ]
    return found


def _composition_table(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            " + ".join(one["concepts"]),
            one["judge"],
            _percent(one["both"]),
            " / ".join(map(_percent, one["each"])),
            _percent(one["both_by_random"]),
        )
        for one in found
    ]
    protocol = "fraction of latents in which both concepts grow after both steps at once"
    return Table("Two concepts at once", protocol, ("concepts", "judge", "both", "each", "both by random"), rows)


def _strips(
    generator: nn.Module, subjects: Subjects, vocabulary: Vocabulary, words: Sequence[str], alpha: float
) -> Iterator[Any]:
    device = next(generator.parameters()).device
    on = Subjects(*(None if one is None else one.to(device) for one in subjects))
    for word in words:
        for row in range(min(SHOWN, len(subjects.latents))):
            direction = vocabulary.direction(word).to(device)
            yield strip_of(generator, on.take(slice(row, row + 1)), word, direction, [-alpha, 0.0, alpha])


def metrics_of(effects: Mapping[tuple[str, str, str], Effect], judges: Mapping[str, ConceptJudge]) -> dict[str, float]:
    """Return every method's figures: success and random of each word, means, and words that work."""
    metrics: dict[str, float] = {}
    for (method, judge), kinds in _doubled(effects, judges).items():
        own = [one for (m, j, _), one in effects.items() if (m, j) == (method, judge)]
        metrics |= {
            f"success/{method}/{judge}": sum(one.success for one in own) / len(own),
            f"random/{method}/{judge}": sum(one.random for one in own) / len(own),
            f"purity/{method}/{judge}": sum(one.purity for one in own) / len(own),
        }
        for kind, (right, _) in zip(COUNTED, kinds, strict=True):
            metrics[f"{kind}_words_doubled/{method}/{judge}"] = float(right)
    return metrics


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _cell(one: Effect | None) -> str:
    if one is None:
        return "–"
    return f"{_percent(one.success)}{' ✓' if one.doubled else ''} ({one.purity:.2f}, {one.other:.3f})"
