import json

import pytest
import torch

from models.segmenter.labels import Segmenter
from models.weights import WeightsError
from published import load_published
from tests.parity.case import read_case


@pytest.fixture(scope="module")
def files(assets, tmp_path_factory):
    """Both files of the parity case, with what the synchronised batch norm keeps beside its statistics."""
    folder = tmp_path_factory.mktemp("segmenter")
    case = read_case(assets / "parity" / "clevr_segmenter.json", folder)
    for name in case.files:
        state = case.state(name)
        norm = next(key for key in state if key.endswith("running_mean")).removesuffix("running_mean")
        state[f"{norm}_tmp_running_mean"] = torch.zeros(64)
        state[f"{norm}_tmp_running_var"] = torch.zeros(64)
        state[f"{norm}_running_iter"] = torch.ones(1)
        state[f"{norm}num_batches_tracked"] = torch.tensor(7)
        if name.startswith("seg_encoder"):
            state |= {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
        torch.save(state, folder / name, _use_new_zipfile_serialization=False)
    return folder


def test_the_folder_and_either_file_give_the_segmenter(files):
    segmenter = load_published("clevr_segmenter", files)
    assert isinstance(segmenter, Segmenter)
    assert not segmenter.training
    maps = segmenter.segment(torch.zeros(1, 3, 64, 64))
    assert maps.shape == (1, 18, 128, 128)
    same = load_published("clevr_segmenter", files / "seg_decoder.pth")
    assert torch.equal(same.network.decoder.head[4].weight, segmenter.network.decoder.head[4].weight)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"There is no weight file .*seg_encoder.pth"):
        load_published("clevr_segmenter", tmp_path)


def test_another_segmenter_of_the_family(files, tmp_path):
    (tmp_path / "seg_encoder.pth").symlink_to(files / "seg_encoder.pth")
    state = torch.load(files / "seg_decoder.pth", weights_only=True)
    state["conv_last.4.weight"] = torch.zeros(150, 512, 1, 1)
    torch.save(state, tmp_path / "seg_decoder.pth")
    with pytest.raises(WeightsError, match="scores 150 labels, expected the 18 CLEVR attributes"):
        load_published("clevr_segmenter", tmp_path)


def test_a_truncated_file(files, tmp_path):
    (tmp_path / "seg_encoder.pth").write_bytes((files / "seg_encoder.pth").read_bytes()[:100000])
    with pytest.raises(WeightsError, match=r"seg_encoder.pth \(100000 bytes\) is not a complete torch file"):
        load_published("clevr_segmenter", tmp_path)


def test_the_case_names_its_source(assets):
    assert json.loads((assets / "parity" / "clevr_segmenter.json").read_text())["source"].startswith("surisdi/")
