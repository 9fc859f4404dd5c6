"""Generated dialogues on disk: what is written comes back; folders that do not fit."""

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from datasets.dialogue.generated_folder import read_scenes, scenes, write_scene
from datasets.loading.rows import ManifestError, NoRowsError


def turns(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


def test_scenes_come_back_in_natural_order(tmp_path):
    for scene_id, count in (("10", 2), ("9", 12), ("000007", 1)):
        write_scene(tmp_path, scene_id, turns(count, 0), turns(count, 1), [f"turn {turn}" for turn in range(count)])
    found = list(read_scenes(tmp_path))
    assert [scene.scene_id for scene in found] == ["000007", "9", "10"]
    assert found[1].turns == list(range(12))
    assert np.array_equal(found[1].images, turns(12, 0))
    assert np.array_equal(found[1].truth, turns(12, 1))
    assert (tmp_path / "10.txt").read_text() == "0: turn 0\n1: turn 1\n"
    assert {path.name for path in (tmp_path / "10_gt").iterdir()} == {"0.png", "1.png"}


def test_names_and_counts_that_do_not_fit(tmp_path):
    with pytest.raises(UserError, match="scene a: 1 images, 2 true ones and 0 texts"):
        write_scene(tmp_path, "a", turns(1, 0), turns(2, 0), [])
    for name in ("../a", "a_gt", ".a", ""):
        with pytest.raises(UserError, match="cannot name a folder"):
            write_scene(tmp_path, name, turns(1, 0), turns(1, 0), [])


def test_folders_that_do_not_fit(tmp_path):
    with pytest.raises(ManifestError, match="there is no folder"):
        scenes(tmp_path / "none")
    with pytest.raises(NoRowsError, match="holds no folders <scene> and <scene>_gt"):
        scenes(tmp_path)
    write_scene(tmp_path, "1", turns(2, 0), turns(2, 0), [])
    (tmp_path / "1_gt" / "1.png").unlink()
    with pytest.raises(ManifestError, match=r"turns \[0, 1\], but 1_gt has \[0\]; expected the same"):
        list(read_scenes(tmp_path))
    (tmp_path / "1_gt" / "1.png").write_bytes(b"no image")
    with pytest.raises(ManifestError, match=r"1.png"):
        list(read_scenes(tmp_path))
    Image.fromarray(turns(1, 0)[0][:8]).save(tmp_path / "1_gt" / "1.png")
    with pytest.raises(ManifestError, match="all input arrays must have the same shape"):
        list(read_scenes(tmp_path))
    (tmp_path / "2").mkdir()
    with pytest.raises(ManifestError, match="1 of 2 scenes have no true images, expected a folder 2_gt"):
        scenes(tmp_path)
