"""Published files of AttnGAN that do not fit; those that do are in the parity cases."""

import pytest
import torch

from gan.attngan.generator import AttnganGenerator
from models.damsm import CaptionEncoder, ImageRegionEncoder
from models.weights import WeightsError
from published import load_published


def saved(path, state):
    torch.save(state, path)
    return path


def text_state(model):
    return {name.replace("embedding.weight", "encoder.weight"): value for name, value in model.state_dict().items()}


def image_state(model):
    names = [("trunk.", ""), ("top.", ""), ("region.", "emb_features."), ("image.", "emb_cnn_code.")]
    state = {}
    for name, value in model.state_dict().items():
        ours, theirs = next((ours, theirs) for ours, theirs in names if name.startswith(ours))
        state[theirs + name.removeprefix(ours)] = value
    return state


@pytest.mark.parametrize("kind", ["attngan", "attngan_discriminators", "damsm"])
def test_a_file_that_is_missing(kind, tmp_path):
    with pytest.raises(WeightsError, match=r"There is no weight file .*text_encoder1.pth"):
        load_published(kind, tmp_path / "text_encoder1.pth")


@pytest.mark.parametrize("kind", ["attngan", "attngan_discriminators", "damsm"])
def test_a_checkpoint_of_another_kind(kind, tmp_path):
    path = saved(tmp_path / "text_encoder1.pth", {"layer.weight": torch.zeros(2, 2)})
    with pytest.raises(
        WeightsError, match=r"text_encoder1.pth (hold 1 entries this kind does not have|has blocks \[\])"
    ):
        load_published(kind, path)


def test_a_generator_cut_off(tmp_path):
    model = AttnganGenerator(width=2, embedding_dim=4, condition_dim=3, noise_dim=2, stages=1)
    state = {f"ca_net.{name}": value for name, value in model.augmentation.state_dict().items()}
    with pytest.raises(WeightsError, match=r"lacks images.0.0.weight"):
        load_published("attngan", saved(tmp_path / "netG.pth", state))


def test_a_folder_without_a_pair(tmp_path):
    with pytest.raises(WeightsError, match=r"holds none, expected one text_encoderN.pth"):
        load_published("damsm", tmp_path)
    for number in (100, 200):
        saved(tmp_path / f"text_encoder{number}.pth", {})
    with pytest.raises(WeightsError, match=r"holds text_encoder100.pth, text_encoder200.pth, expected one"):
        load_published("damsm", tmp_path)


def test_a_text_encoder_without_its_images(tmp_path):
    model = CaptionEncoder(9, embedding_dim=4, word_dim=3, cell="gru")
    path = saved(tmp_path / "text_encoder7.pth", text_state(model))
    with pytest.raises(WeightsError, match=r"There is no weight file .*image_encoder7.pth"):
        load_published("damsm", path)


def test_another_files_name(tmp_path):
    with pytest.raises(WeightsError, match=r"neither text_encoderN.pth nor image_encoderN.pth"):
        load_published("damsm", tmp_path / "weights.pth")


def test_a_folder_without_discriminators(tmp_path):
    with pytest.raises(WeightsError, match=r"holds no netD0.pth"):
        load_published("attngan_discriminators", tmp_path)


def test_discriminators_of_another_depth(tmp_path):
    state = {"img_code_s16.0.weight": torch.zeros(4, 3, 4, 4), "img_code_s64.0.weight": torch.zeros(4, 4, 4, 4)}
    with pytest.raises(WeightsError, match=r"has blocks \['s64'\], expected those of 64, 128 or 256 pixels"):
        load_published("attngan_discriminators", saved(tmp_path / "netD0.pth", state))


def test_another_recurrent_network(tmp_path):
    state = {"encoder.weight": torch.zeros(9, 3), "rnn.weight_hh_l0": torch.zeros(2, 2)}
    with pytest.raises(WeightsError, match="has 1 gates, expected 4 of an LSTM or 3 of a GRU"):
        load_published("damsm", saved(tmp_path / "text_encoder7.pth", state))


def test_encoders_of_two_trainings(tmp_path):
    text, image = CaptionEncoder(9, embedding_dim=4, word_dim=3), ImageRegionEncoder(6)
    saved(tmp_path / "image_encoder7.pth", image_state(image))
    with pytest.raises(WeightsError, match=r"embeddings of 4 numbers, .*image_encoder7.pth of 6; expected a pair"):
        load_published("damsm", saved(tmp_path / "text_encoder7.pth", text_state(text)))


@pytest.mark.parametrize(("name", "dropout"), [("linear", 0.5), ("rdc_text", 0.0)])
def test_a_noise_reducing_layer_of_any_size(name, dropout, tmp_path):
    model = CaptionEncoder(9, embedding_dim=4, word_dim=7, reduced_dim=5)
    state = {
        entry.replace("reduce", name).replace("embedding.weight", "encoder.weight"): value
        for entry, value in model.state_dict().items()
    }
    saved(tmp_path / "image_encoder7.pth", image_state(ImageRegionEncoder(4)))
    found = load_published("damsm", saved(tmp_path / "text_encoder7.pth", state)).text
    assert (found.reduce.in_features, found.reduce.out_features, found.drop.p) == (7, 5, dropout)
    assert all(torch.equal(value, model.state_dict()[entry]) for entry, value in found.state_dict().items())


def test_a_noise_reducing_layer_that_does_not_fit_the_words(tmp_path):
    state = text_state(CaptionEncoder(9, embedding_dim=4, word_dim=7, reduced_dim=5))
    state["linear.weight"], state["linear.bias"] = torch.zeros(5, 6), state.pop("reduce.bias")
    del state["reduce.weight"]
    with pytest.raises(WeightsError, match=r"reduce.weight"):
        load_published("damsm", saved(tmp_path / "text_encoder7.pth", state))
