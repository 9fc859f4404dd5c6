import os
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.weights import WeightsError, load_strictly, read_state_dict, read_torch_file, strip_prefix

STATE = OrderedDict(weight=torch.arange(6.0).reshape(2, 3), bias=torch.ones(2))


@pytest.mark.parametrize("zipped", [True, False])
def test_both_torch_formats(tmp_path, zipped):
    torch.save(STATE, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    state = read_state_dict(tmp_path / "w.pth")
    assert torch.equal(state["weight"], STATE["weight"])


def test_safetensors(tmp_path):
    save_file(dict(STATE), tmp_path / "w.safetensors")
    assert torch.equal(read_state_dict(tmp_path / "w.safetensors")["bias"], torch.ones(2))


def test_numpy_numbers_beside_weights(tmp_path):
    torch.save({"best": np.float64(0.5), "n": np.int64(3)}, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert read_torch_file(tmp_path / "w.pth") == {"best": 0.5, "n": 3}


@pytest.mark.parametrize("kind", ["f4", "f8", "u1", "i8", "?"])
def test_numpy_arrays_beside_weights(tmp_path, kind):
    torch.save({"mean": np.ones((2, 3), kind)}, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    found = read_torch_file(tmp_path / "w.pth")["mean"]
    assert found.dtype == kind
    assert found.tolist() == np.ones((2, 3), kind).tolist()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_missing(tmp_path, suffix):
    with pytest.raises(WeightsError, match=r"There is no weight file .*w\."):
        read_state_dict(tmp_path / f"w{suffix}")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.95])
def test_truncated(tmp_path, zipped, share):
    torch.save({"w": torch.ones(5000)}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    os.truncate(tmp_path / "w.pth", int(share * (tmp_path / "w.pth").stat().st_size))
    with pytest.raises(WeightsError, match=r"w.pth \(\d+ bytes\) is not a complete torch file") as caught:
        read_state_dict(tmp_path / "w.pth")
    message = str(caught.value)
    assert message.endswith("Fetch or copy it again.")
    assert not any(word in message for word in ("\n", "(101)", "internal", "Error", "PytorchStreamReader"))


def test_truncated_safetensors(tmp_path):
    save_file(dict(STATE), tmp_path / "w.safetensors")
    os.truncate(tmp_path / "w.safetensors", 60)
    with pytest.raises(WeightsError, match=r"w.safetensors \(60 bytes\) is not a complete safetensors file: it is"):
        read_state_dict(tmp_path / "w.safetensors")


def test_not_torch_at_all(tmp_path):
    (tmp_path / "w.pth").write_text("<html>404 Not Found</html>")
    with pytest.raises(WeightsError, match="is not a complete torch file"):
        read_state_dict(tmp_path / "w.pth")


class Touch:
    """Unpickles by making a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_refused(tmp_path, zipped):
    torch.save({"w": Touch(tmp_path / "ran")}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"more than weights and plain values \(\w*\.?mkdir\)"):
        read_torch_file(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


def test_something_else(tmp_path):
    torch.save([1, 2], tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="holds a list, expected a state dict"):
        read_state_dict(tmp_path / "w.pth")
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"holds 'epoch' \(int\), expected a state dict with tensors only"):
        read_state_dict(tmp_path / "w.pth")


def test_strict():
    layer = nn.Linear(3, 2)
    load_strictly(layer, STATE, "w.pth")
    assert torch.equal(layer.weight, STATE["weight"])
    with pytest.raises(WeightsError, match=r"w.pth do not fit Linear: 1 missing: bias; 1 unknown: gain"):
        load_strictly(layer, {"weight": STATE["weight"], "gain": torch.ones(1)}, "w.pth")
    with pytest.raises(WeightsError, match=r"1 of another shape: bias \(3,\) instead of \(2,\)"):
        load_strictly(layer, {**STATE, "bias": torch.ones(3)}, "w.pth")


def test_old_batch_norm_lacks_its_counter():
    norm = nn.BatchNorm1d(2)
    state = {name: value + 1 for name, value in norm.state_dict().items() if name != "num_batches_tracked"}
    load_strictly(norm, state, "w.pth")
    assert norm.running_var.tolist() == [2, 2]


def test_prefix():
    assert list(strip_prefix({"module.a": torch.ones(1)})) == ["a"]
    assert list(strip_prefix({"a": torch.ones(1)})) == ["a"]
    with pytest.raises(WeightsError, match="'b' does not"):
        strip_prefix({"module.a": torch.ones(1), "b": torch.ones(1)})
