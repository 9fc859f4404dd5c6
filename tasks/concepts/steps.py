"""System 4: a step along a word's direction. Does the segmenter see the word appear or grow?

Shape letters: Z latents, D numbers in a latent, L labels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from common import distributed
from config.limits import BatchSize, Count
from evaluation.concepts import effect, purity
from gan.directions.directions import DirectionError, RandomDirections, shifted
from gan.directions.distillation import Vocabulary
from gan.directions.files import ALL, load_vocabularies
from gan.directions.subjects import draw_subjects
from gan.latents import latent_dim_of
from tasks.concepts.finding import Finding, Fit
from tasks.visual_vocab.annotation.annotate import Alpha
from tasks.visual_vocab.evaluate import Looker
from tasks.visual_vocab.judges import ConceptJudge

TRIED = 4  # latents of a dry run


class AddedDirections:
    """Add each word's direction to latents.

    Args:
        vocabulary: ``vocabulary.safetensors`` of ``visual_vocab/distil.yaml``.
        generator: that it was distilled for.
        judge: says whether a word appears or grows.
        names: words of the vocabulary for words of the table that are called otherwise there, such as larger for large.
        alpha: length of the step.
        latents: Z, of each seed.
        random: directions that stand for chance, of each seed.
        batch_size: images at a time.

    Raises:
        UserError: the vocabulary is missing, damaged or of another generator.
    """

    title, fit_name, effect_name = "direction (system 4)", "purity", "appears or grows"

    def __init__(
        self,
        vocabulary: Path,
        generator: nn.Module,
        judge: ConceptJudge,
        names: dict[str, str] = {},  # noqa: B006  never changed
        alpha: Alpha = 6.0,
        latents: Count = 70,
        random: Count = 2,
        batch_size: BatchSize = 50,
    ) -> None:
        self.vocabulary: Vocabulary = load_vocabularies(vocabulary)[0][ALL]
        found, dim = self.vocabulary.vectors.shape[1], latent_dim_of(generator)
        if found != dim:
            raise DirectionError(
                f"{vocabulary}: directions have {found} numbers and the generator's latents {dim}; take the generator "
                "they were found for"
            )
        self.generator, self.judge, self.names, self.alpha = generator, judge, names, alpha
        self.latents, self.random, self.batch_size = latents, random, batch_size

    def protocol(self) -> str:
        """Return what was done and counted."""
        return (
            f"{self.latents} latents of each seed; a step of {self.alpha:g} along the word's direction; share of the "
            f"latents in which the word appears or grows by {100 * self.judge.least:g} % of the image's pixels. "
            f"Control: {self.random} random directions of equal length. Purity: of everything of its kind that grows, "
            "the word's share; chance: the same by random directions."
        )

    def measure(self, words: Sequence[str], seeds: Sequence[int], dry_run: bool) -> Mapping[str, Finding]:
        """Return the findings of words that the judge knows and that have a direction."""
        labels, kinds = self.judge.labels, self.judge.categories
        own = {word: self.names.get(word, word) for word in words if word in labels}
        own = {word: name for word, name in own.items() if name in self.vocabulary.words}
        generator = self.generator.to(distributed.pick_device()).eval().requires_grad_(False)
        rows: dict[str, list[tuple[float, float, float, float]]] = {word: [] for word in own}
        for seed in seeds:
            subjects = draw_subjects(generator, TRIED if dry_run else self.latents, seed)
            looker = Looker(generator, {"judge": self.judge}, subjects, self.batch_size)
            drawn = RandomDirections(self.random).find(generator, *subjects, seed=10**6 + seed)
            chance = [looker.after(self.alpha * vector)["judge"] for vector in drawn.vectors[0]]
            before = looker.before["judge"]
            for word, name in own.items():
                direction = self.vocabulary.direction(name)
                after = looker.after(shifted(torch.zeros_like(direction), direction, self.alpha))["judge"]
                label = labels.index(word)
                one = effect(before, after, chance, label, kinds, self.judge.least)
                same = [number for number, kind in enumerate(kinds) if kind == kinds[label]]
                by_chance = sum(purity(before, other, label, same) for other in chance) / len(chance)
                rows[word].append((one.success, one.random, one.purity, by_chance))
        found = {}
        for word, every in rows.items():
            success, random, pure, by_chance = (list(column) for column in zip(*every, strict=True))
            fit = Fit(sum(pure) / len(pure), sum(by_chance) / len(by_chance))
            cases = len(seeds) * (TRIED if dry_run else self.latents)
            found[word] = Finding(f'"{own[word]}"', fit, success, random, cases)
        return found
