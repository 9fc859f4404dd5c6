"""Selections for annotators: ranked by loss, redrawn from their own lists, by clusters or at random."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.active_learning import read_active
from engine import checkpoint
from engine.errors import UserError
from gan.editing import units_off
from gan.images import picture
from gan.latents import latents
from gan.redraw import generate, redraw
from tasks.drawing_clusters import Clustering, read_clusters
from tasks.words_by_drawing_experiments.active_learning import generate_active_learning, outlined
from tasks.words_by_drawing_experiments.model import ModelSource
from tests.tasks.words_by_drawing_experiments.conftest import with_clusters


def select(run, captions, context, generator, **more):
    generate_active_learning(
        ModelSource(run=run), captions(), generator, context, pairs=3, batch_size=4, run=context.settings, **more
    )
    return read_active(context.folder)


def test_the_worst_pairs_are_written_and_can_be_drawn_again(trained_run, captions, context, generator):
    found = select(trained_run, captions, context, generator, units="random", max_retries=2)
    assert found.layer == "layer4"
    assert len(found.pairs) == 3
    assert found.details["losses"] == sorted(found.details["losses"], reverse=True)
    table = latents(50002, 8)
    for number, pair in enumerate(found.pairs):
        positive = generate(generator, table[pair.latent][None], ["layer4"])
        region = torch.from_numpy(pair.region)[None] > 0
        marks = units_off(torch.from_numpy(pair.units)[None], 12)
        drawn = picture(redraw(generator, positive, region, {"layer4": marks})[0])
        stored = np.asarray(Image.open(context.folder / "images" / f"{number}_hn.jpg"))
        expected = np.asarray(outlined(drawn.numpy(), pair.shown))
        assert np.abs(stored.astype(int) - expected).mean() < 12  # JPEG, and masks kept at the picture's resolution
        shown = np.asarray(Image.open(context.folder / "hm" / f"{number}_hn.jpg"))
        assert ((shown[..., 0] > 127) == (pair.shown > 0)).mean() > 0.95
    assert (context.folder / "active.csv").read_text().count("\n") == 4
    assert json.loads((context.folder / "metrics.json").read_text())["pairs"] == 3


def test_units_come_from_the_runs_clusters(trained_run, captions, context, generator):
    with pytest.raises(UserError, match="holds no clusters; train with"):
        select(trained_run, captions, context, generator)
    with_clusters(trained_run)
    found = select(trained_run, captions, context, generator, max_retries=1)
    assert all(len(pair.units) == 12 for pair in found.pairs)  # the first attempt takes 140 units of the best
    kept = Clustering().with_selection(context.folder)
    centroids = checkpoint.read(trained_run / "checkpoints" / "best.pt")["modules"]["clusters"]["centroids"][:2]
    torch.testing.assert_close(read_clusters(kept.load, 16).centroids.float(), centroids)
    assert Clustering(load=trained_run).with_selection(context.folder).load == trained_run
    with pytest.raises(UserError, match="ranks the units of layer4, not of 'layer3'"):
        select(trained_run, captions, context, generator, layer="layer3")
    with pytest.raises(UserError, match="no layer 'layer99'"):
        select(trained_run, captions, context, generator, layer="layer99")
    other = checkpoint.read(trained_run / "checkpoints" / "best.pt")
    other["modules"]["clusters"]["centroids"] = torch.rand(5, 7)
    checkpoint.write(trained_run / "checkpoints" / "best.pt", {k: v for k, v in other.items() if k != "format"})
    with pytest.raises(UserError, match="are another model's"):
        select(trained_run, captions, context, generator)


def test_the_box_of_a_region_is_red():
    region = np.zeros((16, 16), np.float32)
    region[4:9, 3:12] = 1
    image = np.asarray(outlined(np.zeros((16, 16, 3), np.uint8), region))
    assert image[4, 3:12, 0].min() == 255
    assert image[8, 3:12, 0].min() == 255
    assert image[5:8, 4:11].max() == 0
    assert outlined(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4))).getextrema() == ((0, 0),) * 3
