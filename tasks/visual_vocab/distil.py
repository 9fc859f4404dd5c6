"""Distil words from annotated directions: ``python run.py -f visual_vocab/distil.yaml``.

vocabulary.safetensors, vocabulary.json   a direction for each word, over all and of each class
distilled/                                the same over all, in the layout of the published ``distilled_*`` data sets
words.csv                                 class, word, annotations that hold it, length of its direction
report.html, metrics.json                 the most frequent words; penalty and error of held-out directions
"""

import csv
import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

import config
from common.files import write_whole
from config.limits import Count, Positive, Seed
from engine.context import Context
from engine.logs import say
from engine.run_folder import RunSettings
from evaluation.numbers import number
from evaluation.report.image_scores import Table
from gan.directions.distillation import PENALTIES, DistillationError, Vocabulary, Words, distil, words_of
from gan.directions.files import ALL, save_vocabularies
from published.visual_vocab.data_sets import AnnotatedDirectionsDataset, open_data_set, save_data_set
from published.visual_vocab.files import URLS, load
from tasks.results import results_folder, write_results

log = logging.getLogger(__name__)
FILE = "vocabulary.safetensors"
SHOWN = 40  # words in the report


def distil_words(
    annotations: Path,
    context: Context,
    penalties: Annotated[list[Positive], Field(min_length=1)] = list(PENALTIES),  # noqa: B006  never changed
    min_count: Count = 5,
    folds: Annotated[int, Field(ge=2, le=100)] = 5,
    by_class: str | None = "class",
    words: Words | None = None,
    seed: Seed = 0,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Distil a direction for each word by ridge regression and write them.

    Args:
        annotations: a data set in the published layout: its folder, its zip or tar file, or the key of a published one
            such as ``lsd_all``, which is fetched when it is not there.
        context: given by run.py.
        penalties: of the ridge; of several cross-validation chooses.
        min_count: annotations that a word must appear in.
        folds: parts of the directions, each held out once.
        by_class: column of metadata.csv whose values are classes; words are distilled for each, too, that has enough
            annotations. None for all together alone.
        words: splits a text, such as ``gan.directions.words.EnglishWords``; small letters alone by default.
        seed: of the parts.
        run: folder of the results.

    Raises:
        UserError: the data set is incomplete or damaged, or no word is frequent enough.
    """
    published = annotations.name in URLS and not annotations.exists()
    data = load(annotations.name) if published else open_data_set(annotations)
    split = words or words_of
    settings = {"penalty": penalties, "min_count": min_count, "folds": folds, "seed": seed, "words": split}
    found = _vocabularies(data, by_class, settings)
    with results_folder(context, run) as folder:
        if context.dry_run:
            log.info("dry run: %d words, penalty %g", len(found[ALL].words), found[ALL].penalty)
            return
        made = {"annotations": config.short(annotations), "command": " ".join(context.command)}
        made |= {"generator": context.values.get("generator")} if "generator" in context.values else {}
        save_vocabularies(folder.path / FILE, found, made)
        every = found[ALL]
        save_data_set(folder.path / "distilled", every.vectors, [[word] for word in every.words])
        write_whole(folder.path / "words.csv", _csv(found))
        tables = [_table(name, one) for name, one in found.items()]
        write_results(folder, context, "words", metrics_of(found), [(one.heading, one.html()) for one in tables])
        say(tables[0].text())
        say(config.short(folder.path / FILE))


def _vocabularies(
    data: AnnotatedDirectionsDataset, by_class: str | None, settings: Mapping[str, object]
) -> dict[str, Vocabulary]:
    """Distil over all directions, and over those of each class that has enough annotations."""
    texts = [data.annotations[d_id] for d_id in range(len(data))]
    found = {ALL: distil(data.ds, texts, **settings)}
    if by_class is None:
        return found
    kinds = [data.metadata[d_id].get(by_class, "") for d_id in range(len(data))]
    if ALL in kinds:
        raise DistillationError(f"metadata.csv calls a {by_class} {ALL!r}, the name of all together; rename it")
    for kind in sorted(set(kinds) - {""}):
        rows = [row for row, one in enumerate(kinds) if one == kind]
        try:
            found[kind] = distil(data.ds[rows], [texts[row] for row in rows], **settings)
        except DistillationError as error:
            log.warning("%s %s has no words of its own: %s", by_class, kind, error)
    return found


def metrics_of(found: Mapping[str, Vocabulary]) -> dict[str, float]:
    """Return of each class the number of words, the penalty and the error of held-out directions with it."""
    metrics = {}
    for name, one in found.items():
        metrics |= {f"words/{name}": float(len(one.words)), f"penalty/{name}": one.penalty}
        if one.errors:
            metrics[f"held_out_error/{name}"] = one.errors[one.penalty]
    return metrics


def _table(name: str, one: Vocabulary) -> Table:
    errors = ", ".join(f"{penalty:g}: {error:.5g}" for penalty, error in one.errors.items())
    protocol = f"{len(one.words)} words, ridge penalty {one.penalty:g}" + (
        f"; held-out errors {errors}" if errors else ""
    )
    lengths = one.vectors.norm(dim=1).tolist()
    rows = [
        (word, str(count), number(length))
        for word, count, length in list(zip(one.words, one.counts, lengths, strict=True))[:SHOWN]
    ]
    return Table(f"Words of {name}", protocol, ("word", "annotations", "length"), rows)


def _csv(found: Mapping[str, Vocabulary]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("class", "word", "count", "length"))
    for name, one in found.items():
        lengths = one.vectors.norm(dim=1).tolist()
        writer.writerows(
            (name, word, count, f"{length:.6g}")
            for word, count, length in zip(one.words, one.counts, lengths, strict=True)
        )
    return text.getvalue().encode()
