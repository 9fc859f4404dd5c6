"""The matching model's retrieval: copies of an image are one candidate."""

from types import SimpleNamespace

import numpy as np
import torch

from evaluation.retrieval.recall import recall_metrics
from tasks.attngan.damsm import Damsm, EncodedPairs

IDS = np.array([5, 7, 5, 9])  # rows 0 and 2 show the same image


def rank(sentences, images):
    dataset = SimpleNamespace(image_ids=lambda rows: IDS[rows])
    task = SimpleNamespace(data=SimpleNamespace(loaders={"test": SimpleNamespace(dataset=dataset)}))
    encoded = EncodedPairs(torch.tensor(sentences), torch.tensor(images), torch.arange(4), {})
    return Damsm.rank(task, "test", encoded)


IMAGES = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]


def test_copies_of_an_image_are_one_candidate_and_their_captions_are_right():
    found = rank([[1.0, 0.1, 0.0], [0.0, 1.0, 0.1], [1.0, 0.0, 0.2], [0.1, 0.0, 1.0]], IMAGES)
    metrics = recall_metrics(found.retrieval)
    assert metrics["recall@1"] == 1
    assert (metrics["n"], metrics["n_captions"]) == (3, 4)
    assert found.images.tolist() == [0, 1, 3]
    assert found.image_of.tolist() == [0, 1, 0, 2]
    assert found.what("test") == "4 test captions of 3 images"


def test_copies_of_a_wrong_image_count_as_one_rival():
    """The caption of row 1 finds the image of rows 0 and 2 first, and its own second."""
    found = rank([[1.0, 0.0, 0.0], [1.0, 0.9, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], IMAGES)
    assert found.retrieval.image.rank.tolist() == [0, 1, 0, 0]


def test_without_copies_rows_are_pairs(monkeypatch):
    monkeypatch.setattr("tests.tasks.attngan.test_damsm.IDS", np.arange(4))
    metrics = recall_metrics(rank(np.eye(4).tolist(), np.eye(4).tolist()).retrieval)
    assert metrics["recall@1"] == 1
    assert metrics["n"] == 4
    assert "n_captions" not in metrics
