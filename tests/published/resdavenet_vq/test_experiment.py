import os
import pickle
from argparse import Namespace

import pytest
import torch
from torchvision.models import resnet50

from common.safe_load import BrokenPickleError, UnsafePickleError
from models.weights import WeightsError
from published import load_encoders, load_published
from published.resdavenet_vq import experiment as resdavenet_vq
from tests.models.networks import mel
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


def test_codebooks_and_settings_are_read(tmp_path, image_state):
    codebook = torch.randn(7, 8)
    averages = {"_embedding.weight": codebook, "_ema_w": 2 * codebook, "_ema_cluster_size": torch.full((7,), 2.0)}
    quantizer = {f"quant2.{name}": value for name, value in averages.items()}
    changed = {"VQ_turnon": "0,1,0,0,0", "VQ_sizes": "5,7,5,5,5", "jitter": 0.2, "VQ_commitment_cost": 0.3}
    resdavenet_folder(tmp_path, image_state, speech=quantizer, **changed)
    speech = load_published("resdavenet_vq", tmp_path).speech
    assert speech.turn_on == "01000"
    assert speech.jitter.probability == 0.2
    assert speech.quantizers["quant2"].config.commitment_cost == 0.3
    assert torch.equal(speech.quantizers["quant2"].codebook, codebook)
    assert torch.equal(speech.quantizers["quant2"].sums, 2 * codebook)
    assert bool(speech.quantizers["quant2"].placed)
    change_arguments(tmp_path, VQ_turnon="0,1,1,0,0")
    with pytest.raises(WeightsError, match=r"quantizers\.quant3"):
        load_published("resdavenet_vq", tmp_path)
    change_arguments(tmp_path, VQ_turnon="0,2,0,0,0")
    with pytest.raises(WeightsError, match=r"found the turn-on code '02000'"):
        load_published("resdavenet_vq", tmp_path)
    change_arguments(tmp_path, VQ_turnon="0,1,0,0,0", VQ_sizes="7,7")
    with pytest.raises(WeightsError, match=r"VQ_sizes is '7,7', expected 5 integers"):
        load_published("resdavenet_vq", tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"jitter": "abc"}, "args.pkl: jitter is 'abc', expected a number"),
        ({"jitter": None}, "args.pkl: jitter is None, expected a number"),
        ({"jitter": 2}, "describes an impossible network"),
        ({"VQ_commitment_cost": "x"}, "args.pkl: VQ_commitment_cost is 'x', expected a number"),
        ({"VQ_turnon": "0,2,0,0,0"}, "found the turn-on code '02000'"),
        ({"VQ_sizes": None}, "VQ_sizes is None, expected 5 integers"),
        ({"VQ_sizes": "0,0,0,0,0"}, "describes an impossible network"),
    ],
)
@pytest.mark.parametrize("read", [resdavenet_vq.describe, resdavenet_vq.load])
def test_odd_arguments_are_one_sentence_to_every_reader(tmp_path, image_state, read, changed, message):
    resdavenet_folder(tmp_path, image_state)
    change_arguments(tmp_path, **{"VQ_turnon": "0,1,0,0,0"} | changed)
    with pytest.raises(WeightsError, match=message):
        read(tmp_path)


def test_quantisers_of_unknown_size_are_refused(tmp_path, image_state):
    resdavenet_folder(tmp_path, image_state)
    args = vars(pickle.loads((tmp_path / "args.pkl").read_bytes())) | {"VQ_turnon": "0,1,0,0,0"}
    del args["VQ_sizes"]
    (tmp_path / "args.pkl").write_bytes(pickle.dumps(Namespace(**args)))
    with pytest.raises(WeightsError, match="lacks VQ_sizes though VQ_turnon is '0,1,0,0,0'"):
        resdavenet_vq.describe(tmp_path)


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

    for name, text in {"layer_widths": "6,8,8,12,100000000", "layer_depths": "2,100000000,2,2"}.items():
        change_arguments(tmp_path, **{name: text})
        with pytest.raises(WeightsError, match=f"{name} is '{text}', expected integers from 0 to"):
            load_published("resdavenet_vq", tmp_path)
        change_arguments(tmp_path, layer_widths="6,8,8,12,20", layer_depths="1,2,1,3")
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
        match=r"best_audio_model.pth \(sizes from args.pkl\) do not fit ResDavenetVq: 35 of another shape: stages.4.0",
    ):
        load_published("resdavenet_vq", tmp_path)
    change_arguments(tmp_path, layer_widths="6,8,8,12,20", layer_depths="1,2,1,2")
    with pytest.raises(WeightsError, match=r"do not fit ResDavenetVq: \d+ unknown: stages.4.2"):
        load_published("resdavenet_vq", tmp_path)
    change_arguments(tmp_path, layer_depths="1,2,1,4")
    with pytest.raises(WeightsError, match=r"do not fit ResDavenetVq: \d+ missing: stages.4.3"):
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
