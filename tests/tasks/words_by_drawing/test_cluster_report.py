import numpy as np
import pytest
import torch

from gan.clusters.clustering import ClusteringError, Clusters
from gan.clusters.datapoints import Datapoints
from tasks.words_by_drawing import cluster_report
from tasks.words_by_drawing.cluster_report import write_cluster_page

FRAME = 0.1  # seconds
WORDS = ["red", "cube"] * 120


class Pairs:
    """Images whose second cell responds to the second word of their caption, spoken in frame 3."""

    def __init__(self, sound=True, timed=True):
        self.sound, self.timed = sound, timed

    def image_u8(self, pair):
        return np.full((32, 32, 3), 180, np.uint8)

    def features(self, pair):
        maps = torch.full((4, 2, 2), 0.05)
        maps[slice(0, 2) if WORDS[pair] == "red" else slice(2, 4), 0, 1] = 4.0 + 0.01 * pair
        return maps

    def speech(self, pair):
        maps = torch.full((4, 4), 0.05)
        half = slice(0, 2) if WORDS[pair] == "red" else slice(2, 4)
        maps[half, 3] = 4.0 + 0.01 * pair
        return maps

    def waveform(self, pair):
        return np.linspace(-0.5, 0.5, 6400, dtype=np.float32) if self.sound else None

    def words(self, pair):
        return [(0.0, 0.2, "the"), (0.2, 0.4, WORDS[pair])] if self.timed else None

    def text(self, pair):
        return f"the {WORDS[pair]} <{pair}>"


def collected(pairs):
    datapoints = Datapoints()
    rows = range(len(WORDS))
    maps = torch.stack([pairs.features(row) for row in rows]), torch.stack([pairs.speech(row) for row in rows])
    datapoints.add(*maps, None, [str(row) for row in rows])
    return datapoints


@pytest.fixture
def clusters():
    centroids = torch.zeros(2, 4, dtype=torch.float64)
    centroids[0, :2], centroids[1, 2:] = 0.5, 0.5
    return Clusters(centroids, torch.full((4,), 0.5), torch.ones(4))


def show(monkeypatch, clusters, regions, snippets):
    """Show fewer clusters, regions and snippets on the page."""
    for name, number in (("CLUSTERS", clusters), ("REGIONS", regions), ("SNIPPETS", snippets)):
        monkeypatch.setattr(cluster_report, f"SHOWN_{name}", number)


def test_the_page_shows_words_regions_and_sounds(clusters, tmp_path, monkeypatch):
    show(monkeypatch, 2, 3, 2)
    pairs = Pairs()
    path = tmp_path / "clusters.html"
    names = write_cluster_page(path, "clusters", clusters, collected(pairs), pairs, FRAME)
    assert [entry.name for entry in names] == ["red", "cube"]
    page = path.read_text()
    assert page.count("data:image/jpeg") == 6
    assert page.count("data:audio/flac") == 4
    assert "2 clusters of 4 feature units; a word stands out in 2." in page
    assert "the red &lt;238&gt;" in page


def test_without_sound_or_word_times(clusters, tmp_path, monkeypatch):
    path = tmp_path / "clusters.html"
    silent = Pairs(sound=False)
    write_cluster_page(path, "clusters", clusters, collected(silent), silent, FRAME)
    assert "<audio" not in path.read_text()
    show(monkeypatch, 1, 1, 1)
    untimed = Pairs(timed=False)
    names = write_cluster_page(path, "clusters", clusters, collected(untimed), untimed, FRAME)
    assert [entry.name for entry in names] == ["cluster 1", "cluster 2"]
    assert path.read_text().count("<audio") == 1


def test_clusters_of_another_model(tmp_path):
    pairs = Pairs()
    other = Clusters(torch.ones(1, 5), torch.zeros(5), torch.ones(5))
    with pytest.raises(ClusteringError, match="the clusters have 5 feature units, the model 4"):
        write_cluster_page(tmp_path / "clusters.html", "clusters", other, collected(pairs), pairs, FRAME)
