import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gan.dissection import thresholds as thresholds_module
from gan.dissection.activations import DissectionError, collect
from gan.dissection.dissect import NO_LABEL, dissect_generator, dissect_samples
from gan.dissection.label_maps import PackedMaps
from gan.dissection.thresholds import select_thresholds, selected_thresholds
from gan.hooks import LayerNameError
from gan.latents import latents
from tests.gan.dissection.samples import samples_of
from tests.gan.square_generator import Finder, Painter


def straightforward(activations, maps, thresholds, categories):
    """Intersection over union, image by drawing, unit by unit and label by label."""
    n, units = activations.shape[:2]
    iou = np.zeros((len(categories), units))
    for label, category in enumerate(categories):
        rows = [k for k, other in enumerate(categories) if other == category]
        for unit in range(units):
            both = on = there = 0
            for drawing in range(n):
                values = F.interpolate(
                    activations[drawing : drawing + 1, unit : unit + 1], maps.shape[2:], mode="bilinear"
                )
                mask = values[0, 0] > thresholds[unit]
                there += int(maps[drawing, label].sum())
                both += int((mask & maps[drawing, label]).sum())
                if maps[drawing, rows].any():
                    on += int(mask.sum())
            iou[label, unit] = both / (on + there - both + 1e-20)
    return iou


def random_samples(n=5, units=3, labels=4, side=(4, 6), size=(9, 7), seed=0, categories=None):
    generator = torch.Generator().manual_seed(seed)
    activations = torch.randn(n, units, *side, generator=generator)
    maps = torch.rand(n, labels, *size, generator=generator) < torch.tensor([0.5, 0.2, 0.05, 0.0])[:labels, None, None]
    maps[0, :2] = False
    names = [f"c_{k}" for k in range(labels)]
    samples = samples_of({"layer": activations}, maps, names, categories or ["cluster"] * labels)
    return samples, activations, maps


@pytest.mark.parametrize("categories", [["cluster"] * 4, ["size", "size", "shape", "shape"]])
@pytest.mark.parametrize("threshold", [0.2, "iqr"])
def test_scores_are_those_of_the_straightforward_loops(categories, threshold):
    samples, activations, maps = random_samples(categories=categories)
    found = dissect_samples(samples, threshold, no_label=False)
    layer = found.layers["layer"]
    np.testing.assert_allclose(layer.iou, straightforward(activations, maps, layer.thresholds, categories), rtol=1e-12)
    assert found.labels == ["c_0", "c_1", "c_2", "c_3"]
    assert layer.iou[3].sum() == 0
    assert found.label_counts.tolist() == maps.sum((0, 2, 3)).tolist()
    if threshold == 0.2:
        share = (activations > layer.thresholds[:, None, None]).float().mean((0, 2, 3))
        torch.testing.assert_close(share, torch.full((3,), 0.2), atol=1 / 120, rtol=0)


def test_no_label_comes_first_and_is_never_met():
    samples, _, maps = random_samples()
    found = dissect_samples(samples, 0.2, no_label=True)
    assert found.labels == [NO_LABEL, "c_0", "c_1", "c_2", "c_3"]
    assert found.label_counts[0] == (~maps).sum()
    assert found.layers["layer"].iou[0].sum() == 0
    without = dissect_samples(samples, 0.2, no_label=False)
    torch.testing.assert_close(found.layers["layer"].iou[1:], without.layers["layer"].iou)


def test_counting_pixels_of_large_labels_differs_little(monkeypatch):
    samples, *_ = random_samples(n=40, size=(16, 16))
    exact = select_thresholds(samples, "layer", no_label=True)
    monkeypatch.setattr(thresholds_module, "INTERPOLATED", 0)
    counted = select_thresholds(samples, "layer", no_label=True, budget_mb=0.2)
    pixels = samples.maps.label(0).sum()
    torch.testing.assert_close(counted.iqr, exact.iqr, atol=20 / float(pixels), rtol=0)


def test_chunks_do_not_matter():
    samples, *_ = random_samples(n=12, categories=["a", "a", "b", "b"])
    whole = select_thresholds(samples, "layer", no_label=True)
    small = select_thresholds(samples, "layer", no_label=True, budget_mb=1e-6)
    for one, other in zip(whole, small, strict=True):
        assert torch.equal(one, other)
    assert torch.equal(selected_thresholds(whole), selected_thresholds(small))


@pytest.mark.parametrize("threshold", [0.05, "iqr"])
@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def test_units_that_draw_a_label_are_found(threshold, device):
    found = dissect_generator(
        Painter().to(device),
        Finder(),
        latents(64, 4),
        ["paint"],
        threshold,
        threshold_latents=latents(64, 4, seed=2),
        no_label=False,
        examples=5,
        batch_size=10,
    )
    layer = found.layers["paint"]
    assert layer.iou.argmax(0).tolist() == [0, 1, 2, 3]
    assert layer.iou.diagonal().min() > (0.6 if threshold == "iqr" else 0.1)
    assert (layer.iou - torch.diag(layer.iou.diagonal())).max() < 0.3
    strengths = latents(64, 4).clamp(min=0)
    assert torch.equal(layer.top_values[2], strengths[:, 2].sort(descending=True).values[:5])
    assert torch.equal(strengths[layer.top[2], 2], layer.top_values[2])
    assert found.images == 64


def test_activations_beyond_the_budget_lie_in_a_file():
    inside = collect(Painter(), Finder(), latents(20, 4), ["paint"], 7)
    outside = collect(Painter(), Finder(), latents(20, 4), ["paint"], 3, budget_mb=1e-4)
    assert torch.equal(inside.activations["paint"], outside.activations["paint"])
    assert torch.equal(inside.maps.images(0, 20), outside.maps.images(0, 20))
    one, other = (dissect_samples(s, "iqr", no_label=False).layers["paint"] for s in (inside, outside))
    assert torch.equal(one.iou, other.iou)


def test_the_generator_is_left_as_it_was():
    painter = Painter().train()
    collect(painter, Finder(), latents(3, 4), ["paint"])
    assert painter.training
    assert not painter.paint._forward_hooks


def test_packed_maps_give_back_what_was_put():
    maps = torch.rand(5, 3, 7, 5, generator=torch.Generator().manual_seed(0)) < 0.3
    maps[2, 1] = False
    packed = PackedMaps(5, 3, (7, 5))
    packed.put(0, maps[:2])
    packed.put(2, maps[2:])
    assert torch.equal(packed.images(1, 4), maps[1:4].flatten(2))
    assert torch.equal(packed.label(1), maps[:, 1].flatten(1))
    assert torch.equal(packed.present(), maps.any(3).any(2))


class Short(Finder):
    def segment(self, images):
        return super().segment(images)[:, :2]


class Floats(Finder):
    def segment(self, images):
        return super().segment(images).float()


def test_bad_input():
    painter, finder = Painter(), Finder()
    with pytest.raises(
        DissectionError, match=r"latents of shape \(0, 4\); expected \(N, dimensions\) with N at least 1"
    ):
        dissect_generator(painter, finder, torch.zeros(0, 4), ["paint"])
    with pytest.raises(LayerNameError, match="no layer 'pain': Painter has paint, flat, unused; did you mean 'paint'"):
        dissect_generator(painter, finder, latents(2, 4), ["pain"])
    with pytest.raises(DissectionError, match="expected the names of one or more different layers"):
        dissect_generator(painter, finder, latents(2, 4), [])
    with pytest.raises(DissectionError, match="'unused' was not used while generating"):
        dissect_generator(painter, finder, latents(2, 4), ["unused"])
    with pytest.raises(DissectionError, match=r"'flat' puts out \(2, 64\); expected \(B, units, rows, columns\)"):
        dissect_generator(painter, finder, latents(2, 4), ["flat"])
    with pytest.raises(DissectionError, match=r"threshold is 1\.5; expected 'iqr' or a fraction"):
        dissect_generator(painter, finder, latents(2, 4), ["paint"], threshold=1.5)
    with pytest.raises(
        DissectionError, match=r"Short returned torch.bool \(2, 2, 8, 8\); expected bool \(2, 4, H, W\)"
    ):
        dissect_generator(painter, Short(), latents(2, 4), ["paint"])
    with pytest.raises(DissectionError, match=r"Floats returned torch.float32"):
        dissect_generator(painter, Floats(), latents(2, 4), ["paint"])


def test_a_generator_without_labels_anywhere_gives_zeros():
    class Blind(Finder):
        def segment(self, images):
            return torch.zeros_like(super().segment(images))

    found = dissect_generator(nn.Sequential(Painter()), Blind(), latents(4, 4), ["0.paint"], no_label=False)
    layer = found.layers["0.paint"]
    assert layer.iou.sum() == 0
    assert torch.isfinite(layer.iqr).all()
