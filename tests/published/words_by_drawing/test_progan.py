"""Published forms of a Progressive GAN generator, made from one of ours by the inverse key maps written out here."""

import re

import pytest
import torch
from safetensors.torch import save_file

from gan.progan.generator import ProganGenerator
from models.weights import WeightsError
from published import load_published

WIDTHS = [6, 5, 4]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ProganGenerator(7, WIDTHS).eval()


def published_names(model):
    state = {}
    for name, value in model.state_dict().items():
        layer, _, part = name.split(".")
        layer = f"output_{model.resolution}x{model.resolution}" if layer == "output" else layer
        state[f"{layer}.conv.weight" if part == "weight" else f"{layer}.wscale.b"] = value.clone()
    return state


def older_names(model):
    state = {}
    for name, value in published_names(model).items():
        name = re.sub(r"^layer(\d+)", lambda match: f"features.{int(match[1]) - 1}", name)
        state[re.sub(r"^output_\d+x\d+", "output", name)] = value
    return state


def tensorflow_names(model):
    """Kernels as TensorFlow holds them: (H, W, in, out), (H, W, out, in) for transposed ones, (in, out * 16) dense."""
    state = {"lod": torch.tensor(0.0), "ToRGB_lod1/weight": torch.zeros(1, 1, 5, 3), "ToRGB_lod1/bias": torch.zeros(3)}
    for name, value in model.state_dict().items():
        layer, _, part = name.split(".")
        if layer == "output":
            tf = "ToRGB_lod0"
            kernel = value.permute(2, 3, 1, 0) if part == "weight" else value
        else:
            number = int(layer.removeprefix("layer"))
            resolution = 4 * 2 ** ((number - 1) // 2)
            tf = f"{resolution}x{resolution}/" + {1: "Dense", 2: "Conv"}.get(
                number, "Conv1" if number % 2 == 0 else "Conv0_up"
            )
            kernel = value
            if part == "weight" and number == 1:
                kernel = value.flip(2, 3).permute(1, 0, 2, 3).reshape(7, -1)
            elif part == "weight" and number % 2 == 0:
                kernel = value.permute(2, 3, 1, 0)
            elif part == "weight":
                kernel = value.flip(2, 3).permute(2, 3, 0, 1)
        state[f"{tf}/{part}"] = kernel.contiguous()
    return state


@pytest.mark.parametrize("form", [published_names, older_names, tensorflow_names])
@pytest.mark.parametrize("wrapped", [False, True])
def test_every_form_draws_the_same(model, tmp_path, form, wrapped):
    state = form(model)
    path = tmp_path / "generator.pth"
    torch.save({"state_dict": state} if wrapped else state, path)
    loaded = load_published("progan", path)
    assert isinstance(loaded, ProganGenerator)
    assert (loaded.latent_dim, loaded.widths, loaded.training) == (7, WIDTHS, False)
    latents = torch.randn(3, 7)
    assert torch.equal(loaded(latents), model(latents))


def test_the_dense_layer_is_a_product_with_the_latent(model):
    """Independent of the key map: out[c, y, x] = sum_k z[k] W[k, c * 16 + 4 y + x]."""
    dense = tensorflow_names(model)["4x4/Dense/weight"]
    latent = torch.randn(1, 7)
    normed = latent / latent.square().mean().sqrt()
    scale = 2**0.5 / 4 / 7**0.5
    expected = (normed @ dense).reshape(1, WIDTHS[0], 4, 4) * scale
    torch.testing.assert_close(model.layer1(latent[:, :, None, None]), torch.nn.functional.leaky_relu(expected, 0.2))


def test_safetensors_and_data_parallel_names(model, tmp_path):
    path = tmp_path / "generator.safetensors"
    save_file({f"module.{name}": value for name, value in published_names(model).items()}, path)
    latents = torch.randn(3, 7)
    assert torch.equal(load_published("progan", path)(latents), model(latents))


def saved(state, tmp_path):
    path = tmp_path / "generator.pth"
    torch.save(state, path)
    return path


def test_a_missing_file(tmp_path):
    with pytest.raises(WeightsError, match=r"There is no weight file .*generator\.pth"):
        load_published("progan", tmp_path / "generator.pth")


def test_a_truncated_file(model, tmp_path):
    path = saved(published_names(model), tmp_path)
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(WeightsError, match="truncated"):
        load_published("progan", path)


def test_a_file_that_is_no_generator(tmp_path):
    with pytest.raises(WeightsError, match=r"hold 1 entries this kind does not have: fc\.weight"):
        load_published("progan", saved({"fc.weight": torch.zeros(3, 3)}, tmp_path))
    with pytest.raises(WeightsError, match="no layer1"):
        load_published("progan", saved({"layer2.conv.weight": torch.zeros(3, 3, 3, 3)}, tmp_path))
    with pytest.raises(WeightsError, match="expected a state dict"):
        load_published("progan", saved([1, 2], tmp_path))


@pytest.mark.parametrize("form", [published_names, older_names, tensorflow_names])
def test_a_missing_and_an_unexpected_entry(model, tmp_path, form):
    state = form(model)
    last = next(name for name in reversed(state) if name.endswith((".b", "/bias")))
    with pytest.raises(WeightsError, match="1 missing"):
        load_published("progan", saved({name: value for name, value in state.items() if name != last}, tmp_path))
    with pytest.raises(WeightsError, match="strange"):
        load_published("progan", saved(state | {"strange": torch.zeros(1)}, tmp_path))


def test_a_layer_of_another_width(model, tmp_path):
    state = published_names(model)
    state["layer4.conv.weight"] = torch.zeros(5, 9, 3, 3)
    with pytest.raises(WeightsError, match=r"layer4\.conv\.weight \(5, 9, 3, 3\) instead of \(5, 5, 3, 3\)"):
        load_published("progan", saved(state, tmp_path))


def test_an_output_of_another_resolution(model, tmp_path):
    state = {name.replace("output_16x16", "output_32x32"): value for name, value in published_names(model).items()}
    with pytest.raises(WeightsError, match=r"output_32x32.* make images of 16 pixels"):
        load_published("progan", saved(state, tmp_path))
    state = tensorflow_names(model)
    state["4x4/Dense/weight"] = torch.zeros(7)
    with pytest.raises(WeightsError, match=r"4x4/Dense/weight\) has the shape \(7,\)"):
        load_published("progan", saved(state, tmp_path))
