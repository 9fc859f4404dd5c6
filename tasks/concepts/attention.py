"""System 3: the attention of a word of a caption. Does the word vanish from the image when it is taken away?

Shape letters: N captions, W words, R pixels high and wide of an image, L labels.
"""

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from common import distributed
from config.limits import BatchSize, Count
from evaluation.concepts import overlap_of_equal_size, vanished
from models.segmenter.labels import ATTRIBUTE_GROUPS, UNUSED_SHAPE, Segmenter, ready_segmenter
from tasks.attngan.sampling.text_to_image import Draw, TextToImage
from tasks.attngan.trained import TextImageSource
from tasks.concepts.finding import Finding, Fit
from tasks.visual_vocab.judges import Least, SegmenterJudge

ORDER = ("size", "colour", "material", "shape")  # of the words in a caption
NOUN = "object"  # stands for a shape that is taken away
TRIED = 2  # captions of a dry run
WORDS = {group.name: [one for one in group.labels if one != UNUSED_SHAPE] for group in ATTRIBUTE_GROUPS}


class Caption(NamedTuple):
    """One object by a word of each kind."""

    words: dict[str, str]  # by kind, in the order of ORDER

    def text(self, without: str | None = None) -> str:
        """Return the caption, without the word of one kind."""
        kept = [NOUN if kind == "shape" and kind == without else word for kind, word in self.words.items()]
        return "a " + " ".join(w for k, w in zip(self.words, kept, strict=True) if k != without or k == "shape")


class DroppedWords:
    """Take a word away, from the caption or from the attention alone.

    Args:
        model: text encoder and generator.
        segmenter: says which pixels show a word.
        captions: of each seed, each of one object with a random word of every kind.
        least: share of the pixels from which on an image shows a word.
        attention_alone: hide the word from the attention only; the sentence that the first stage draws keeps it.
        batch_size: images at a time.

    Raises:
        UserError: a file is missing, damaged or of another kind.
    """

    fit_name, effect_name = "IoU", "vanishes"

    def __init__(
        self,
        model: TextImageSource,
        segmenter: Segmenter,
        captions: Count = 100,
        least: Least = 0.015,
        attention_alone: bool = False,
        batch_size: BatchSize = 50,
    ) -> None:
        self.model, self.segmenter, self.captions, self.least = model, segmenter, captions, least
        self.attention_alone, self.batch_size = attention_alone, batch_size
        self.title = "attention alone (system 3)" if attention_alone else "word of the caption (system 3)"

    def protocol(self) -> str:
        """Return what was done and counted."""
        taken = (
            "hidden from the attention of the later stages while the sentence keeps it"
            if self.attention_alone
            else f'left out of the caption (a shape is replaced by "{NOUN}")'
        )
        return (
            f'{self.captions} captions of each seed such as "a small red metal cube", an image each; where the image '
            f"shows the word on {100 * self.least:g} % of its pixels, the share in which fewer than half of them are "
            f"left when the word is {taken}, with the same noise. Control: another word of the same caption, drawn by "
            "chance. IoU: the word's attention of the last stage, as many of its highest pixels as show the word, "
            "against those pixels; chance: against those of the next image that shows the word."
        )

    def measure(self, words: Sequence[str], seeds: Sequence[int], dry_run: bool) -> Mapping[str, Finding]:
        """Return the findings of words that the captions hold and the model knows."""
        device = distributed.pick_device()
        drawer = TextToImage.of(self.model, device, self.batch_size)
        judge = SegmenterJudge(ready_segmenter(self.segmenter, device), self.least)
        known = set(drawer.words.vocabulary.words)
        own = [word for word in words if any(word in group for group in WORDS.values()) and word in known]
        rows: dict[str, _Rows] = {word: _Rows([], [], [], []) for word in own}
        for seed in seeds:
            seen = self._look(drawer, judge, seed, TRIED if dry_run else self.captions)
            for word in own:
                rows[word].add(*seen.of(word, seed, judge, self.least))
        return {word: rows[word].finding(word) for word in own}

    def _draw(self, caption: Caption, kind: str, seed: int, row: int) -> Draw:
        """Return the draw of a caption without one word, with the noise of the whole one."""
        if self.attention_alone:
            return Draw(caption.text(), seed, row, hidden=(caption.words[kind],))
        return Draw(caption.text(kind), seed, row)

    def _look(self, drawer: TextToImage, judge: SegmenterJudge, seed: int, number: int) -> "_Seen":
        """Draw captions whole and without each word."""
        captions = drawn_captions(number, seed)
        draws = [Draw(one.text(), seed, row) for row, one in enumerate(captions)]
        whole = list(drawer.draw(draws))
        images = _images([one.images[-1] for one in whole])
        maps = judge.segmenter.segment(images.to(drawer.device)).cpu()
        without = {}
        for kind in ORDER:
            texts = [
                (one.text(), (one.words[kind],)) if self.attention_alone else (one.text(kind), ()) for one in captions
            ]
            drawn = drawer.draw(Draw(text, seed, row, hidden=unseen) for row, (text, unseen) in enumerate(texts))
            without[kind] = judge.degrees(_images([one.images[-1] for one in drawn]).to(drawer.device))
        attention = []
        for one, caption in zip(whole, captions, strict=True):
            stage = one.maps(len(one.attention) - 1)
            read = [word for word in caption.words.values() if word in one.words]
            attention.append({word: torch.from_numpy(stage[one.words.index(word)]) for word in read})
        return _Seen(captions, judge.degrees(images.to(drawer.device)), without, maps, attention)


class _Seen(NamedTuple):
    """What is seen of the captions of one seed."""

    captions: list[Caption]
    degrees: Tensor  # (N, L) of whole captions
    without: dict[str, Tensor]  # (N, L) by the kind of word that is taken away
    maps: Tensor  # (N, L', R, R) bool of all labels of the segmenter
    attention: list[dict[str, Tensor]]  # (R, R) of the words of each caption

    def of(
        self, word: str, seed: int, judge: SegmenterJudge, least: float
    ) -> tuple[list[float], list[float], list[bool], list[bool]]:
        """Return IoU, IoU with another image, and which cases vanish, without the word and without another."""
        label, number = judge.labels.index(word), judge.segmenter.labels.index(word)
        kind = next(kind for kind, group in WORDS.items() if word in group)
        rows = [
            row
            for row, one in enumerate(self.captions)
            if one.words[kind] == word and self.degrees[row, label] >= least
        ]
        if not rows:
            return [], [], [], []
        others = [random.Random(f"{seed} {row}").choice([one for one in ORDER if one != kind]) for row in rows]
        before = self.degrees[rows, label]
        gone = vanished(before, self.without[kind][rows, label])
        strange = torch.stack([self.without[one][row, label] for row, one in zip(rows, others, strict=True)])
        maps, there = torch.stack([self.attention[row][word] for row in rows]), self.maps[rows, number]
        fit = overlap_of_equal_size(maps, there).tolist()
        by_chance = overlap_of_equal_size(maps, there.roll(1, 0)).tolist() if len(rows) > 1 else []
        return fit, by_chance, gone.tolist(), vanished(before, strange).tolist()


class _Rows(NamedTuple):
    """Cases of a word over seeds."""

    fit: list[float]
    by_chance: list[float]
    effect: list[list[bool]]
    control: list[list[bool]]

    def add(self, fit: list[float], by_chance: list[float], gone: list[bool], strange: list[bool]) -> None:
        """Add those of a seed."""
        self.fit.extend(fit)
        self.by_chance.extend(by_chance)
        self.effect.append(gone)
        self.control.append(strange)

    def finding(self, word: str) -> Finding:
        """Return the means."""
        return Finding(
            f'"{word}"',
            Fit(_mean(self.fit), _mean(self.by_chance)),
            [_mean(one) for one in self.effect],
            [_mean(one) for one in self.control],
            sum(map(len, self.effect)),
        )


def drawn_captions(number: int, seed: int) -> list[Caption]:
    """Draw captions of one object, each kind's word uniformly."""
    draws = random.Random(seed)
    return [Caption({kind: draws.choice(WORDS[kind]) for kind in ORDER}) for _ in range(number)]


def _images(images: Sequence[np.ndarray]) -> Tensor:
    """Return images (N, 3, R, R) in [-1, 1] of (R, R, 3) uint8."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
