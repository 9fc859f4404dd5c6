"""Documents as TF-IDF of their stemmed words, as scikit-learn's TfidfVectorizer computes it by default."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from datasets.class_features.dataset import ClassFeaturesError
from datasets.text_image.vocabulary import Vocabulary, VocabularyError
from models.tfidf_captions import stems


class Documents(NamedTuple):
    """Documents as numbers."""

    numbers: np.ndarray  # (C, V) float32, rows of norm 1
    words: list[str]  # (V,) the first word of each stem


def tfidf(texts: Sequence[str]) -> Documents:
    """Weigh the stems of each text; raise ClassFeaturesError where one has no word."""
    try:
        vocabulary = Vocabulary.of(texts)
        rows = [vocabulary.encode(text) for text in texts]
    except VocabularyError as error:
        raise ClassFeaturesError(f"a document has no word ({error})") from error
    stem_of = stems(vocabulary.words)
    counts = np.zeros((len(texts), len(vocabulary)))
    for row, numbers in enumerate(rows):
        np.add.at(counts[row], stem_of[numbers], 1)
    used = np.flatnonzero(counts.any(axis=0))
    counts = counts[:, used]
    weighed = counts * (np.log((1 + len(texts)) / (1 + (counts > 0).sum(axis=0))) + 1)
    numbers = weighed / np.linalg.norm(weighed, axis=1, keepdims=True)
    return Documents(numbers.astype(np.float32), [vocabulary.words[number] for number in used])
