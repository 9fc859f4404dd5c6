from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets.world.render.ray_cast import render
from datasets.world.renders import Renders, RendersError, RenderSet, ensure_renders


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    renders = RenderSet(folder=tmp_path_factory.mktemp("renders"), images=10, validation=5, size=16, seed=3, workers=1)
    ensure_renders(renders)
    return renders


def test_images_are_those_of_their_scenes(small):
    data = Renders(small.folder)
    assert data.train.shape == (10, 16, 16, 3)
    assert data.validation.shape == (5, 16, 16, 3)
    assert data.size == 16
    scene = small.scene("validation", 4)
    np.testing.assert_array_equal(data.validation[4], render([scene], 16).image[0].numpy())
    assert small.scene("train", 4) != scene
    assert not list(small.folder.glob("part_*"))


def test_a_finished_set_is_left_alone_and_an_interrupted_one_goes_on(small, tmp_path):
    before = (small.folder / "train.npy").stat().st_mtime_ns
    ensure_renders(small)
    assert (small.folder / "train.npy").stat().st_mtime_ns == before
    again = replace(small, folder=tmp_path)
    (tmp_path / "renders.json").write_text((small.folder / "renders.json").read_text().replace("true", "false"))
    with pytest.raises(RendersError, match="interrupted"):
        Renders(tmp_path)
    ensure_renders(again)
    for split in ("train", "validation"):
        assert (tmp_path / f"{split}.npy").read_bytes() == (small.folder / f"{split}.npy").read_bytes()


def test_another_set_is_not_touched(small):
    with pytest.raises(
        RendersError, match=r"holds other renders: seed is 3 there, 4 asked for; give another renders.folder"
    ):
        ensure_renders(replace(small, seed=4))


def test_a_dry_run_renders_a_few_elsewhere(small, tmp_path):
    folder = ensure_renders(replace(small, folder=small.folder / "unused", images=9), dry_folder=tmp_path)
    assert folder == tmp_path
    assert len(Renders(tmp_path).train) == 9
    assert not (small.folder / "unused").exists()


def test_each_pass_shows_every_image_once_in_its_own_order(small):
    data = Renders(small.folder, seed=1)
    shown = torch.cat([data.batch(first, 4) for first in range(0, 20, 4)])
    assert shown.shape == (20, 3, 16, 16)
    whole = torch.from_numpy(np.array(data.train)).permute(0, 3, 1, 2)
    orders = []
    for turn in (shown[:10], shown[10:]):
        rows = [next(i for i in range(10) if torch.equal(whole[i], image)) for image in turn]
        assert sorted(rows) == list(range(10))
        orders.append(rows)
    assert orders[0] != orders[1]
    assert torch.equal(Renders(small.folder, seed=1).batch(12, 4), shown[12:16])  # whatever came before


def test_ranks_share_a_batch_in_order(small):
    alone = Renders(small.folder).batch(4, 4)
    shares = [Renders(small.folder, rank=rank, world_size=2).batch(4, 4) for rank in (0, 1)]
    assert torch.equal(torch.cat(shares), alone)


def test_validation_comes_in_order(small):
    data = Renders(small.folder)
    batches = list(data.validation_batches(2))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert torch.equal(torch.cat(batches), torch.from_numpy(np.array(data.validation)).permute(0, 3, 1, 2))
    assert len(list(data.validation_batches(2, limit=1))) == 1


def test_a_folder_without_renders(tmp_path):
    with pytest.raises(RendersError, match="is missing or cannot be read"):
        Renders(tmp_path)
    with pytest.raises(RendersError, match="images=0"):
        RenderSet(folder=tmp_path, images=0)
