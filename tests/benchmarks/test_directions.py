import sys

import torch

from benchmarks import directions
from gan.biggan.generator import BigganGenerator
from gan.biggan.latents import draw
from gan.directions.directions import numbers_of
from gan.directions.layer_selective import LayerSelective


def test_the_benchmark_prints_its_table(monkeypatch, capsys):
    small = ["--latents", "2", "--directions", "2", "--steps", "1", "--width", "8"]
    monkeypatch.setattr(sys, "argv", ["directions", "--threads", "1", *small])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    directions.main()
    assert "layer-selective directions" in capsys.readouterr().out


def test_one_at_a_time_finds_the_same():
    torch.manual_seed(0)
    generator = BigganGenerator([8, 8, 4], latent_dim=12, num_classes=2, class_dim=4).eval().requires_grad_(False)
    latents, classes = draw(generator, 2, seed=0)
    starts = torch.randn(2, 3, 12, generator=numbers_of(5))
    slow = directions.one_at_a_time(generator, latents, classes, "layer1", starts, 3, 0.01)
    fast = LayerSelective("layer1", "layer1", per_layer=3, steps=3, lr=0.01).find(generator, latents, classes, seed=5)
    torch.testing.assert_close(slow, fast.vectors, rtol=1e-4, atol=1e-4)
