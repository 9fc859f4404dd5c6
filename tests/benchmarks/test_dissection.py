import sys

import torch

from benchmarks import dissection
from gan.dissection.activations import collect
from gan.dissection.dissect import dissect_samples
from gan.latents import latents
from gan.progan.generator import ProganGenerator

SMALL = [
    "--images",
    "3",
    "--units",
    "4",
    "--labels",
    "3",
    "--resolution",
    "8",
    "--iqr-units",
    "2",
    "--loop-images",
    "2",
]


def test_the_benchmark_prints_its_table(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["dissection", "--threads", "1", *SMALL])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    dissection.main()
    printed = capsys.readouterr().out
    for expected in (
        "generate, segment, keep",
        "thresholds at 0.005, IoU",
        "thresholds by the iqr rule",
        "speed-up",
        "peak",
    ):
        assert expected in printed


def test_the_loop_counts_what_dissection_counts():
    torch.manual_seed(0)
    segmenter = dissection.Blobs(5, 16)
    samples = collect(ProganGenerator(8, [6, 6]).eval(), segmenter, latents(4, 8), [dissection.LAYER])
    assert 0.04 < float(samples.maps.images(0, 4).float().mean()) < 0.16
    found = dissect_samples(samples, 0.1, no_label=False).layers[dissection.LAYER]
    assert torch.equal(dissection.loop(samples, found.thresholds, 4), found.intersections)
