"""Scores of generated scenes by hand and by loops; published values are in the parity case."""

import numpy as np
import pytest

from evaluation.object_scores import (
    SCORES,
    Objects,
    ObjectScoreError,
    confusion,
    relations,
    scores_of_images,
    summarise,
    summarise_turns,
)


def objects(rows, locations=None):
    probabilities = np.array(rows, dtype=float)
    return Objects(probabilities, np.zeros((*probabilities.shape, 2)) if locations is None else locations)


def test_scores_by_hand():
    found = objects([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    truth = objects([[1, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]])
    scores = scores_of_images(found, truth)
    assert scores["precision"].tolist() == [0.5, 0, 0, 0]
    assert scores["recall"].tolist() == pytest.approx([1 / 3, 0, 0, 0])
    assert scores["f1"].tolist() == pytest.approx([0.4, 0, 0, 0])
    assert scores["jaccard"].tolist() == [0.25, 0, 1, 0]
    assert scores["cosine"].tolist() == pytest.approx([1 / 6**0.5, 0, 0, 0])
    assert scores["rsim"].tolist() == pytest.approx([1 / 3, 0, 0, 0])  # one object, where it should be


def test_means_of_each_turn():
    scores = {"rsim": np.array([1.0, 0.5, 0.0, 0.8, 0.1])}
    turns = np.array([0, 1, 2, 0, 1])
    assert summarise_turns(scores, turns) == pytest.approx({"rsim_turn_1": 0.9, "rsim_turn_2": 0.3, "rsim_turn_3": 0.0})


def test_a_probability_of_a_half_is_not_there():
    found = objects([[0.5, 0.51]])
    assert found.there.tolist() == [[False, True]]


def graph_by_loops(places):
    count = len(places)
    graph = np.zeros((2, count, count))
    for axis, column in enumerate((0, places.shape[1] - 1)):
        for i in range(count):
            for j in range(count):
                other = 0.5 if i == j else places[j, column]
                graph[axis, i, j] = np.sign(places[i, column] - other)
    return graph


@pytest.mark.parametrize("coordinates", [2, 3])
def test_relations_and_rsim_by_loops(coordinates):
    draws = np.random.default_rng(0)
    there, locations = draws.random((2, 300, 6)) > 0.4, draws.integers(0, 5, (2, 300, 6, coordinates)) / 4
    found, truth = (Objects(there[side].astype(float), locations[side]) for side in (0, 1))
    scores = scores_of_images(found, truth)["rsim"]
    for image in range(300):  # more than are compared at a time
        both = there[0, image] & there[1, image]
        if not both.any():
            assert scores[image] == 0
            continue
        graphs = [graph_by_loops(locations[side, image][both]) for side in (0, 1)]
        recall = both.sum() / there[1, image].sum()
        assert scores[image] == pytest.approx(recall * (graphs[0] == graphs[1]).mean())
    assert np.array_equal(relations(locations[0, :1])[0], graph_by_loops(locations[0, 0]))


def test_confusion_by_hand():
    found, truth = objects([[1, 0], [1, 1], [0, 1]]), objects([[1, 1], [0, 1], [0, 1]])
    assert confusion(found, truth).tolist() == [[[1, 1], [0, 1]], [[0, 0], [1, 2]]]


def test_means_over_all_and_last_turns():
    by_image = {"f1": np.array([0.0, 1.0, 0.5]), "rsim": np.array([0.2, 0.4, 0.6])}
    assert summarise(by_image, np.array([False, True, True])) == pytest.approx(
        {"f1_all": 0.5, "rsim_all": 0.4, "f1_last": 0.75, "rsim_last": 0.5}
    )
    with pytest.raises(ObjectScoreError, match="found 3 images, none of which ends a scene"):
        summarise(by_image, np.zeros(3, bool))


def test_perfect_images():
    places = np.random.default_rng(1).random((4, 3, 3))
    scenes = Objects(np.ones((4, 3)), places)
    scores = scores_of_images(scenes, scenes)
    assert list(scores) == list(SCORES)
    for name in SCORES:
        assert scores[name].tolist() == pytest.approx([1] * 4), name


def test_arrays_that_do_not_fit():
    with pytest.raises(ObjectScoreError, match=r"found probabilities \(2, 3\) and locations \(2, 3, 4\)"):
        Objects(np.zeros((2, 3)), np.zeros((2, 3, 4)))
    with pytest.raises(
        ObjectScoreError, match=r"found objects \(1, 2, 2\) and true ones \(1, 3, 2\); .*another data set"
    ):
        scores_of_images(objects([[0, 1]]), objects([[0, 1, 1]]))
