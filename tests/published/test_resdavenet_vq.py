import os
import pickle
from argparse import Namespace

import numpy as np
import pytest
import torch
from torchvision.models import resnet50

from models.weights import WeightsError
from published import load_encoders, load_published
from published.resdavenet_vq import QuantisedError
from published.unpickle import BrokenPickleError, UnsafePickleError
from tests.models.networks import mel
from tests.parity.case import read_case
from tests.parity.kinds import run
from tests.published.reference import resdavenet, resdavenet_folder


@pytest.fixture(scope="module")
def image_state():
    """Random weights of a ResNet-50 without classifier, and an embedding of 12."""
    state = {name: value for name, value in resnet50(weights=None).state_dict().items() if not name.startswith("fc.")}
    return {**state, "embedder.weight": torch.randn(12, 2048, 1, 1) / 45, "embedder.bias": torch.zeros(12)}


@pytest.mark.parametrize(
    "changed",
    [{}, {"layer_widths": "4,4,8,8,8", "layer_depths": "2,1,1,2", "convsize": 9}, {"convsize": 1}],
)
def test_forward_as_published(tmp_path, image_state, changed):
    torch.manual_seed(0)
    state = resdavenet_folder(tmp_path, image_state, **changed)
    model = load_published("resdavenet_vq", tmp_path)
    args = model.details["args"]
    depths = [int(depth) for depth in args["layer_depths"].split(",")]
    spectrogram = mel(2, 150) / 10
    with torch.no_grad():
        expected = resdavenet(spectrogram, state, depths, args["convsize"]).squeeze(2)
        assert torch.allclose(model.speech(spectrogram).features, expected, rtol=1e-4, atol=1e-4)
        assert expected.std() > 0.1
        assert model.image(torch.zeros(1, 3, 64, 64)).shape == (1, 12, 2, 2)
    assert not model.speech.training
    assert not model.image.training


@pytest.fixture(scope="module")
def case(assets, tmp_path_factory):
    """The parity case with its quantisers taken out: entries, flags, nothing else."""
    folder = tmp_path_factory.mktemp("case")
    case = read_case(assets / "parity" / "resdavenet_vq.json", folder)
    case.hyper["args"]["VQ_turnon"] = "0,0,0,0,0"
    audio = case.spec["files"]["models/best_audio_model.pth"]
    audio["entries"] = [entry for entry in audio["entries"] if ".quant" not in entry[0]]
    return case


def test_published_case_up_to_its_first_quantiser(case):
    """The image map entirely, and the speech features that enter quant2, against the original's stored values."""
    outputs = run(case)
    assert vars(pickle.loads((case.folder / "args.pkl").read_bytes())) == case.hyper["args"]
    rtol, atol = case.spec["rtol"], case.spec["atol"]
    np.testing.assert_allclose(outputs["image_out"], case.arrays["image_out"], rtol=rtol, atol=atol)
    assert outputs["audio_out"].shape == case.arrays["audio_out"].shape
    speech = load_published("resdavenet_vq", case.folder).speech
    with torch.no_grad():
        maps = speech.features(case.tensor("mel"), case.tensor("nframes"), stage=1)
    rows = maps.features.transpose(1, 2).flatten(0, 1)[:: case.hyper["row_stride"], :: case.hyper["feat_stride"]]
    np.testing.assert_allclose(rows.numpy(), case.arrays["pre_quant2"], rtol=rtol, atol=atol)
    assert int(maps.nframes.sum()) == int(case.arrays["frames_nframes_quant2"])


def test_quantised_form_is_refused(tmp_path, image_state):
    resdavenet_folder(tmp_path, image_state, VQ_turnon="0,1,1,0,0")
    with pytest.raises(
        QuantisedError, match=r"VQ_turnon is '0,1,1,0,0', so the model has quantisers \(quant2, quant3\)"
    ):
        load_published("resdavenet_vq", tmp_path)


def test_epochs(tmp_path, image_state):
    resdavenet_folder(tmp_path, image_state, stem="{}_model.e9")
    last = resdavenet_folder(tmp_path, image_state, stem="{}_model.e10")
    model = load_published("resdavenet_vq", tmp_path)
    assert model.source.name == "audio_model.e10.pth"
    assert torch.equal(model.speech.stages[0][0].weight, last["conv1.weight"].squeeze(1))
    ninth = load_published("resdavenet_vq", tmp_path / "models" / "audio_model.e9.pth")
    both = load_encoders(tmp_path / "models" / "audio_model.e9.pth")
    assert all(torch.equal(value, both.speech.state_dict()[key]) for key, value in ninth.speech.state_dict().items())
    assert ninth.source.name == "audio_model.e9.pth"
    assert not torch.equal(ninth.speech.stages[0][0].weight, last["conv1.weight"].squeeze(1))


def change_arguments(folder, **changed):
    args = pickle.loads((folder / "args.pkl").read_bytes())
    (folder / "args.pkl").write_bytes(pickle.dumps(Namespace(**{**vars(args), **changed})))


def test_files_that_do_not_fit(tmp_path, image_state):
    resdavenet_folder(tmp_path, image_state)
    models = tmp_path / "models"

    change_arguments(tmp_path, layer_widths="6,8,8,12")
    with pytest.raises(WeightsError, match=r"layer_widths is '6,8,8,12', expected 5 integers"):
        load_published("resdavenet_vq", tmp_path)
    change_arguments(tmp_path, layer_widths="6,8,8,12,24", convsize=4)
    with pytest.raises(WeightsError, match=r"args.pkl describes an impossible network: .* must be odd .* got 4"):
        load_published("resdavenet_vq", tmp_path)
    change_arguments(tmp_path, convsize="wide")
    with pytest.raises(WeightsError, match=r"convsize is 'wide', expected 1 integers"):
        load_published("resdavenet_vq", tmp_path)
    change_arguments(tmp_path, convsize=5)
    with pytest.raises(
        WeightsError,
        match=r"best_audio_model.pth \(sizes from args.pkl\) do not fit ResDavenet: 35 of another shape: stages.4.0",
    ):
        load_published("resdavenet_vq", tmp_path)
    change_arguments(tmp_path, layer_widths="6,8,8,12,20", layer_depths="1,2,1,2")
    with pytest.raises(WeightsError, match=r"do not fit ResDavenet: \d+ unknown: stages.4.2"):
        load_published("resdavenet_vq", tmp_path)
    change_arguments(tmp_path, layer_depths="1,2,1,4")
    with pytest.raises(WeightsError, match=r"do not fit ResDavenet: \d+ missing: stages.4.3"):
        load_published("resdavenet_vq", tmp_path)
    change_arguments(tmp_path, layer_depths="1,2,1,3", audio_model="Other")
    with pytest.raises(WeightsError, match="names 'Other' and 'Resnet50'"):
        load_published("resdavenet_vq", tmp_path)
    change_arguments(tmp_path, audio_model="ResDavenetVQ")

    speech = torch.load(models / "best_audio_model.pth", weights_only=True)
    torch.save({**speech, "module.quant9.x": torch.ones(1)}, models / "best_audio_model.pth")
    with pytest.raises(WeightsError, match=r"1 entries this kind does not have: quant9.x"):
        load_published("resdavenet_vq", tmp_path)
    torch.save({k: v for k, v in speech.items() if "num_batches" not in k}, models / "best_audio_model.pth")
    load_published("resdavenet_vq", tmp_path)  # written by torch < 0.4.1
    os.truncate(models / "best_audio_model.pth", 3000)
    with pytest.raises(WeightsError, match=r"best_audio_model.pth \(3000 bytes\) is not a complete torch file"):
        load_published("resdavenet_vq", tmp_path)


def test_missing_files(tmp_path, image_state):
    with pytest.raises(WeightsError, match=r"holds neither models/best_audio_model.pth nor models/audio_model.eN.pth"):
        load_published("resdavenet_vq", tmp_path)
    with pytest.raises(WeightsError, match=r"best_audio_model.pth does not exist: give the experiment folder"):
        load_published("resdavenet_vq", tmp_path / "models" / "best_audio_model.pth")
    resdavenet_folder(tmp_path, image_state)
    with pytest.raises(WeightsError, match="not named like a speech model"):
        load_published("resdavenet_vq", tmp_path / "models" / "best_image_model.pth")
    (tmp_path / "models" / "best_image_model.pth").unlink()
    with pytest.raises(WeightsError, match=r"There is no weight file .*best_image_model.pth"):
        load_published("resdavenet_vq", tmp_path)
    (tmp_path / "args.pkl").unlink()
    with pytest.raises(BrokenPickleError, match=r"There is no file .*args.pkl"):
        load_published("resdavenet_vq", tmp_path)


def test_arguments_that_would_run_code(tmp_path, image_state):
    resdavenet_folder(tmp_path, image_state)
    (tmp_path / "args.pkl").write_bytes(b"cos\nmkdir\n(V" + str(tmp_path / "ran").encode() + b"\ntR.")
    with pytest.raises(UnsafePickleError, match=r"wants to load os\.mkdir"):
        load_published("resdavenet_vq", tmp_path)
    assert not (tmp_path / "ran").exists()
    (tmp_path / "args.pkl").write_bytes(pickle.dumps(Namespace(lr=1)))
    with pytest.raises(WeightsError, match=r"args.pkl lacks audio_model, layer_widths"):
        load_published("resdavenet_vq", tmp_path)
