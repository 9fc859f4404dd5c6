import logging

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gan.clusters.clustering import (
    ClusteringError,
    Clusters,
    active_units,
    find_clusters,
    group_units,
    jaccard,
    load_clusters,
    save_clusters,
)
from models.weights import WeightsError
from published import load_published
from published.words_by_drawing import clusters as published


def planted(groups=((0, 3, 5, 9), (1, 2, 4, 6, 7)), units=12, pairs=400, seed=0):
    """Products in which the units of a group are active together."""
    draws = np.random.RandomState(seed)
    products = draws.rand(pairs, units)
    for number, group in enumerate(groups):
        rows = np.arange(4) + 10 * number
        products[np.ix_(rows, group)] += 5
    return products


def test_planted_groups_are_found():
    features = np.random.RandomState(1).rand(30, 12)
    found = find_clusters(planted(), features, clusters=5)
    assert [found.units(k) for k in range(len(found.centroids))] == [[0, 3, 5, 9], [1, 2, 4, 6, 7]]
    assert found.centroids.sum(1).tolist() == pytest.approx([1, 1])
    assert torch.allclose(found.mean, torch.from_numpy(features).mean(0))
    assert torch.allclose(found.std, torch.from_numpy(features).std(0, correction=0))


def test_active_units_exceed_their_own_quantile():
    products = np.random.RandomState(0).rand(200, 5) * np.array([1, 10, 0.1, 3, 1])
    products[:, 4] = 2.0  # a constant unit is never active
    active = active_units(products)
    for unit in range(5):
        expected = products[:, unit] > np.quantile(products[:, unit], 0.99) + 1e-7
        assert (active[:, unit] == expected).all()
    assert active.sum(0).tolist() == [2, 2, 2, 2, 0]


def test_jaccard_against_sets():
    active = np.random.RandomState(3).rand(60, 7) > 0.7
    similarity = jaccard(active)
    for one in range(7):
        for other in range(7):
            a, b = (set(np.flatnonzero(active[:, unit])) for unit in (one, other))
            expected = 0 if one == other else len(a & b) / len(a | b)
            assert similarity[one, other] == pytest.approx(expected, abs=1e-9)


def slow_average_linkage(similarity, groups):
    """Merge the pair of groups with the smallest mean distance, again and again."""
    members = [[unit] for unit in range(len(similarity))]
    while len(members) > groups:
        pairs = [(i, j) for i in range(len(members)) for j in range(i)]
        means = [np.mean([1 - similarity[a, b] for a in members[i] for b in members[j]]) for i, j in pairs]
        i, j = pairs[int(np.argmin(means))]
        members[j] += members.pop(i)
    return {frozenset(group) for group in members}


@pytest.mark.parametrize("groups", [1, 4, 9, 15])
def test_linkage_against_a_slow_loop(groups):
    draws = np.random.RandomState(groups).rand(15, 15)
    similarity = (draws + draws.T) / 2
    labels = group_units(similarity, groups)
    found = {frozenset(np.flatnonzero(labels == k).tolist()) for k in range(groups)}
    assert found == slow_average_linkage(similarity, groups)
    assert labels[0] == 0
    assert len(found) == groups


def test_ties_still_give_the_number_asked_for():
    assert len(set(group_units(np.zeros((10, 10)), 6))) == 6
    assert group_units(np.zeros((1, 1)), 1).tolist() == [0]


def test_no_cluster_is_reported(caplog):
    with caplog.at_level(logging.WARNING):
        found = find_clusters(np.random.RandomState(0).rand(50, 8), np.zeros((3, 8)), clusters=8)
    assert found.centroids.shape == (0, 8)
    assert "none of 8 groups of 8 units has more than 3 units" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((5, 4)), np.zeros((5, 3))), r"products \(5, 4\) and image features \(5, 3\)"),
        ((np.zeros((5, 4)), np.zeros((0, 4))), "at least one"),
        ((np.full((5, 4), np.nan), np.zeros((5, 4))), "not finite"),
        ((np.zeros((5, 4)), np.zeros((5, 4)), 9), "9 clusters of 4 feature units; expected 1 to 4"),
        ((np.zeros((5, 4)), np.zeros((5, 4)), 2, 1.5), "quantile 1.5"),
        ((np.zeros((0, 4)), np.zeros((5, 4)), 2), "of 0 pairs"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ClusteringError, match=message):
        find_clusters(*arguments)


def test_files(tmp_path):
    clusters = find_clusters(planted(), np.random.RandomState(1).rand(30, 12), clusters=5)
    path = save_clusters(clusters, tmp_path / "deep" / "clusters.safetensors")
    again = load_clusters(path, 12)
    assert all(torch.equal(getattr(again, name), getattr(clusters, name)) for name in ("centroids", "mean", "std"))
    with pytest.raises(ClusteringError, match="the clusters have 12 feature units, the model 512: they are another"):
        load_clusters(path, 512)
    clusters.centroids[1, 3] = torch.nan
    with pytest.raises(ClusteringError, match=r"clusters\.safetensors: centroids of the clusters are not finite"):
        load_clusters(save_clusters(clusters, path))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WeightsError, match="not a complete safetensors file"):
        load_clusters(path)
    with pytest.raises(WeightsError, match="There is no weight file"):
        load_clusters(tmp_path / "none.safetensors")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ClusteringError, match="holds weight; expected clusters"):
        load_clusters(tmp_path / "other.pt")


def published_files(folder, centroids, mean, std):
    for name, values in (("centroids", centroids), ("mean", mean), ("var", std)):
        torch.save(values, folder / f"{name}_0.pth.tar", _use_new_zipfile_serialization=False)


def test_published_files(tmp_path):
    draws = np.random.RandomState(0)
    arrays = draws.rand(3, 6), draws.rand(6), draws.rand(6)
    published_files(tmp_path, *arrays)
    for path in (tmp_path, tmp_path / "centroids_0.pth.tar"):
        clusters = load_published("clusters", path)
        assert isinstance(clusters, Clusters)
        for name, values in zip(("centroids", "mean", "std"), arrays, strict=True):
            assert np.array_equal(getattr(clusters, name).numpy(), values)


class Hostile:
    def __reduce__(self):
        return print, ("never",)


def test_bad_published_files(tmp_path, capsys):
    published_files(tmp_path, np.zeros((3, 6)), np.zeros(6), np.zeros(5))
    with pytest.raises(ClusteringError, match="not of one clustering"):
        load_published("clusters", tmp_path)
    published_files(tmp_path, np.zeros((3, 6)), np.zeros(6), "six")
    with pytest.raises(ClusteringError, match=r"var_0.pth.tar holds a str, expected an array"):
        load_published("clusters", tmp_path)
    published_files(tmp_path, np.zeros((3, 6)), Hostile(), np.zeros(6))
    with pytest.raises(WeightsError, match=r"mean_0.pth.tar holds more than weights"):
        load_published("clusters", tmp_path)
    assert capsys.readouterr().out == ""
    (tmp_path / "mean_0.pth.tar").unlink()
    with pytest.raises(WeightsError, match=r"There is no weight file .*mean_0.pth.tar"):
        load_published("clusters", tmp_path)


@pytest.mark.parametrize(
    ("centroids", "message"),
    [
        (torch.tensor(1.0), r"c\.safetensors: centroids \(\), mean \(4,\) and std \(4,\); expected \(K, D\)"),
        (
            torch.ones(2, 4) * 1j,
            r"c\.safetensors: centroids is of the type torch\.complex64, expected plain real numbers",
        ),
    ],
)
def test_files_of_other_shapes_and_types(tmp_path, centroids, message):
    path = tmp_path / "c.safetensors"
    save_file({"centroids": centroids, "mean": torch.ones(4), "std": torch.ones(4)}, path)
    with pytest.raises(ClusteringError, match=message):
        load_clusters(path)


@pytest.mark.parametrize(
    ("centroids", "message"),
    [
        (np.float64(1.0), r"centroids \(\), mean \(4,\)|holds a float64, expected an array"),
        (torch.tensor(1.0), r"centroids \(\), mean \(4,\)"),
        (torch.ones(2, 4) * 1j, r"centroids_0\.pth\.tar is of the type torch\.complex64"),
        (torch.full((2, 4), torch.nan), "centroids of the clusters are not finite"),
        ("x", "holds a str, expected an array of real numbers"),
    ],
)
def test_published_files_of_other_shapes_and_types(tmp_path, centroids, message):
    contents = {"centroids": centroids, "mean": torch.ones(4), "var": torch.ones(4)}
    for name, content in contents.items():
        torch.save(content, tmp_path / f"{name}_0.pth.tar")
    with pytest.raises((ClusteringError, WeightsError), match=message):
        published.load(tmp_path)


def test_published_tensors_of_every_real_type_are_read(tmp_path):
    contents = {
        "centroids": torch.nn.Parameter(torch.ones(2, 4)),
        "mean": torch.ones(4).bfloat16(),
        "var": torch.ones(4),
    }
    for name, content in contents.items():
        torch.save(content, tmp_path / f"{name}_0.pth.tar")
    found = published.load(tmp_path)
    assert found.mean.dtype == found.centroids.dtype == torch.float64
    assert not found.centroids.requires_grad
