"""The generator of systems 1 and 4: units that draw a word, by dissection. Does the word vanish without them?

Shape letters: Z latents, U units, L labels.
"""

import random
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from common import distributed
from config.limits import BatchSize, Count
from evaluation.concepts import ConceptError, vanished
from gan.directions.subjects import draw_subjects
from gan.dissection.dissect import Dissection, dissect_generator
from gan.dissection.unit_ranking import rank_units
from gan.hooks import Edit, edited, layer_named
from gan.latents import latent_dim_of, latents
from models.segmenter.labels import Segmenter, ready_segmenter
from tasks.concepts.finding import Finding, Fit
from tasks.visual_vocab.judges import Least, SegmenterJudge

TRIED = 4  # latents of a dry run


class AblatedUnits:
    """Switch off the units of a layer that overlap a word best, in the whole image.

    Args:
        generator: takes latents; :class:`gan.r3gan.generator.OfClass` makes such a one of a generator of classes.
        segmenter: says which pixels show a word.
        layer: of the generator, whose units are ranked and switched off.
        number: units that are switched off.
        samples: images of the dissection, whose latents (the published table of seed 1) are judged nowhere else.
        threshold: share of its cells in which a unit is on, 0.005 in arXiv:1811.10597.
        latents: Z, of each seed.
        cases: of each word and seed at most, the first latents whose image shows the word.
        least: share of the pixels from which on an image shows a word.
        draws: of random units, for each word and seed, over which the control is the mean.
        batch_size: images at a time.

    Raises:
        LayerNameError: the generator has no such layer.
        ConceptError: the layer has too few units for a control without those of a word.
    """

    title, fit_name, effect_name = "units (generator)", "IoU", "vanishes"

    def __init__(
        self,
        generator: nn.Module,
        segmenter: Segmenter,
        layer: str,
        number: Count = 20,
        samples: Count = 200,
        threshold: Least = 0.05,
        latents: Count = 100,
        cases: Count = 25,
        least: Least = 0.015,
        draws: Count = 5,
        batch_size: BatchSize = 50,
    ) -> None:
        layer_named(generator, layer)
        self.generator, self.segmenter, self.layer, self.number = generator, segmenter, layer, number
        self.samples, self.threshold, self.latents, self.cases = samples, threshold, latents, cases
        self.least, self.draws, self.batch_size = least, draws, batch_size

    def protocol(self) -> str:
        """Return what was done and counted."""
        return (
            f"the {self.number} units of {self.layer} with the largest intersection over union (IoU) with the word in "
            f"{self.samples} images, a unit being on in {100 * self.threshold:g} % of its cells; at most {self.cases} "
            f"of {self.latents} latents of each seed whose image shows the word on {100 * self.least:g} % of its "
            "pixels; share of them in which fewer than half of these pixels are left without the units. Control: as "
            f"many random units of the layer, none of them the word's; mean of {self.draws} draws for each seed. IoU: "
            "mean of the units, beside that of all."
        )

    def measure(self, words: Sequence[str], seeds: Sequence[int], dry_run: bool) -> Mapping[str, Finding]:
        """Return the findings of words that the segmenter knows."""
        device = distributed.pick_device()
        generator = self.generator.to(device).eval().requires_grad_(False)
        segmenter = ready_segmenter(self.segmenter, device)
        judge = SegmenterJudge(segmenter, self.least)
        own = [word for word in words if word in judge.labels]
        table = latents(TRIED if dry_run else self.samples, latent_dim_of(generator), 1)
        found = dissect_generator(
            generator, segmenter, table, [self.layer], self.threshold, no_label=False, batch_size=self.batch_size
        )
        chosen = _chosen(found, own, self.number)
        layer = found.layers[self.layer]
        units = self._units = layer.iou.shape[1]
        if own and units < 2 * self.number:
            raise ConceptError(
                f"{self.layer} has {units} units: without {self.number} of a word, too few are left for a control of "
                f"{self.number}; give a number of at most {units // 2}"
            )
        effects: dict[str, list[float]] = {word: [] for word in own}
        controls: dict[str, list[float]] = {word: [] for word in own}
        counted = dict.fromkeys(own, 0)
        for seed in seeds:
            drawn = draw_subjects(generator, TRIED if dry_run else self.latents, seed).latents
            before = self._degrees(judge, generator, drawn)
            for word in own:
                label = judge.labels.index(word)
                rows = torch.nonzero(before[:, label] >= self.least)[: self.cases, 0]
                counted[word] += len(rows)
                gone = partial(self._gone, judge, generator, drawn[rows], before[rows, label], label)
                effects[word].append(gone(chosen[word]))
                strange = [gone(off) for off in others(units, chosen[word], self.draws, f"{seed} {word}")]
                controls[word].append(sum(strange) / len(strange))
        whole = layer.iou.mean(dim=1)
        return {
            word: Finding(
                f"{len(chosen[word])} of {units} units of {self.layer}, the best: {chosen[word][0]}",
                Fit(
                    layer.iou[found.labels.index(word), chosen[word]].mean().item(),
                    whole[found.labels.index(word)].item(),
                ),
                effects[word],
                controls[word],
                counted[word],
            )
            for word in own
        }

    def _gone(
        self,
        judge: SegmenterJudge,
        generator: nn.Module,
        rows: Tensor,
        before: Tensor,
        label: int,
        off: Sequence[int],
    ) -> float:
        """Return in which share of latents (Z, D) a label vanishes without some units; NaN where there are none."""
        if not len(rows):
            return float("nan")
        after = self._degrees(judge, generator, rows, off)[:, label]
        return vanished(before, after).double().mean().item()

    @torch.no_grad()
    def _degrees(self, judge: SegmenterJudge, generator: nn.Module, rows: Tensor, off: Sequence[int] = ()) -> Tensor:
        """Return degrees (Z, L) of the images of latents (Z, D) without some units."""
        device, parts = next(generator.parameters()).device, []
        for some in rows.split(self.batch_size):
            with edited(generator, {self.layer: Edit(_mask(self._units, off))} if off else {}):
                parts.append(judge.degrees(generator(some.to(device))))
        return torch.cat(parts)


def _mask(units: int, off: Sequence[int]) -> Tensor:
    """Return (U,) bool, true of the units that are switched off."""
    mask = torch.zeros(units, dtype=torch.bool)
    mask[list(off)] = True
    return mask


def _chosen(found: Dissection, words: Sequence[str], number: int) -> dict[str, list[int]]:
    """Return the units that overlap each word best, the best first."""
    labels, ranked = found.labels, next(iter(rank_units(found).values()))
    return {word: ranked[labels.index(word), :number].tolist() for word in words}


def others(units: int, chosen: Sequence[int], draws: int, key: str) -> list[list[int]]:
    """Draw several times as many of a layer's units as are chosen, none of them among those; ``key`` seeds the draw."""
    left, source = [unit for unit in range(units) if unit not in chosen], random.Random(key)
    return [source.sample(left, len(chosen)) for _ in range(draws)]
