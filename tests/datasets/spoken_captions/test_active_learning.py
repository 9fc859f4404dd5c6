"""The lists of an active-learning selection: written, read back, published forms, and what is refused."""

import shutil

import numpy as np
import pytest
import torch

from datasets.loading.loader import Loader
from datasets.spoken_captions.active_learning import (
    ActiveLearningError,
    ActivePair,
    LatentNameError,
    latent_ids,
    read_active,
    write_active,
)
from datasets.spoken_captions.readers import GanClevr


def pair(latent, units=(3, 1)):
    region = np.zeros((8, 8), np.float32)
    region[2:4, 2:5] = 1
    return ActivePair(latent, np.array(units), region, region * 0)


def test_written_and_read_back(tmp_path):
    write_active(tmp_path, [pair(5), pair(7, (0,)), pair(5, (2, 4, 6))], "layer4", {"losses": [3.0, 2.0, 1.0]})
    found = read_active(tmp_path)
    assert [row.latent for row in found.pairs] == [5, 7, 5]
    assert found.layer == "layer4"
    assert found.find(5).units.tolist() == [2, 4, 6]  # the last, as the published dict keeps it
    np.testing.assert_array_equal(found.find(7).region, pair(7).region)
    assert found.find(7).cells is None
    with pytest.raises(ActiveLearningError, match="no edited image of latent 6 among the 3"):
        found.find(6)


def test_the_regions_on_the_layers_grid_are_kept_where_all_are_known(tmp_path):
    known = pair(5)._replace(cells=np.eye(4, dtype=np.float32))
    write_active(tmp_path, [known, known], "layer4", {})
    np.testing.assert_array_equal(read_active(tmp_path).find(5).cells, np.eye(4))
    torch.save([np.eye(4)], tmp_path / "a_hmaps_layer.pth")
    with pytest.raises(ActiveLearningError, match=r"lists differ in length .*a_hmaps_layer\.pth 1"):
        read_active(tmp_path)
    torch.save([np.eye(4), np.ones(4)], tmp_path / "a_hmaps_layer.pth")
    with pytest.raises(ActiveLearningError, match=r"entries of id 5 .*a region has the shape \(4,\)"):
        read_active(tmp_path)
    write_active(tmp_path, [known, pair(7)], "layer4", {})
    assert read_active(tmp_path).find(5).cells is None


def test_published_forms_are_read(tmp_path):
    """The original saves lists of units and masks of another resolution, and no active.json."""
    torch.save([[1, 2]], tmp_path / "units.pth")
    torch.save(["12"], tmp_path / "a_paths.pth")
    torch.save([np.ones((128, 128), np.uint8)], tmp_path / "a_hmaps.pth")
    torch.save([np.ones((128, 128))], tmp_path / "a_hmaps_eval.pth", _use_new_zipfile_serialization=False)
    found = read_active(tmp_path)
    assert found.layer is None
    assert found.find(12).units.tolist() == [1, 2]
    assert found.find(12).region.shape == (128, 128)


def damaged_pickle(folder):
    """Another byte at the start of the older format, on which unpickling fails with a KeyError."""
    path = folder / "units.pth"
    torch.save([np.array([1]), np.array([2])], path, _use_new_zipfile_serialization=False)
    content = bytearray(path.read_bytes())
    content[0] = ord("h")  # "take from the memo", which is empty
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "units.pth").unlink(), "There is no file .*units.pth"),
        (
            lambda folder: (folder / "a_hmaps.pth").write_bytes(b"PK\x03\x04cut"),
            r"a_hmaps.pth \(7 bytes\) is not a complete torch file",
        ),
        (damaged_pickle, r"units.pth \(\d+ bytes\) is not a complete torch file"),
        (lambda folder: torch.save(["1"], folder / "a_paths.pth"), "lists differ in length"),
        (lambda folder: torch.save(["1", "x"], folder / "a_paths.pth"), "'x' is no number"),
        (lambda folder: torch.save({"a": 1}, folder / "a_paths.pth"), "holds a dict, expected a list"),
        (lambda folder: torch.save(["1", "²"], folder / "a_paths.pth"), "'²' is no number"),
        (lambda folder: (folder / "active.json").write_text("{cut"), "active.json is damaged"),
        (lambda folder: (folder / "active.json").write_bytes(b"\xff\xfe{"), "active.json is damaged"),
        (lambda folder: (folder / "active.json").write_text("[" * 100_000), "active.json is damaged"),
        (lambda folder: (folder / "active.json").write_text("[1]"), r"active.json holds \[1\], expected a mapping"),
        (lambda folder: torch.save(["three", [1]], folder / "units.pth"), "entries of id 5 .*'three' are no unit"),
        (lambda folder: torch.save([[1], [[1], [2, 3]]], folder / "units.pth"), "entries of id 7"),
        (lambda folder: torch.save(["all", "all"], folder / "a_hmaps.pth"), "entries of id 5"),
        (lambda folder: torch.save([[1.0], [1.0]], folder / "a_hmaps.pth"), r"a region has the shape \(1,\)"),
        (lambda folder: torch.save([np.full((4, 4), np.nan)] * 2, folder / "a_hmaps.pth"), "id 5 .*not from 0 to 1"),
        (lambda folder: torch.save([np.full((4, 4), 2.0)] * 2, folder / "a_hmaps_eval.pth"), "id 5 .*not from 0 to 1"),
        (lambda folder: torch.save([torch.zeros(4, 4) * 1j] * 2, folder / "a_hmaps.pth"), "id 5 .*type complex64"),
        (
            lambda folder: torch.save([torch.nn.Parameter(torch.zeros(4, 4))] * 2, folder / "a_hmaps.pth"),
            "entries of id 5 .*requires grad",
        ),
        (
            lambda folder: torch.save([shutil.rmtree], folder / "a_paths.pth"),
            r"holds more than weights and plain values \(shutil\.rmtree\)",
        ),
    ],
)
def test_bad_selections(tmp_path, spoil, message):
    write_active(tmp_path, [pair(5), pair(7)], "layer4", {})
    spoil(tmp_path)
    with pytest.raises(ActiveLearningError, match=message):
        read_active(tmp_path)


def test_captions_below_active_carry_the_latent(assets, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(assets / "formats" / "clevrgan", folder)
    (folder / "audio" / "active").mkdir()
    shutil.copy(folder / "audio" / "103.wav", folder / "audio" / "active" / "103.wav")
    with (folder / "name_list_train.txt").open("a") as file:
        file.write("\nactive/103\n")
    (folder / "alignments.jsonl").write_text('{"id": "103", "speaker": "me", "words": [[0.0, 0.5, "A"]]}\n')
    dataset = GanClevr(folder, "train", None, train=False)
    loader = Loader(dataset, len(dataset), 0, train=False)
    batch = next(iter(loader.batches(0)))
    rows = {dataset.record(i).uttid: i for i in range(len(dataset))}
    assert batch["latent"][rows["active/103"]] == 103
    assert batch["active"].sum() == 1
    assert batch["active"][rows["active/103"]]
    assert dataset.record(rows["103"]).alignment == [(0.0, 0.5, "A")]
    assert dataset.record(rows["103"]).speaker == "me"


def test_captions_are_named_by_latents():
    assert latent_ids(["12", "active/7", "0"]) == [12, 7, 0]
    with pytest.raises(LatentNameError, match=r"2 of 3 captions are not named by a latent's id, the first is 'a_1'"):
        latent_ids(["12", "a_1", "active/"])
    for name in ("²", "active/²", "9" * 30):
        with pytest.raises(LatentNameError, match=f"1 of 1 captions.* the first is '{name}'"):
            latent_ids([name])
