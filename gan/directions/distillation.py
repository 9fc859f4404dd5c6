"""Directions of words, distilled from annotated directions by ridge regression (arXiv:2110.04292, section 3.3).

Every annotation is a row: W (N, V) says which words it holds, D (N, D) is the direction it is about. Directions of
words E minimise |W E - D|^2 + penalty |E|^2, so E = (W^T W + penalty I)^-1 W^T D, as in the notebooks of
schwettmann/visual-vocab.

Shape letters: N annotations, V words, K directions, D numbers in a latent.
"""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from common.errors import UserError

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # the published text advises values up to 100
Words = Callable[[str], Sequence[str]]


class DistillationError(UserError, ValueError):
    """Annotations from which no direction of a word can be distilled."""


@dataclass(frozen=True)
class Vocabulary:
    """Keep directions of words, the most frequent word first, and those of one frequency by alphabet.

    Attributes:
        words: V.
        vectors: (V, D) float32, in whose lengths there is meaning: frequent and consistent words have long ones.
        counts: V, how many annotations hold the word.
        penalty: of the ridge.
        errors: mean squared error of held-out directions, by penalty; empty where the penalty was given.
    """

    words: list[str]
    vectors: Tensor
    counts: list[int]
    penalty: float
    errors: dict[float, float] = field(default_factory=dict)

    def direction(self, word: str) -> Tensor:
        """Return the direction (D,) of a word; raises DistillationError, which names the nearest, of unknown ones."""
        if word not in self.words:
            near = difflib.get_close_matches(word, self.words, n=3) or self.words[:3]
            raise DistillationError(
                f"there is no direction of {word!r} among {len(self.words)} words; try {', '.join(near)}"
            )
        return self.vectors[self.words.index(word)]


def words_of(text: str) -> list[str]:
    """Return the words of a text in small letters; hyphens and apostrophes within a word belong to it."""
    return WORD.findall(text.lower())


def ridge(features: Tensor, targets: Tensor, penalty: float) -> Tensor:
    """Return (V, D) that minimises |features (N, V) @ it - targets (N, D)|^2 + penalty |it|^2, in their precision."""
    gram = features.T @ features + penalty * torch.eye(features.shape[1], dtype=features.dtype, device=features.device)
    return torch.linalg.solve(gram, features.T @ targets)


def distil(
    directions: Tensor,
    annotations: Sequence[Sequence[str]],
    penalty: float | Sequence[float] = PENALTIES,
    min_count: int = 2,
    folds: int = 5,
    seed: int = 0,
    words: Words = words_of,
) -> Vocabulary:
    """Distil a direction for each word.

    Args:
        directions: (K, D).
        annotations: K, the texts about each direction, maybe none.
        penalty: one, or several of which cross-validation chooses.
        min_count: annotations that a word must appear in.
        folds: parts of the directions, each held out once; all texts of a direction are in one part, also where it is
            in several rows.
        seed: of the parts.
        words: splits a text; give one that also corrects spelling or takes lemmas.

    Raises:
        DistillationError: sizes do not fit, no word is frequent enough, or there are fewer annotated directions than
            folds.
    """
    if len(directions) != len(annotations):
        raise DistillationError(f"found {len(directions)} directions and {len(annotations)} lists of annotations")
    penalties = [float(penalty)] if isinstance(penalty, int | float) else [float(one) for one in penalty]
    if not penalties or min(penalties) <= 0:
        raise DistillationError(f"found penalties {penalties}, expected values above 0")
    rows = [(number, set(words(text))) for number, texts in enumerate(annotations) for text in texts]
    counts = Counter(word for _, found in rows for word in found)
    kept = sorted(
        (word for word, count in counts.items() if count >= min_count), key=lambda word: (-counts[word], word)
    )
    if not kept:
        raise DistillationError(
            f"no word appears in {min_count} of {len(rows)} annotations; lower min_count or annotate more directions"
        )
    index = {word: number for number, word in enumerate(kept)}
    features = torch.zeros(len(rows), len(kept), dtype=torch.float64)
    for row, (_, found) in enumerate(rows):
        features[row, [index[word] for word in found if word in index]] = 1
    directions = directions.detach().cpu()
    same = torch.unique(directions, dim=0, return_inverse=True)[1]  # a direction shown in several scenes
    numbers = torch.tensor([number for number, _ in rows])
    owners, targets = same[numbers], directions.double()[numbers]
    errors = _held_out(features, targets, owners, penalties, folds, seed) if len(penalties) > 1 else {}
    best = min(errors, key=errors.__getitem__) if errors else penalties[0]
    vectors = ridge(features, targets, best).float()
    return Vocabulary(kept, vectors, [counts[word] for word in kept], best, errors)


def distil_by_class(
    directions: Tensor,
    annotations: Sequence[Sequence[str]],
    classes: Sequence[str],
    **settings: float | int | Words | Sequence[float],
) -> Mapping[str, Vocabulary]:
    """Distil over all directions (``all``) and over those of each class, in the order of their names.

    Args:
        directions: (K, D).
        annotations: K, the texts about each direction.
        classes: K, the class of image in which each direction was shown.
        settings: of :func:`distil`.

    Raises:
        DistillationError: as of that function; names the class.
    """
    if len(classes) != len(directions):
        raise DistillationError(f"found {len(directions)} directions and {len(classes)} classes, expected one for each")
    if "all" in classes:
        raise DistillationError("a class is called 'all', which is the name of all together; rename it")
    found = {"all": distil(directions, annotations, **settings)}
    for name in sorted(set(classes)):
        rows = [number for number, one in enumerate(classes) if one == name]
        try:
            found[name] = distil(directions[rows], [annotations[row] for row in rows], **settings)
        except DistillationError as error:
            raise DistillationError(f"class {name!r}: {error}") from error
    return found


def _held_out(
    features: Tensor, targets: Tensor, owners: Tensor, penalties: Sequence[float], folds: int, seed: int
) -> dict[float, float]:
    """Return the mean squared error of held-out rows by penalty; ``owners`` (N,) are the rows' directions."""
    annotated = owners.unique()
    if folds < 2 or len(annotated) < folds:
        raise DistillationError(
            f"{len(annotated)} annotated directions cannot be parted into {folds} folds of one or more"
        )
    order = annotated[torch.randperm(len(annotated), generator=torch.Generator().manual_seed(seed))]
    totals = dict.fromkeys(penalties, 0.0)
    for part in order.tensor_split(folds):
        held = torch.isin(owners, part)
        gram = features[~held].T @ features[~held]
        values, vectors = torch.linalg.eigh(gram)  # once for all penalties
        projected = vectors.T @ (features[~held].T @ targets[~held])
        for penalty in penalties:
            weights = vectors @ (projected / (values + penalty)[:, None])
            totals[penalty] += (features[held] @ weights - targets[held]).square().sum().item()
    return {penalty: total / targets.numel() for penalty, total in totals.items()}
