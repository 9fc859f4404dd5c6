import pytest
import torch
from torch import nn

from gan.clusters.clustering import ClusteringError, Clusters
from gan.clusters.segmenter import ClusterSegmenter, cluster_scores
from models.segmenter.labels import Segmenter


@pytest.fixture
def clusters():
    draws = torch.Generator().manual_seed(0)
    centroids = torch.zeros(3, 8, dtype=torch.float64)
    for row, units in enumerate(([0, 1, 2], [3, 4], [5, 6, 7])):
        centroids[row, units] = 1 / len(units)
    mean, std = (torch.rand(8, generator=draws, dtype=torch.float64) for _ in range(2))
    return Clusters(centroids, mean, std)


class Encoder(nn.Conv2d):
    def __init__(self):
        super().__init__(3, 8, 4, 4)


@pytest.fixture
def segmenter(clusters):
    torch.manual_seed(0)
    return ClusterSegmenter(Encoder(), clusters, prepare=lambda images: images + 1)


def test_scores_against_a_loop(clusters):
    features = torch.randn(2, 8, 3, 5, generator=torch.Generator().manual_seed(1))
    scores = cluster_scores(features, clusters, None)
    for b in range(2):
        for k in range(3):
            for y in range(3):
                for x in range(5):
                    normal = (features[b, :, y, x].double() - clusters.mean) / (clusters.std + 1e-8)
                    assert scores[b, k, y, x] == pytest.approx(float(clusters.centroids[k] @ normal), abs=1e-5)


def test_labels_are_the_published_names(segmenter):
    assert isinstance(segmenter, Segmenter)
    assert segmenter.labels == ["c_2", "c_3", "c_4"]  # c_1 is the background
    assert segmenter.categories == ["cluster"] * 3
    assert ClusterSegmenter(Encoder(), segmenter.clusters, segmenter.prepare, names=["a", "b", "c"]).labels[1] == "b"


def test_maps_are_enlarged_before_the_threshold(segmenter):
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    maps = segmenter.segment(images)
    assert maps.shape == (2, 3, 64, 64)
    assert maps.dtype == torch.bool
    small = cluster_scores(segmenter.encoder(images + 1), segmenter.clusters, None)
    large = nn.functional.interpolate(small, (64, 64), mode="bilinear", align_corners=False)
    assert torch.equal(maps, large > 0.5)


def test_bad_input(segmenter, clusters):
    with pytest.raises(ClusteringError, match="the clusters have 8 feature units, the model 16"):
        cluster_scores(torch.zeros(1, 16, 2, 2), clusters)
    with pytest.raises(ClusteringError, match=r"image features \(8, 2, 2\)"):
        cluster_scores(torch.zeros(8, 2, 2), clusters)
    with pytest.raises(ClusteringError, match="there is no cluster to segment by"):
        ClusterSegmenter(Encoder(), Clusters(torch.zeros(0, 8), torch.zeros(8), torch.ones(8)), lambda images: images)
    with pytest.raises(ClusteringError, match="2 names for 3 clusters"):
        ClusterSegmenter(Encoder(), clusters, lambda images: images, names=["a", "b"])
