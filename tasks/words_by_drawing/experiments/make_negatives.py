"""Find negatives that change exactly one attribute of one thing: ``run.py -f words_by_drawing/make_negatives.yaml``.

For each image, units of one layer are switched off at random (with a random probability) in the region of one thing,
many times; an edited image is taken when the segmenter sees one attribute changed, nothing else, and no other
negative of that image changed the same thing to the same label. The result is a file in the published layout, see
published/words_by_drawing/negatives.py. Images for which too few are found are left out and counted. A search that
was stopped goes on when the same command is given again, see search_log.py.
"""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.errors import UserError
from config.limits import BatchSize, Count, Seed
from engine.context import Context
from engine.logs import progress
from engine.run_folder import RunSettings
from evaluation.choices import Choice
from evaluation.report.choices import choices_section
from gan.editing.regenerate import Positives, generate
from gan.hooks import Edit, edited, layer_named
from gan.images import to_uint8
from models.segmenter.labels import ATTRIBUTE_GROUPS, Segmenter, ready_segmenter
from models.segmenter.objects import SeenObject
from models.weights import weights_digest
from published.words_by_drawing.negatives import Negative, write_negatives
from tasks.words_by_drawing.experiments.experiment import DataNode, Experiment, opened, write_table
from tasks.words_by_drawing.experiments.images import LatentTable
from tasks.words_by_drawing.experiments.provenance import write_origin
from tasks.words_by_drawing.experiments.recall_selected import regenerate_negatives, same_labels
from tasks.words_by_drawing.experiments.scene_changes import Change, changes, things
from tasks.words_by_drawing.experiments.search_log import Found, Searched

log = logging.getLogger(__name__)
LEAST_CONFIDENCE = 0.6  # share of a thing's pixels that must agree on each attribute, before and after
FEWEST, MOST = 0.05, 0.6  # probability of a unit to be switched off
SHOWN = 8


def make_negatives(
    data: DataNode,
    generator: nn.Module,
    segmenter: Segmenter,
    context: Context,
    layer: str = "layer4",
    latents: LatentTable = LatentTable(),  # noqa: B008  never changed
    images: Count | None = None,
    negatives: Count = 4,
    attempts: Count = 640,
    batch_size: BatchSize = 32,
    seed: Seed = 0,
    output: Path | None = None,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Search the negatives of a set's images and write them to a file.

    Args:
        data: dataset of the captions whose images are edited.
        generator: generates the images and their negatives.
        segmenter: says what changed.
        context: given by run.py.
        layer: of the generator, whose units are switched off.
        latents: table of latents whose rows the captions' ids name.
        images: number of images tried, all when None.
        negatives: of each image, all different; 4 as published.
        attempts: edited images tried for each image before it is left out.
        batch_size: generated at a time.
        seed: of the edits.
        output: the file; ``negatives.pth.tar`` in the run folder when None.
        run: folder of the report.

    Raises:
        UserError: captions or layers are missing or do not fit, or no image has enough negatives.
    """
    layer_named(generator, layer)
    with opened(context, run, data, None, generator, latents, seed) as experiment:
        ready_segmenter(segmenter, experiment.device)
        search = Search(generator, segmenter, layer, negatives, attempts, batch_size, seed)
        path = experiment.folder.path / "negatives.pth.tar" if output is None or context.dry_run else output
        searched = Searched(path.with_name(f"{path.name}.searched.jsonl"), search.made_from() | vars(latents))
        rows = experiment.rows(images)
        for row in progress(rows, len(rows), "images"):
            name = experiment.images.ids[row]
            if name not in searched.found:
                searched.add(name, search(name, experiment.images.latents_of([row])))
        wanted = {experiment.images.ids[row]: row for row in rows}
        found = {name: searched.found[name] for name in wanted if len(searched.found[name]) == negatives}
        _finish(experiment, search, {wanted[name]: one for name, one in found.items()}, len(rows), path)
        searched.remove()


class Search:
    """Looks for the negatives of one image; ``seed`` and the image's id decide everything random."""

    def __init__(
        self,
        generator: nn.Module,
        segmenter: Segmenter,
        layer: str,
        wanted: int,
        attempts: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self.generator, self.segmenter, self.layer = generator, segmenter, layer
        self.wanted, self.attempts, self.batch_size, self.seed = wanted, attempts, batch_size, seed

    def made_from(self) -> dict[str, Any]:
        """Return what decides the negatives of an image, besides its latent, as plain values."""
        numbers = {name: getattr(self, name) for name in ("layer", "wanted", "attempts", "batch_size", "seed")}
        return numbers | {name: weights_digest(getattr(self, name)) for name in ("generator", "segmenter")}

    @torch.no_grad()
    def __call__(self, name: int, latent: Tensor) -> list[Found]:
        """Return the negatives of the image of a ``latent`` (1, latent_dim), fewer than wanted when it gave up."""
        positive = generate(self.generator, latent, [self.layer])
        labels = self.segmenter.segment(positive.images)[0]
        before = things(labels)
        clear = [number for number, thing in enumerate(before) if thing.least_confidence >= LEAST_CONFIDENCE]
        found: dict[tuple[int, str, str], Found] = {}
        if not clear:
            return []
        positions = {number: _position(labels, before[number]) for number in clear}
        regions = {number: same_labels(labels, positions[number], f"id {name}") for number in clear}
        draws = np.random.default_rng([self.seed, name])
        for _ in range(-(-self.attempts // self.batch_size)):
            chosen = draws.choice(clear, self.batch_size)
            units = self._units(draws, positive.shapes[self.layer][0])
            images = self._generate(positive, [regions[number] for number in chosen], units)
            after = self.segmenter.segment(images)
            masks = torch.from_numpy(np.stack([before[number].mask for number in chosen])).to(after.device)
            for index in promising(labels, after, masks):
                change = _one_change(before, things(after[index]), int(chosen[index]))
                if change is None or (key := (change.thing, change.kind, change.after)) in found:
                    continue
                found[key] = Found(Negative(positions[change.thing], units[index].cpu()), change)
                if len(found) == self.wanted:
                    return list(found.values())
        return list(found.values())

    def _units(self, draws: np.random.Generator, channels: int) -> Tensor:
        """Draw units to switch off, (batch_size, C) of 0 and 1."""
        shares = draws.uniform(FEWEST, MOST, (self.batch_size, 1))
        return torch.from_numpy((draws.random((self.batch_size, channels)) < shares).astype(np.float32))

    def _generate(self, positive: Positives, regions: list[Tensor], units: Tensor) -> Tensor:
        """Generate the image with units switched off, each set in its region (H, W)."""
        size = positive.shapes[self.layer][1:]
        masks = F.interpolate(torch.stack(regions)[:, None].float(), size, mode="area")
        with edited(self.generator, {self.layer: Edit(masks * units.to(masks)[:, :, None, None])}):
            return self.generator(positive.latents.expand(len(regions), -1))


def promising(labels: Tensor, after: Tensor, masks: Tensor) -> list[int]:
    """Find the edits worth describing thing by thing, which takes most of the time.

    Those in which one attribute of most of the edited thing's pixels differs, of labels (L, H, W) bool before, (N, L,
    H, W) after, and masks (N, H, W) of what was edited.
    """
    before, now = ((maps & masks[:, None]).flatten(2).sum(2) for maps in (labels[None], after))
    differing = sum(
        (before[:, group.channels].argmax(1) != now[:, group.channels].argmax(1)).int() for group in ATTRIBUTE_GROUPS
    )
    return torch.nonzero(differing == 1)[:, 0].tolist()


def _position(labels: Tensor, thing: SeenObject) -> tuple[int, int]:
    """Return the pixel nearest to a thing's middle that has the labels of most of its pixels."""
    rows, columns = np.nonzero(thing.mask)
    vectors = labels[:, rows, columns].cpu().numpy().T
    _, which, counts = np.unique(vectors, axis=0, return_inverse=True, return_counts=True)
    typical = which.ravel() == counts.argmax()
    rows, columns = rows[typical], columns[typical]
    nearest = int(((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2).argmin())
    return int(rows[nearest]), int(columns[nearest])


def _one_change(before: list[SeenObject], after: list[SeenObject], edited_thing: int) -> Change | None:
    """Return the one attribute that changed, of the thing that was edited and no other."""
    found = changes(before, after)
    if found is None or len(found) != 1 or found[0].thing != edited_thing:
        return None
    return found[0] if min(thing.least_confidence for thing in after) >= LEAST_CONFIDENCE else None


def _finish(experiment: Experiment, search: Search, found: dict[int, list[Found]], tried: int, path: Path) -> None:
    """Write the file, the table, the metrics and the report of what was ``found`` for rows of the set."""
    if not found:
        raise UserError(
            f"None of {tried} images has enough negatives that change one attribute: raise attempts, take another "
            "layer, or check that the segmenter belongs to this generator."
        )
    named = {experiment.images.ids[row]: rows for row, rows in found.items()}
    write_negatives(path, {name: [one.negative for one in rows] for name, rows in named.items()})
    write_origin(path, search.made_from())
    kinds = Counter(one.change.kind for rows in found.values() for one in rows)
    metrics = {"pictures": float(len(found)), "left_out": float(tried - len(found))}
    metrics |= {f"negatives {kind}": float(count) for kind, count in sorted(kinds.items())}
    table = [[name, *one.change, int(one.negative.units.sum())] for name, rows in named.items() for one in rows]
    header = ["id", "thing", "kind", "before", "after", "units"]
    write_table(experiment.folder.path / "negatives.csv", header, table)
    shown = [_example(experiment, search, row, found[row]) for row in list(found)[:SHOWN]]
    log.info("%d images of %d have their negatives; the others are left out", len(found), tried)
    experiment.finish(f"negatives of {len(found)} images", metrics, [("Examples", choices_section(shown))])


def _example(experiment: Experiment, search: Search, row: int, found: list[Found]) -> Choice:
    record, latent = experiment.dataset.record(row), experiment.images.latents_of([row])
    stored = [one.negative for one in found]
    generated = regenerate_negatives(
        search.generator, search.segmenter, latent, stored, search.layer, f"id {record.uttid}"
    )
    labels = [f"{one.change.kind}: {one.change.before} to {one.change.after}" for one in found]
    return Choice(
        record.uttid, record.text, np.zeros(len(generated)), labels, [to_uint8(image).numpy() for image in generated]
    )
