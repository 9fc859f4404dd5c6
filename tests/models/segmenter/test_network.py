import json

import pytest
import torch
from torch import nn

from models.segmenter.file import load_segmenter, save_segmenter
from models.segmenter.labels import SegmentationError, Segmenter, attribute_labels
from models.segmenter.network import AttributeSegmenter, DilatedSegmenter, Scores, SmallSegmenter
from models.weights import WeightsError


def samples(count=2, resolution=32):
    return torch.rand(count, 3, resolution, resolution, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture
def small():
    torch.manual_seed(0)
    return AttributeSegmenter(SmallSegmenter(widths=(4, 6, 8))).eval()


@pytest.mark.parametrize("resolution", [32, 45])
def test_the_small_network_scores_every_pixel(small, resolution):
    images = samples(resolution=resolution)
    assert isinstance(small, Segmenter)
    assert small(images).scores.shape == (2, 18, resolution, resolution)
    maps = small.segment(images)
    assert maps.dtype == torch.bool
    assert maps.shape == (2, 18, resolution, resolution)
    assert torch.equal(maps[:, 16], ~maps[:, 17])
    probabilities = small.probabilities(images)
    assert torch.allclose(probabilities.sum(1), torch.ones(2, resolution, resolution))
    assert torch.equal(attribute_labels(probabilities), attribute_labels(small(images).scores))


def test_gradients_reach_every_parameter():
    network = SmallSegmenter(widths=(4, 6, 8))
    network(samples()).scores.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters() if p.dim() > 1)


def test_the_published_network_in_training_has_a_deep_head():
    torch.manual_seed(0)
    network = DilatedSegmenter().train()
    scores, deep = network(samples(2, 32))
    assert scores.shape == deep.shape == (2, 18, 4, 4)
    (scores.mean() + deep.mean()).backward()
    assert all(p.grad is not None for p in network.parameters())
    with torch.no_grad():
        assert network.eval()(samples(1, 32)).deep is None


class Known(nn.Module):
    """Scores the mean colour: channel 16 + (red > 0.5)."""

    def forward(self, image):
        scores = torch.zeros(len(image), 18, 1, 1)
        scores[:, 17] = 10 * image[:, :1].mean((1, 2, 3), keepdim=True)[:, 0]
        scores[:, 9] = 1
        return Scores(scores, None)


def test_maps_have_the_asked_size_and_values_beyond_are_clipped():
    segmenter = AttributeSegmenter(Known(), resolution=128)
    bright = torch.full((1, 3, 16, 16), 7.0)
    maps = segmenter.segment(bright)
    assert maps.shape == (1, 18, 128, 128)
    assert maps[0, 9].all()
    assert maps[0, 17].all()
    assert torch.equal(segmenter.probabilities(bright), segmenter.probabilities(torch.ones(1, 3, 16, 16)))
    assert segmenter.segment(-bright)[0, 16].all()


def test_bad_images(small):
    with pytest.raises(SegmentationError, match=r"images of shape \(3, 32, 32\)"):
        small.segment(torch.zeros(3, 32, 32))
    with pytest.raises(SegmentationError, match="expected at least 16 pixels high and wide"):
        small.segment(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="positive widths"):
        SmallSegmenter(widths=(0, 1, 1))


def test_files(small, tmp_path):
    path = save_segmenter(small, tmp_path / "one.safetensors", {"seed": 3})
    again = load_segmenter(path)
    assert not again.training
    assert torch.equal(again.segment(samples()), small.segment(samples()))
    assert json.loads(path.with_suffix(".json").read_text())["seed"] == 3
    with pytest.raises(WeightsError, match="the network is a Known"):
        save_segmenter(AttributeSegmenter(Known()), path, {})


def changed(path, **values):
    card = json.loads(path.with_suffix(".json").read_text()) | values
    path.with_suffix(".json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"network": {"type": "Other"}}, "names the network 'Other', expected one of SmallSegmenter"),
        ({"network": {"type": "SmallSegmenter", "widths": [4, 6, 9]}}, "do not fit AttributeSegmenter"),
        ({"network": {"type": "SmallSegmenter", "depth": 3}}, "describes a SmallSegmenter that cannot be built"),
        ({"network": 5}, "expected an entry network"),
        ({"labels": ["sky"]}, "lists other labels than the 18 attributes"),
    ],
)
def test_files_of_other_segmenters(small, tmp_path, values, message):
    path = save_segmenter(small, tmp_path / "one.safetensors", {})
    changed(path, **values)
    with pytest.raises(WeightsError, match=message):
        load_segmenter(path)


def test_missing_and_damaged_files(small, tmp_path):
    with pytest.raises(WeightsError, match="There is no weight file"):
        load_segmenter(tmp_path / "none.safetensors")
    path = save_segmenter(small, tmp_path / "one.safetensors", {})
    path.with_suffix(".json").write_text("{")
    with pytest.raises(WeightsError, match=r"one\.json is not JSON"):
        load_segmenter(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(WeightsError, match="says which network the weights beside it belong to"):
        load_segmenter(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(WeightsError, match=r"one\.safetensors"):
        load_segmenter(path)
