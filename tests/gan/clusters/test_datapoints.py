import numpy as np
import pytest
import torch
from scipy import ndimage

from gan.clusters.clustering import ClusteringError
from gan.clusters.datapoints import Datapoints, run_middles
from models.matchmap import MatchmapError


def maps(pairs=6, dim=5, height=3, width=4, frames=7, seed=0):
    draws = torch.Generator().manual_seed(seed)
    return (
        torch.rand(pairs, dim, height, width, generator=draws),
        torch.rand(pairs, dim, frames, generator=draws),
        torch.tensor([7, 5, 7, 1, 6, 7])[:pairs],
    )


def slow(image, speech, frames):
    """The published loop over pairs, on numpy, with the right index arithmetic."""
    products, image_points, speech_points = [], [], []
    for i in range(len(image)):
        matchmap = torch.einsum("dhw,dt->hwt", image[i], speech[i, :, : frames[i]]).numpy()
        h, w, t = np.unravel_index(matchmap.argmax(), matchmap.shape)
        products.append((image[i, :, h, w] * speech[i, :, t]).numpy())
        for points, answer, features in (
            (image_points, matchmap.mean(2).reshape(-1), image[i].flatten(1)),
            (speech_points, matchmap.max((0, 1)), speech[i]),
        ):
            labelled, count = ndimage.label(answer > 0.5 * answer.max(), np.ones(3))
            for n in range(1, count + 1):
                position = int(np.where(labelled == n)[0].mean().round())
                points.append((i, position, features[:, position].numpy()))
    return products, image_points, speech_points


def test_against_the_published_loop():
    image, speech, frames = maps()
    datapoints = Datapoints()
    datapoints.add(image[:4], speech[:4], frames[:4], list("abcd"))
    datapoints.add(image[4:], speech[4:], frames[4:], list("ef"))
    products, image_points, speech_points = slow(image, speech, frames)
    assert datapoints.names == list("abcdef")
    assert np.allclose(datapoints.products, products, atol=1e-6)
    for points, expected in ((datapoints.image, image_points), (datapoints.speech, speech_points)):
        assert points.pair.tolist() == [pair for pair, _, _ in expected]
        assert points.position.tolist() == [position for _, position, _ in expected]
        assert np.allclose(points.features, np.stack([features for _, _, features in expected]))
    assert datapoints.width == 4


def test_no_more_than_asked_for():
    datapoints = Datapoints(most=5)
    image, speech, _ = maps()
    datapoints.add(image[:3], speech[:3], None, list("abc"))
    assert not datapoints.full
    datapoints.add(image[3:], speech[3:], None, list("def"))
    datapoints.add(image[3:], speech[3:], None, list("def"))
    assert datapoints.full
    assert datapoints.names == list("abcde")
    assert len(datapoints.products) == 5
    assert len(datapoints.image.pair) <= 5


def test_the_best_cell_counts_even_where_all_answers_are_negative():
    image, speech, frames = maps()
    datapoints = Datapoints()
    datapoints.add(-image, speech, frames, list("abcdef"))
    assert datapoints.image.pair.tolist() == datapoints.speech.pair.tolist() == list(range(6))
    means = torch.stack([(image[i].flatten(1).T @ speech[i, :, : frames[i]]).mean(1) for i in range(6)])
    assert datapoints.image.position.tolist() == means.argmin(1).tolist()


def test_middles_of_runs():
    marks = torch.tensor([[1, 1, 0, 1, 1, 1, 0, 1], [0, 1, 1, 0, 0, 0, 0, 0]]).bool()
    pair, position = run_middles(marks)
    assert pair.tolist() == [0, 0, 0, 1]
    assert position.tolist() == [0, 4, 7, 2]  # 0.5 goes to 0, 1.5 to 2: half to even, as numpy rounds


def test_bad_input():
    with pytest.raises(ClusteringError, match="0 datapoints"):
        Datapoints(most=0)
    with pytest.raises(ClusteringError, match="there are no datapoints"):
        Datapoints().cluster()
    image, speech, frames = maps()
    with pytest.raises(MatchmapError, match="Image maps have 4 channels, speech maps 5"):
        Datapoints().add(image[:, :4], speech, frames, list("abcdef"))
