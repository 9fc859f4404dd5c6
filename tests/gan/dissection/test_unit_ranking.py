import json

import numpy as np
import pytest
import torch

from gan.dissection.activations import DissectionError
from gan.dissection.dissect import dissect_samples
from gan.dissection.json_file import layer_record, published_name, write_dissection
from gan.dissection.unit_ranking import rank_units, unit_ranking
from gan.hooks import LayerNameError
from tests.gan.dissection.samples import samples_of

UNITS, CLUSTERS = 6, 3


@pytest.fixture(scope="module")
def samples():
    generator = torch.Generator().manual_seed(3)
    maps = torch.rand(8, CLUSTERS, 8, 8, generator=generator) < 0.2
    activations = torch.randn(8, UNITS, 8, 8, generator=generator)
    activations[:, 4] += 6 * maps[:, 1]  # unit 4 draws the second cluster
    names = [f"c_{k + 2}" for k in range(CLUSTERS)]  # as the published segmenter calls them
    return samples_of({"layer4": activations, "a/b": activations}, maps, names, ["cluster"] * CLUSTERS)


@pytest.fixture(scope="module", params=["iqr", 0.2])
def dissection(request, samples):
    return dissect_samples(samples, request.param)


def test_units_by_descending_score():
    scores = torch.tensor([[0.1, 0.5, 0.3, 0.5], [0.4, 0.3, 0.2, 0.1]])
    assert unit_ranking(scores).tolist() == [[1, 3, 2, 0], [0, 1, 2, 3]]
    assert unit_ranking(scores, [3, 0]).tolist() == [[1, 2], [1, 2]]


def test_published_noise_units_become_unit_zero_or_disappear():
    scores = torch.rand(2, 512, generator=torch.Generator().manual_seed(0))
    # the published lines: replace in the list of units, then order it by the (negative) scores
    units = np.arange(512)
    noise = [35, 221, 496, 280]
    units[noise] = 0
    expected = np.stack([units[np.argsort(-row, kind="stable")] for row in scores.numpy()])
    assert np.array_equal(unit_ranking(scores, noise, as_published=True), expected)
    removed = unit_ranking(scores, noise)
    assert removed.shape == (2, 508)
    assert not np.isin(removed, noise).any()
    assert [unit for unit in expected[0] if unit] == [unit for unit in removed[0].tolist() if unit]
    assert (removed == 0).sum() == 2


def test_rankings_of_a_dissection_have_a_row_for_each_label_of_the_segmenter(dissection):
    ranked = rank_units(dissection, {"layer4": [0, 2]})
    assert ranked["layer4"].shape == (CLUSTERS, UNITS - 2)
    assert ranked["a/b"].shape == (CLUSTERS, UNITS)
    assert ranked["layer4"][1, 0] == 4
    assert torch.equal(ranked["a/b"], dissection.layers["a/b"].iou[1:].argsort(dim=1, descending=True, stable=True))


def test_bad_exclusions(dissection):
    with pytest.raises(
        LayerNameError, match="units of layer 'layer5' are excluded; the dissected layers are layer4, a/b"
    ):
        rank_units(dissection, {"layer5": [1]})
    with pytest.raises(DissectionError, match=r"excluded units \[6, 9\] do not exist: the layer has units 0 to 5"):
        rank_units(dissection, {"layer4": [9, 6, 1]})
    with pytest.raises(DissectionError, match="all 6 units of the layer are excluded"):
        rank_units(dissection, {"layer4": range(6)})


def test_the_published_reader_gets_the_same_rankings(dissection, tmp_path):
    path = write_dissection(tmp_path, dissection, "net", no_label_name="c_1")
    data = json.loads(path.read_text())
    layers = {record["layer"]: record for record in data["layers"]}
    ranked = rank_units(dissection)
    for cluster in range(2, CLUSTERS + 2):
        for layer, record in layers.items():
            ranking = next(r for r in record["rankings"] if r["name"] == f"c_{cluster}-iou")
            assert np.array_equal(np.argsort(ranking["score"], kind="stable"), ranked[layer][cluster - 2])
    assert data["quantile_threshold"] == dissection.threshold
    assert json.loads((tmp_path / "ab" / "dissect.json").read_text())["layers"][0]["layer"] == "a/b"
    assert layers["a/b"]["dirname"] == published_name("a/b") == "ab"


def test_a_record_holds_what_was_found(dissection):
    record = layer_record(dissection, "layer4", "c_1")
    found = dissection.layers["layer4"]
    assert [unit["unit"] for unit in record["units"]] == list(range(UNITS))
    unit = record["units"][4]
    assert (unit["iou_label"], unit["iou_labelnum"], unit["iou_cat"], unit["interp"]) == ("c_3", 2, "cluster", True)
    assert unit["iou"] == pytest.approx(unit["ic"] / (unit["cc"] + unit["lc"] - unit["ic"]))
    assert unit["level"] == pytest.approx(found.thresholds[4].item())
    assert [top["imgnum"] for top in unit["top"]] == found.top[4].tolist()
    group = next(group for group in record["labels"] if group["label"] == "c_3")
    assert 4 in group["units"]
    assert record["interpretable"] == sum(unit["interp"] for unit in record["units"])
    by_label = next(r["score"] for r in record["rankings"] if r["name"] == "label")
    assert sorted(by_label) == list(range(UNITS))
    names = [r["name"] for r in record["rankings"]]
    assert ("max iqr" in names) == ("iqr" in unit) == (dissection.threshold == "iqr")
    assert names.count("c_1-iou") == 1


def test_without_no_label_published_numbers_still_start_at_one(samples):
    found = dissect_samples(samples, 0.2, no_label=False)
    unit = layer_record(found, "layer4")["units"][4]
    assert (unit["iou_label"], unit["iou_labelnum"]) == ("c_3", 2)
