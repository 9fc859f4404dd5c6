"""Selections for annotators: ranked by loss, regenerated from their own lists, by clusters or at random."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from common.errors import UserError
from datasets.spoken_captions.active_learning import CELLS, read_active
from engine import checkpoint
from tasks.speech_image.trained import ModelSource
from tasks.words_by_drawing.clustering import Clustering, read_clusters
from tasks.words_by_drawing.experiments import active_learning
from tasks.words_by_drawing.experiments.active_learning import generate_active_learning, outlined
from tasks.words_by_drawing.experiments.images import Images, LatentTable
from tests.tasks.words_by_drawing.experiments.conftest import IMAGE, collect_captions, with_clusters, write_run
from tests.tasks.words_by_drawing.generated_data import images_of


def select(run, captions, context, generator, **more):
    generate_active_learning(
        ModelSource(run=run), captions(), generator, context, pairs=3, batch_size=4, run=context.settings, **more
    )
    return read_active(context.folder)


@pytest.fixture
def chosen(monkeypatch):
    """The edited images of the latest selection as they were drawn, before they are written as JPEG."""
    kept, write = [], active_learning._write

    def keep(experiment, edited, *rest):
        kept[:] = edited
        write(experiment, edited, *rest)

    monkeypatch.setattr(active_learning, "_write", keep)
    return kept


def largest_difference(one, other):
    return int(np.abs(one.astype(int) - other.astype(int)).max())


# maps of 4 x 4 cells on layers of 8 x 8; of 8 x 8 on 4 x 4, where single cells would vanish
@pytest.mark.parametrize(("downsample", "layer"), [(8, "layer4"), (4, "layer2")])
@pytest.mark.parametrize("layout", ["ours", "published"])
def test_training_draws_the_images_that_were_selected(
    tmp_path, captions, context, generator, chosen, downsample, layer, layout
):
    run = write_run(tmp_path / "runs" / "trained", IMAGE | {"downsample": downsample})
    found = select(run, captions, context, generator, units="random", max_retries=0, layer=layer)
    assert all(pair.cells.any() for pair in found.pairs)
    if layout == "published":
        (context.folder / CELLS).unlink()
    names = [pair.latent for pair in found.pairs]
    collect_captions(captions.folder, names)
    dataset = captions()(train=True, on_error="error")
    rows = {dataset.record(row).uttid: row for row in range(len(dataset))}
    image_source = images_of(dataset, generator)
    image_source.edit([layer], context.folder)
    for name, edited in zip(names, chosen, strict=True):
        generated = image_source.image_u8(dataset, rows[f"active/{name}"])
        assert largest_difference(generated, image_source.image_u8(dataset, rows[str(name)])) > 20
        if layout == "ours":
            assert largest_difference(generated, edited.image) <= 1  # rounding, in another batch


def test_the_worst_pairs_are_written(trained_run, captions, context, generator, chosen):
    found = select(trained_run, captions, context, generator, units="random", max_retries=2)
    assert found.layer == "layer4"
    assert len(found.pairs) == 3
    assert found.details["losses"] == sorted(found.details["losses"], reverse=True)
    for number, (pair, edited) in enumerate(zip(found.pairs, chosen, strict=True)):
        assert pair.latent == edited.pair.latent
        np.testing.assert_array_equal(pair.cells, edited.pair.cells)
        stored = np.asarray(Image.open(context.folder / "images" / f"{number}_hn.jpg"))
        expected = np.asarray(outlined(edited.image, pair.shown))
        assert np.abs(stored.astype(int) - expected).mean() < 5  # JPEG
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


def test_a_second_selection_leaves_out_captions_of_edited_images(trained_run, captions, context, generator, caplog):
    before = select(trained_run, captions, context, generator, units="random", max_retries=0)
    collect_captions(captions.folder, [pair.latent for pair in before.pairs])
    with caplog.at_level("INFO"):
        again = select(trained_run, captions, context, generator, units="random", max_retries=0)
    assert "left out 3 captions below active/: they describe edited images" in caplog.text
    assert again.details["losses"] == before.details["losses"]
    assert [pair.latent for pair in again.pairs] == [pair.latent for pair in before.pairs]
    table = (context.folder / "active.csv").read_text()
    assert len(table.splitlines()) == 4
    (captions.folder / "name_list_test.txt").write_text(f"active/{before.pairs[0].latent}\n")
    with pytest.raises(
        UserError, match=r"all 1 captions of .* are below active/: .* give a set with captions of unedited"
    ):
        select(trained_run, captions, context, generator, units="random", max_retries=0)
    dataset = captions()(train=False, on_error="error")
    with pytest.raises(UserError, match=r"caption active/\d+ of .* describes an edited image, which is not generated"):
        Images(dataset, generator, LatentTable(), torch.device("cpu"))
