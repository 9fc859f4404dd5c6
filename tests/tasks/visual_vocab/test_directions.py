"""The job that finds directions: five methods, parts that are not made again, images, errors in one sentence."""

import json

import pytest
import torch
from PIL import Image

import config
from gan.directions.files import load_directions
from run import main

METHODS = {
    "layer_selective": {
        "type": "gan.directions.layer_selective.LayerSelective",
        "start_layer": "layer3",
        "end_layer": "layer2",
        "per_layer": 2,
        "steps": 2,
        "image_weight": 1.0,
    },
    "sefa": {"type": "gan.directions.closed_form.Sefa", "number": 3},
    "ganspace": {"type": "gan.directions.closed_form.GanSpace", "layer": "layer3", "number": 3},
    "contrastive": {
        "type": "gan.directions.contrastive.Contrastive",
        "layer": "layer3",
        "number": 3,
        "steps": 2,
    },
    "random": {"type": "gan.directions.directions.RandomDirections", "number": 3},
}


def find(folder, generator_node, method, *overrides):
    """Run the job on five latents; return its exit code."""
    values = config.load("visual_vocab/directions.yaml").values
    pictures = {"latents": 2, "directions": 1, "alphas": [-3, 0, 3], "midpoints": 1, "animation": "gif"}
    values |= {"generator": generator_node, "method": METHODS[method], "latents": 5, "part": 2, "pictures": pictures}
    path = folder / f"{method}.yaml"
    path.write_text(config.dump(values))
    return main(["-f", str(path), f"run.folder={folder}", f"run.name={method}", *overrides])


@pytest.mark.parametrize("method", METHODS)
def test_every_method_writes_unit_vectors_with_a_card_and_images(method, generator_node, tmp_path):
    assert find(tmp_path, generator_node, method) == 0
    found, card = load_directions(tmp_path / method / "directions.safetensors")
    sets, number = (5, 4) if method == "layer_selective" else (1, 3)
    assert found.directions.vectors.shape == (sets, number, 8)
    torch.testing.assert_close(found.directions.vectors.norm(dim=-1), torch.ones(sets, number))
    assert card["method"]["type"] == METHODS[method]["type"]
    assert found.latents.shape == (5, 8)
    metrics = json.loads((tmp_path / method / "metrics.json").read_text())
    assert metrics["directions"] == number
    if method == "layer_selective":
        assert metrics["largest_cosine_between_layers"] < 1e-4
    pictures = tmp_path / method / "pictures"
    assert Image.open(pictures / "strips.png").size == (3 * 16 + 2 * 2, 2 * 16 + 2)  # two latents, three alphas
    assert Image.open(pictures / "direction_0.gif").n_frames > 1
    assert "latent 0 to 1" in (tmp_path / method / "report.html").read_text()


def test_a_stopped_search_goes_on_with_the_parts_that_are_missing(generator_node, tmp_path, monkeypatch):
    assert find(tmp_path, generator_node, "layer_selective", "pictures.latents=0", "run.name=whole") == 0
    whole, _ = load_directions(tmp_path / "whole" / "directions.safetensors")
    assert find(tmp_path, generator_node, "layer_selective", "pictures.latents=0", "run.name=parts") == 0
    parts = sorted((tmp_path / "parts" / "parts").glob("*.safetensors"))
    assert len(parts) == 3  # of 2, 2 and 1 latents
    parts[1].unlink()
    before = parts[0].stat().st_mtime_ns
    assert find(tmp_path, generator_node, "layer_selective", "pictures.latents=0", "run.name=parts") == 0
    assert parts[0].stat().st_mtime_ns == before
    assert (
        find(
            tmp_path, generator_node, "layer_selective", "pictures.latents=0", "run.name=parts", "run.resume=overwrite"
        )
        == 0
    )
    assert parts[0].stat().st_mtime_ns > before
    again, _ = load_directions(tmp_path / "parts" / "directions.safetensors")
    torch.testing.assert_close(again.directions.vectors, whole.directions.vectors, rtol=0, atol=0)


def test_a_dry_run_leaves_nothing(generator_node, tmp_path):
    assert find(tmp_path, generator_node, "layer_selective", "--dry-run") == 0
    assert not (tmp_path / "layer_selective").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("method.start_layer=layer9", "ProganGenerator has no layer 'layer9'; expected one of layer1, layer2"),
        ("class=3", "ProganGenerator has no classes; leave out the class, found 3"),
        ("method.per_layer=9", "orthogonal directions do not fit a latent of 8 numbers"),
    ],
)
def test_errors_are_one_sentence(override, message, generator_node, tmp_path, capsys):
    assert find(tmp_path, generator_node, "layer_selective", override) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
