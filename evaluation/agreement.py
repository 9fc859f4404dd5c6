"""How much annotators agree: BLEU, shared words, and similarity by a language model (arXiv:2110.04292, section 3.2).

All figures compare the texts of different annotators about the same thing; beside them stand the same figures for texts
about different things, which is what chance gives.

Shape letters: N texts, T tokens, E numbers of an embedding.
"""

import random
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from common.errors import UserError

Words = Callable[[str], Sequence[str]]
Embed = Callable[[str], Tensor]
EXTRA = "requirements-language.txt"


class AgreementError(UserError, ValueError):
    """Texts that cannot be compared, or a program that is missing for it."""


class Agreement(NamedTuple):
    """Keep one figure, 0-1, with what chance gives and how it was measured."""

    value: float
    chance: float
    protocol: str


def word_overlap(texts: Sequence[Sequence[str]], words: Words, seed: int = 0) -> Agreement:
    """Compare the sets of words of every two texts about the same thing: words of both over words of either.

    Args:
        texts: N things, each with the texts of its annotators; at least one has two.
        words: splits a text.
        seed: of the texts about different things.

    Raises:
        AgreementError: nothing has two texts.
    """
    pairs = _pairs(texts)
    other = _strangers(texts, len(pairs), seed)
    shares = [_mean([_jaccard(set(words(a)), set(words(b))) for a, b in some]) for some in (pairs, other)]
    return Agreement(*shares, f"words of both over words of either, mean of {len(pairs)} pairs")


def bleu(texts: Sequence[Sequence[str]], seed: int = 0) -> Agreement:
    """Measure corpus BLEU of each text against all others about the same thing, by sacrebleu, lower case, 0-1.

    Args:
        texts: as of :func:`word_overlap`.
        seed: of the texts about different things.

    Raises:
        AgreementError: nothing has two texts, or sacrebleu is not installed.
    """
    try:
        from sacrebleu.metrics import BLEU
    except ImportError as error:
        raise _missing("sacrebleu", error) from error
    _pairs(texts)
    told = [(one, [*every[:row], *every[row + 1 :]]) for every in texts for row, one in enumerate(every) if every[1:]]
    order = _derangement(len(texts), seed)
    strange = [
        (one, list(texts[order[number]]))
        for number, every in enumerate(texts)
        for one in every
        if every[1:] and texts[order[number]]
    ]
    metric, scores = BLEU(lowercase=True, effective_order=True), []
    for some in (told, strange):
        most = max((len(references) for _, references in some), default=0)
        streams = [[references[k] if k < len(references) else None for _, references in some] for k in range(most)]
        scores.append(metric.corpus_score([one for one, _ in some], streams).score / 100 if some else 0.0)
    return Agreement(*scores, f"sacrebleu {metric.get_signature()}, {len(told)} texts")


def bert_score(texts: Sequence[Sequence[str]], embed: Embed, name: str, seed: int = 0) -> Agreement:
    """Match each token with the most similar one of the other text, F1 of both ways (arXiv:1904.09675).

    Without weights of rare words, and without the published rescaling.

    Args:
        texts: as of :func:`word_overlap`.
        embed: gives the tokens' embeddings (T, E) of a text.
        name: of the language model.
        seed: of the texts about different things.

    Raises:
        AgreementError: nothing has two texts.
    """
    pairs = _pairs(texts)
    kept: dict[str, Tensor] = {}

    def of(text: str) -> Tensor:
        if text not in kept:
            kept[text] = torch.nn.functional.normalize(embed(text).float(), dim=1)
        return kept[text]

    other = _strangers(texts, len(pairs), seed)
    values = [_mean([_greedy(of(a), of(b)) for a, b in some]) for some in (pairs, other)]
    return Agreement(*values, f"BERTScore F1 by {name}, not rescaled, mean of {len(pairs)} pairs")


def language_model(folder: Path) -> Embed:
    """Return the last hidden states of a language model in a folder of transformers' layout, with safetensors weights.

    Nothing is downloaded, and no code of the folder is run.

    Raises:
        AgreementError: transformers is not installed, or the folder holds no such model.
    """
    if not (folder / "config.json").is_file():
        raise AgreementError(f"{folder} has no config.json; give the folder of a model of transformers, such as BERT's")
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise AgreementError(
            f"comparing texts by a language model needs transformers ({error}): pip install transformers"
        ) from error
    try:
        given = {"local_files_only": True, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(str(folder), **given)
        model = AutoModel.from_pretrained(str(folder), use_safetensors=True, **given).eval()
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise AgreementError(f"{folder} cannot be read as a language model ({reason})") from error

    @torch.no_grad()
    def embed(text: str) -> Tensor:
        return model(**tokenizer(text, return_tensors="pt", truncation=True)).last_hidden_state[0]

    return embed


def _pairs(texts: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    found = [pair for every in texts for pair in combinations(every, 2)]
    if not found:
        raise AgreementError("nothing has two texts, so that there is no agreement; have several people annotate")
    return found


def _strangers(texts: Sequence[Sequence[str]], number: int, seed: int) -> list[tuple[str, str]]:
    """Return as many pairs of texts about different things; none where there is one thing."""
    known = [(row, text) for row, every in enumerate(texts) for text in every]
    if len({row for row, _ in known}) < 2:
        return []
    draws, found = random.Random(seed), []
    while len(found) < number:
        (row, text), (other, strange) = draws.sample(known, 2)
        if row != other:
            found.append((text, strange))
    return found


def _derangement(number: int, seed: int) -> list[int]:
    """Return for each of ``number`` things another one."""
    step = random.Random(seed).randrange(1, number) if number > 1 else 0
    return [(row + step) % number for row in range(number)]


def _jaccard(first: set[str], second: set[str]) -> float:
    return len(first & second) / len(first | second) if first | second else 1.0


def _greedy(first: Tensor, second: Tensor) -> float:
    similarity = first @ second.T
    precision, recall = similarity.amax(1).mean().item(), similarity.amax(0).mean().item()
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _missing(package: str, error: ImportError) -> AgreementError:
    return AgreementError(f"{package} cannot be imported ({error}): pip install -r {EXTRA}")
