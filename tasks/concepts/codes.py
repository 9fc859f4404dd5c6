"""System 2: the code of a spoken word. Does a listener still find images of the word without it?

Shape letters: Q captions, P images, T frames of 10 ms, T' frames of a layer, C channels, D size of an embedding.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from common import distributed
from config import Deferred
from config.limits import BatchSize, Count
from datasets.loading.rows import ManifestError
from datasets.spoken_captions.records import Word
from datasets.spoken_captions.splits import Captions
from engine.logs import progress
from evaluation.concepts import share_among_best
from evaluation.word_detection.detect import DetectionRules, WordDetection, chance_of_words, detect_words
from models.resdavenet import MEL_BINS
from models.vector_quantizer import Quantized, VectorQuantizer
from tasks.attngan.trained import IMAGE, TextImageSource, load
from tasks.concepts.finding import Finding, Fit
from tasks.concepts.listener import Listener
from tasks.resdavenet_vq.layers import SpeechModel, load_speech
from tasks.speech_image.trained import ModelSource

TRIED = 40  # pairs of each set in a dry run
SILENCE_DB, SILENCE_FRAMES = -80.0, 256
NEAR = 5  # codes of like frequency of which chance takes one
UNLIKE = 0.1  # F1 from which on a code has to do with a word
Instead = Literal["silence", "neighbour"]


class DeletedCodes:
    """Replace the code that detects a word best, wherever it is heard, and look what a listener finds.

    Args:
        model: speech encoder with quantisers.
        learned: pairs with word alignments and images, from which code and listener are learned.
        judged: other pairs, of which the figures are.
        images: matching model of system 3, whose image encoder sees for the listener.
        prepare: makes the pairs when they are not there yet.
        synonyms: further names of a word in texts, by which an image shows it too: ``{cube: [block]}``.
        layer: with codes; None for the one whose code detects the word best.
        number: codes that are deleted, the best ones.
        instead: of a deleted code: the code of ``silence``, or for each frame its ``neighbour``, the nearest code left.
        best: images of each caption that are looked at.
        rules: by which a code detects a word.
        batch_size: captions at a time.

    Raises:
        UserError: a file is missing, damaged or of another kind, or the encoder has no codes.
    """

    fit_name, effect_name = "F1", "lead lost"

    def __init__(
        self,
        model: ModelSource,
        learned: Captions,
        judged: Captions,
        images: TextImageSource,
        prepare: Annotated[Callable[..., Path], Deferred("dry_folder")] | None = None,
        synonyms: dict[str, list[str]] = {},  # noqa: B006  never changed
        layer: str | None = None,
        number: Count = 1,
        instead: Instead = "silence",
        best: Count = 10,
        rules: DetectionRules = DetectionRules(),  # noqa: B008  never changed
        batch_size: BatchSize = 50,
    ) -> None:
        self.model, self.learned, self.judged, self.images = model, learned, judged, images
        self.prepare, self.synonyms, self.layer, self.number = prepare, synonyms, layer, number
        self.instead, self.best, self.rules, self.batch_size = instead, best, rules, batch_size
        self.title = f"code (system 2), {instead} instead"
        self._sanity = ""

    def protocol(self) -> str:
        """Return what was done and counted."""
        what = "the code that detects" if self.number == 1 else f"the {self.number} codes that detect"
        instead = "the code of silence" if self.instead == "silence" else "the nearest other code"
        return (
            f"{what} the word best (F1, learned pairs; chance: codes of another utterance) gives way to "
            f"{instead}. Of captions that say the word, more of the {self.best} best images show it than of all: "
            "which share of this lead is lost? Each seed takes half of the judged pairs. Control: a code as frequent "
            f"in these captions that has nothing to do with the word, another for each seed. {self._sanity}"
        )

    def measure(self, words: Sequence[str], seeds: Sequence[int], dry_run: bool) -> Mapping[str, Finding]:
        """Return the findings of words that the learned captions say."""
        if self.prepare is not None:
            self.prepare()
        speech = load_speech(self.model, distributed.pick_device())
        speech.check([self.layer] if self.layer else [], codes=True)
        layers = [self.layer] if self.layer else speech.quantised()
        eye = load(self.images, (IMAGE,)).networks[IMAGE].to(speech.device)
        most = TRIED if dry_run else None
        learned, judged = (
            _Pairs.read(one, eye, speech.device, most, self.batch_size) for one in (self.learned, self.judged)
        )
        detected = {layer: learned.detected(speech, layer, self.rules) for layer in layers}
        listener = Listener(learned.encode(speech), learned.seen)
        whole = listener.scores(judged.encode(speech), judged.seen)
        self._sanity = _recall(whole, self.best)
        halves = [_half(len(judged.mels), seed) for seed in seeds]
        found = {}
        for word in progress(words, len(words), "words"):
            codes = _codes_of(word, detected, self.number)
            rows = [row for row, said in enumerate(judged.words) if word in said]
            if codes is None or not rows:
                continue
            part = judged.take(rows)
            shows = torch.tensor([not {word, *self.synonyms.get(word, ())}.isdisjoint(one) for one in judged.words])
            leads = partial(self._leads, shows=shows, rows=rows, halves=halves)
            before = leads(whole[rows])
            after = leads(self._without(part, judged.seen, speech, listener, codes.layer, codes.numbers))
            others = _alike(part.codes(speech, codes.layer), codes, detected[codes.layer].found, word, seeds)
            strange = [
                leads(self._without(part, judged.seen, speech, listener, codes.layer, other))[number]
                for number, other in enumerate(others)
            ]
            found[word] = Finding(
                f"code {', '.join(map(str, codes.numbers))} of {codes.layer}",
                Fit(codes.f1, _f1_of(detected[codes.layer].chance, word)),
                [_lost(*pair) for pair in zip(before, after, strict=True)],
                [_lost(*pair) for pair in zip(before, strange, strict=True)],
                len(rows),
            )
        return found

    def _without(
        self, part: "_Pairs", seen: Tensor, speech: SpeechModel, listener: Listener, layer: str, codes: Sequence[int]
    ) -> Tensor:
        """Return the listener's scores (Q, P) of captions whose codes are deleted."""
        with without_codes(speech, layer, codes, self.instead):
            return listener.scores(part.encode(speech), seen)

    def _leads(self, scores: Tensor, shows: Tensor, rows: Sequence[int], halves: Sequence[Tensor]) -> list[float]:
        """Return for each half of the pairs by how much the share of the best images is above that of all."""
        leads = []
        for half in halves:
            asked = half[torch.tensor(rows)]
            if not asked.any():
                leads.append(float("nan"))
                continue
            among = share_among_best(scores[asked][:, half], shows[half], self.best).mean()
            leads.append((among - shows[half].double().mean()).item())
        return leads


class Detected(NamedTuple):
    """Words that the codes of a layer detect, and that they detect by chance."""

    found: WordDetection
    chance: WordDetection


class Codes(NamedTuple):
    """The codes of a layer that detect a word best."""

    layer: str
    numbers: list[int]
    f1: float  # of the best


class _Pairs(NamedTuple):
    """Captions as log-mels and words, with the embeddings of their images."""

    mels: list[Tensor]  # (40, T) dB each
    words: list[set[str]]  # that each says, in small letters
    alignments: list[list[Word]]
    seen: Tensor  # (P, E)
    batch_size: int

    @classmethod
    def read(cls, node: Captions, eye: nn.Module, device: torch.device, most: int | None, batch_size: int) -> "_Pairs":
        """Read pairs; raises ManifestError where there are none or they have no word alignment."""
        dataset = node(train=False, on_error="error")
        rows = range(len(dataset) if most is None else min(most, len(dataset)))
        alignments = [dataset.record(row).alignment or [] for row in rows]
        if not any(alignments) or dataset.image is None:
            raise ManifestError(
                f"{dataset.source}: expected pairs with images and word alignments (text_alignment), as worlds "
                "that this project builds have them; found none of one of them"
            )
        mels = [dataset[row]["mel"] for row in rows]
        images = [torch.tensor(dataset.image_u8(row)).permute(2, 0, 1).float() / 127.5 - 1 for row in rows]
        with torch.no_grad():
            seen = torch.cat(
                [
                    eye(torch.stack(images[n : n + batch_size]).to(device)).images.cpu()
                    for n in range(0, len(images), batch_size)
                ]
            )
        return cls(mels, [{word.lower() for *_, word in one} for one in alignments], alignments, seen, batch_size)

    def take(self, rows: Sequence[int]) -> "_Pairs":
        """Return some pairs."""
        parts = ([one[row] for row in rows] for one in (self.mels, self.words, self.alignments))
        return _Pairs(*parts, self.seen[list(rows)], self.batch_size)

    def batches(self) -> Iterator[tuple[list[int], Tensor]]:
        """Yield captions of equal length together: rows, and log-mels (B, 40, T)."""
        by_length: dict[int, list[int]] = {}
        for row, mel in enumerate(self.mels):
            by_length.setdefault(mel.shape[1], []).append(row)
        for rows in by_length.values():
            for first in range(0, len(rows), self.batch_size):
                some = rows[first : first + self.batch_size]
                yield some, torch.stack([self.mels[row] for row in some])

    @torch.no_grad()
    def encode(self, speech: SpeechModel) -> Tensor:
        """Return the mean output (Q, D) over each caption."""
        found: list[Tensor | None] = [None] * len(self.mels)
        for rows, mels in self.batches():
            means = speech.speech(mels.to(speech.device)).features.mean(dim=2).cpu()
            for row, mean in zip(rows, means, strict=True):
                found[row] = mean
        return torch.stack(found)

    def codes(self, speech: SpeechModel, layer: str) -> list[np.ndarray]:
        """Return the codes (T',) of each caption."""
        found: list[np.ndarray] = [np.empty(0, np.int64)] * len(self.mels)
        for rows, mels in self.batches():
            made = speech.encode([layer], mels)[layer][1].cpu().numpy()
            for row, one in zip(rows, made, strict=True):
                found[row] = one
        return found

    def detected(self, speech: SpeechModel, layer: str, rules: DetectionRules) -> Detected:
        """Hold a layer's codes against the words."""
        about = (self.codes(speech, layer), self.alignments, speech.seconds(layer), rules)
        return Detected(detect_words(*about), chance_of_words(*about))


@contextmanager
def without_codes(speech: SpeechModel, layer: str, deleted: Sequence[int], instead: Instead) -> Iterator[None]:
    """Let a quantised layer put something else instead of some codes, while the block runs."""
    quantizer: VectorQuantizer = speech.speech.quantizers[layer]
    silent = _code_of_silence(speech, layer, deleted)
    gone = torch.zeros(len(quantizer.codebook), dtype=torch.bool, device=speech.device)
    gone[list(deleted)] = True
    left = torch.nonzero(~gone)[:, 0]

    def replace(_: nn.Module, inputs: tuple[Tensor, ...], made: Quantized) -> Quantized:
        """Return what the quantiser puts out without the deleted codes."""
        hit = gone[made.codes]
        codes = torch.full_like(made.codes, silent)
        if instead == "neighbour":
            codes = left[torch.cdist(inputs[0].transpose(1, 2), quantizer.codebook[left][None]).argmin(dim=2)]
        codes = torch.where(hit, codes, made.codes)
        return made._replace(values=quantizer.codebook[codes].transpose(1, 2).to(made.values), codes=codes)

    handle = quantizer.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


def _code_of_silence(speech: SpeechModel, layer: str, deleted: Sequence[int]) -> int:
    """Return the code that most frames of silence have, of those that are left."""
    mel = torch.full((1, MEL_BINS, SILENCE_FRAMES), SILENCE_DB)
    counts = torch.bincount(
        speech.encode([layer], mel)[layer][1][0], minlength=len(speech.speech.quantizers[layer].codebook)
    )
    counts[list(deleted)] = -1
    return int(counts.argmax())


def _codes_of(word: str, detected: Mapping[str, Detected], number: int) -> Codes | None:
    """Return the best codes of a word, in the layer of the best; None where no code detects it."""
    best: Codes | None = None
    for layer, one in detected.items():
        f1 = _f1_by_code(one.found, word)
        numbers = sorted(f1, key=lambda code: -f1[code])[:number]
        if numbers and f1[numbers[0]] > (best.f1 if best else 0.0):
            best = Codes(layer, numbers, f1[numbers[0]])
    return best


def _f1_by_code(found: WordDetection, word: str) -> dict[int, float]:
    """Return the F1 of each code that meets a word."""
    names = [one.lower() for one in found.counts.words]
    if word not in names:
        return {}
    pairs = np.flatnonzero((found.counts.word == names.index(word)) & found.detects)
    return {int(found.counts.code[pair]): float(found.f1[pair]) for pair in pairs}


def _f1_of(found: WordDetection, word: str) -> float:
    """Return the F1 of a word's best code."""
    return max(_f1_by_code(found, word).values(), default=0.0)


def _alike(
    codes: Sequence[np.ndarray], chosen: Codes, found: WordDetection, word: str, seeds: Sequence[int]
) -> list[list[int]]:
    """Return for each seed as many codes of like frequency that have nothing to do with the word."""
    counts = np.bincount(np.concatenate(codes), minlength=int(found.counts.code.max()) + 1)
    f1 = _f1_by_code(found, word)
    strange = [code for code in range(len(counts)) if f1.get(code, 0.0) < UNLIKE and code not in chosen.numbers]
    draws = [random.Random(f"{seed} {word}") for seed in seeds]
    found_codes = []
    for draw in draws:
        left, taken = list(strange), []
        for code in chosen.numbers:
            near = sorted(left, key=lambda one: abs(int(counts[one]) - int(counts[code])))[:NEAR]
            if near:
                taken.append(draw.choice(near))
                left.remove(taken[-1])
        found_codes.append(taken)
    return found_codes


def _half(number: int, seed: int) -> Tensor:
    """Return (P,) bool, true of half of the pairs, drawn by a seed."""
    half = torch.zeros(number, dtype=torch.bool)
    half[torch.randperm(number, generator=torch.Generator().manual_seed(seed))[: (number + 1) // 2]] = True
    return half


def _lost(before: float, after: float) -> float:
    """Return which share of a lead is gone; NaN where there was none."""
    return (before - after) / before if before > 0 else float("nan")


def _recall(scores: Tensor, best: int) -> str:
    """Return in a sentence how well the listener finds the image of a caption."""
    own = scores.diag()[:, None]
    right = ((scores > own).sum(dim=1) < best).double().mean().item()
    return (
        f"The listener finds the own image of {len(scores)} captions among the {best} best in {100 * right:.0f} % "
        f"(chance {100 * best / len(scores):.1f} %)."
    )
