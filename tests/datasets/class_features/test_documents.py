import numpy as np
import pytest
import snowballstemmer
from sklearn.feature_extraction.text import TfidfVectorizer

from datasets.class_features.dataset import ClassFeaturesError
from datasets.class_features.documents import tfidf

TEXTS = ["A bird, red birds. the Birds", "the flying bird; it flew", "red and reddish: 7 cubes"]


def test_documents_equal_scikit_learns():
    porter = snowballstemmer.stemmer("porter")

    def stemmed(text):
        kept = "".join(mark if mark.isalnum() else " " for mark in text.lower())
        return [porter.stemWord(word) for word in kept.split()]

    oracle = TfidfVectorizer(analyzer=stemmed).fit(TEXTS)
    expected, columns = oracle.transform(TEXTS).toarray(), oracle.vocabulary_
    found = tfidf(TEXTS)
    assert len(found.words) == len(columns)
    assert found.words[:3] == ["a", "bird", "red"]
    for number, word in enumerate(found.words):
        assert found.numbers[:, number] == pytest.approx(expected[:, columns[porter.stemWord(word)]])
    assert found.numbers.dtype == np.float32


def test_a_document_without_words():
    with pytest.raises(ClassFeaturesError, match="a document has no word"):
        tfidf(["red", "..."])
    with pytest.raises(ClassFeaturesError, match="a document has no word"):
        tfidf([""])
