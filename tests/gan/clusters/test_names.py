import pytest
import torch

from gan.clusters.clustering import ClusteringError, Clusters
from gan.clusters.datapoints import Points
from gan.clusters.names import Position, count_words, name_clusters, one_of_each

FRAME = 0.1  # seconds


@pytest.fixture
def clusters():
    centroids = torch.zeros(2, 4, dtype=torch.float64)
    centroids[0, :2], centroids[1, 2:] = 0.5, 0.5
    return Clusters(centroids, torch.zeros(4), torch.ones(4))


def spoken(words, frames=4):
    """Pair p says "the", then its word: frames 0 and 1, then 2 and 3."""
    return {p: [(0.0, 0.2, "the"), (0.2, 0.4, word)] for p, word in enumerate(words)}


def points(words, strength=3.0):
    """One frame for each of the two words of each pair; "red" responses cluster 0, "cube" cluster 1."""
    features, pair, position = [], [], []
    for p, word in enumerate(words):
        strong = torch.tensor([1.0, 1, 0, 0] if word == "red" else [0.0, 0, 1, 1]) * (strength + 0.1 * p)
        features += [torch.full((4,), 0.1), strong]
        pair += [p, p]
        position += [0, 3]
    return Points(torch.stack(features), torch.tensor(pair), torch.tensor(position))


def test_names_are_the_words_that_stand_out(clusters):
    words = ["red", "cube"] * 6
    found = name_clusters(clusters, points(words), points(words), spoken(words), FRAME, strongest=5)
    assert [entry.name for entry in found] == ["red", "cube"]
    assert found[0].words[0].count == 5
    assert found[0].words[0].lift == pytest.approx(4)  # all of the strongest, a quarter of all frames
    assert [frame.pair for frame in found[0].frames] == [10, 8, 6, 4, 2]
    assert found[0].frames[0].word == "red"
    assert found[0].frames[0].span == (0.2, 0.4)
    assert [region.pair for region in found[1].regions] == [11, 9, 7, 5, 3]
    assert found[1].regions[0].position == 3


def test_clusters_without_words_have_numbers(clusters):
    found = name_clusters(clusters, points(["red", "cube"]), points(["red", "cube"]), {}, FRAME)
    assert [entry.name for entry in found] == ["cluster 1", "cluster 2"]
    assert found[0].frames[0].word is None
    assert found[0].words == []


def test_pauses_have_no_word(clusters):
    words = {0: [(0.0, 0.05, "red")], 1: [(0.0, 0.35, "cube")]}
    found = name_clusters(clusters, points(["red", "cube"]), points(["red", "cube"]), words, FRAME)
    assert found[0].frames[0].word is None  # frame 3 is the middle of 0.3 to 0.4 s
    assert found[1].frames[0].word == "cube"  # it ends within half a frame


def test_counted_words():
    base = {"the": 50, "red": 10, "cube": 40}
    found = count_words(["red", "red", "red", "the", "cube", None], base)
    assert [(entry.word, entry.count) for entry in found] == [("red", 3)]
    assert found[0].lift == pytest.approx(6)
    assert count_words([None], {}) == []


def test_one_place_of_each_pair():
    positions = [Position(1, 0, 9.0), Position(1, 1, 8.0), Position(2, 0, 7.0), Position(3, 0, 6.0)]
    assert one_of_each(positions, 2) == [positions[0], positions[2]]


def test_bad_input(clusters):
    good = points(["red"])
    with pytest.raises(ValueError, match="frame_seconds=0"):
        name_clusters(clusters, good, good, {}, 0)
    with pytest.raises(ClusteringError, match="the clusters have 4 feature units, the model 5"):
        name_clusters(clusters, good, Points(torch.zeros(1, 5), good.pair, good.position), {}, FRAME)
