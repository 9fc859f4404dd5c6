"""Annotate what directions change: ``python run.py -f visual_vocab/annotate.yaml``.

    data_set/    ds.pth, metadata.csv, annotations.csv in the layout of schwettmann/visual-vocab, which reads it too
    report.html, metrics.json   pairs of images with their texts; how many, and how far annotators agree

An annotator may be a program; annotations of people come from CSVs in the published columns, such as those of
``visual_vocab/annotate_page.yaml``.
"""

import logging
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

import config
from common import distributed
from common.errors import UserError
from config.limits import BatchSize, Count, Seed
from engine.context import Context
from engine.logs import progress, say
from engine.run_folder import RunSettings
from evaluation.agreement import Agreement, bert_score, bleu, language_model, word_overlap
from evaluation.report.strips import STYLE, Strip, strips_html
from gan.directions.distillation import Words, words_of
from gan.directions.files import load_directions
from gan.images import to_uint8
from published.visual_vocab.data_sets import (
    DIRECTIONS,
    Annotation,
    DirectionsDataset,
    read_annotations,
    save_data_set,
)
from tasks.results import results_folder, write_results
from tasks.visual_vocab.annotation.annotator import Annotator
from tasks.visual_vocab.annotation.pairs import ShownPairs

log = logging.getLogger(__name__)
FOLDER = "data_set"
SHOWN = 24  # pairs in the report
TRIED = 4  # pairs of a dry run
AT_ONCE = 32
Alpha = Annotated[float, Field(gt=0, le=100)]


def annotate(
    directions: Path,
    generator: nn.Module,
    context: Context,
    annotator: Annotator | None = None,
    imports: list[Path] = [],  # noqa: B006  never changed
    alpha: Alpha = 6.0,
    latents: Count = 8,
    both_ways: bool = False,
    words: Words | None = None,
    language_models: list[Path] = [],  # noqa: B006  never changed
    seed: Seed = 0,
    batch_size: BatchSize = AT_ONCE,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Write a data set of annotated directions.

    Args:
        directions: ``directions.safetensors`` of ``visual_vocab/directions.yaml``.
        generator: that they were found for.
        context: given by run.py.
        annotator: a program that annotates; None for imports alone.
        imports: CSVs with the columns d_id and annotation, perhaps annotator, about the same rows.
        alpha: length of the step that is shown, in units of a unit vector.
        latents: at which each direction is shown that holds for all latents.
        both_ways: show each pair against its direction, too, which is annotated as a direction of its own.
        words: splits texts for the overlap of annotators; small letters alone by default.
        language_models: folders of language models (transformers' layout) that compare texts, too.
        seed: of texts that chance would compare.
        batch_size: pairs of images at a time.
        run: folder of the results.

    Raises:
        UserError: a file is missing, damaged or does not fit the generator, or there is no annotation.
    """
    if annotator is None and not imports:
        raise UserError("annotator is null and imports is empty, so that nobody annotates; give one of them")
    device = distributed.pick_device()
    generator = generator.to(device).eval().requires_grad_(False)
    pairs = ShownPairs(load_directions(directions)[0], latents, generator, both_ways)
    models = {folder.name: language_model(folder) for folder in language_models}
    texts: list[list[Annotation]] = [[] for _ in range(len(pairs))]
    for path in imports:
        for row, found in _imported(path, pairs).items():
            texts[row] += found
    kinds = [""] * len(pairs)
    with results_folder(context, run) as folder:
        if annotator is not None:
            number = min(TRIED, len(pairs)) if context.dry_run else len(pairs)
            _annotate(pairs, annotator, alpha, number, batch_size, texts, kinds)
        if context.dry_run:
            log.info("dry run: %d pairs, the first: %s", len(pairs), texts[0][:1] or "no change")
            return
        if not any(texts):
            raise UserError(f"alpha {alpha:g}: no pair of images differs by anything that has a name; raise alpha")
        metadata = [pairs.metadata(row, alpha) for row in range(len(pairs))]
        for row, kind in zip(metadata, kinds, strict=True):
            row["class"] = row["class"] or kind
        save_data_set(folder.path / FOLDER, pairs.vectors(range(len(pairs))), texts, metadata)
        agreement = agreement_of(texts, words or words_of, models, seed)
        metrics = metrics_of(texts, words or words_of) | {
            f"agreement/{name}{ending}": value
            for name, one in agreement.items()
            for ending, value in (("", one.value), ("_of_chance", one.chance))
        }
        sections = [("Pairs", _pairs_html(pairs, texts, alpha, seed))]
        if agreement:
            sections.append(("Agreement", _agreement_html(agreement)))
        write_results(folder, context, "annotations", metrics, sections)
        say(config.short(folder.path / FOLDER))


def _imported(path: Path, pairs: ShownPairs) -> dict[int, list[Annotation]]:
    """Read annotations of a CSV; where it lies in a data set, its directions must be those of the same rows."""
    found = read_annotations(path, len(pairs))
    if (path.parent / DIRECTIONS).is_file():
        there = DirectionsDataset(path.parent).ds
        rows = [row for row, texts in found.items() if texts]
        shown = pairs.vectors(rows)
        other = next(
            (
                row
                for row, vector in zip(rows, shown, strict=True)
                if row >= len(there) or vector.shape != there[row].shape or not torch.allclose(vector, there[row])
            ),
            None,
        )
        if other is not None:
            raise UserError(
                f"{path}: d_id {other} is another direction there than here; give the directions that were annotated, "
                "and latents and both_ways as they were"
            )
    return found


def _annotate(
    pairs: ShownPairs,
    annotator: Annotator,
    alpha: float,
    number: int,
    batch_size: int,
    texts: Sequence[list[Annotation]],
    kinds: list[str],
) -> None:
    """Let a program annotate the first rows; adds to ``texts`` and sets ``kinds``."""
    starts = range(0, number, batch_size)
    for start in progress(starts, len(starts), "batches of pairs"):
        rows = range(start, min(start + batch_size, number))
        for row, (kind, text) in zip(rows, annotator.annotate(*pairs.images(rows, alpha)), strict=True):
            kinds[row] = kind
            if text:
                texts[row].append(Annotation(text, annotator.name))


def agreement_of(texts: Sequence[Sequence[Annotation]], words: Words, models: dict, seed: int) -> dict[str, Agreement]:
    """Return how far annotators agree, by each figure; nothing where no row has texts of two annotators."""
    several = [[one.text for one in every] for every in texts if len({one.annotator for one in every}) > 1]
    several += [
        [one.text for one in every] for every in texts if len(every) > 1 and not any(one.annotator for one in every)
    ]
    if not several:
        return {}
    found = {"word_overlap": word_overlap(several, words, seed)}
    try:
        found["bleu"] = bleu(several, seed)
    except UserError as error:
        log.warning("%s", error)
    return found | {f"bert_score_{name}": bert_score(several, embed, name, seed) for name, embed in models.items()}


def metrics_of(texts: Sequence[Sequence[Annotation]], words: Words) -> dict[str, float]:
    """Return how many rows and texts there are, and how many different words."""
    counts = Counter(word for every in texts for one in every for word in words(one.text))
    written = [one for every in texts for one in every]
    return {
        "pairs": float(len(texts)),
        "annotated_pairs": float(sum(map(bool, texts))),
        "annotations": float(len(written)),
        "annotators": float(len({one.annotator for one in written})),
        "words": float(len(counts)),
        "words_per_annotation": sum(counts.values()) / len(written),
    }


def _pairs_html(pairs: ShownPairs, texts: Sequence[Sequence[Annotation]], alpha: float, seed: int) -> str:
    rows = sorted(random.Random(seed).sample(range(len(pairs)), min(SHOWN, len(pairs))))
    before, after = pairs.images(rows, alpha)
    strips = [
        Strip(
            f"{row}: {'; '.join(one.text for one in texts[row]) or 'no annotation'}",
            [to_uint8(was).numpy(), to_uint8(now).numpy()],
            ["before", "after"],
        )
        for row, was, now in zip(rows, before, after, strict=True)
    ]
    return f"<style>{STYLE}</style>{strips_html(strips)}"


def _agreement_html(agreement: dict[str, Agreement]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{name.replace('_', ' ')}</th><td>{one.value:.3f}</td><td>{one.chance:.3f}</td>"
        f"<td>{one.protocol}</td></tr>"
        for name, one in agreement.items()
    )
    return (
        "<div class='scroll'><table><thead><tr><th></th><th>same pair</th><th>other pairs</th><th>protocol</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></div>"
    )
