import json

import pytest
import torch
from PIL import Image

from common.errors import UserError
from engine.context import Context
from engine.init_from import read_checkpoint
from gan import shipped
from gan.class_generators import ClassInLatent
from gan.hooks import recorded
from gan.latents import latents
from tasks.gan.class_export import export
from tasks.gan.class_networks import load_network, with_class_in_latent


def run_export(class_runs, folder, dry_run=False, **changes):
    export(class_runs / "generator", Context("export", {}, [], dry_run=dry_run), name="tiny", folder=folder, **changes)


def test_the_averaged_generator_is_exported_and_loads_with_its_class_in_the_latent(class_runs, tmp_path):
    (tmp_path / "metrics.json").write_text('{"tiny/kid": 0.1}')
    run_export(class_runs, tmp_path / "out", scores=tmp_path / "metrics.json", samples=tmp_path / "sheet.png")
    assert shipped.names(tmp_path / "out") == ["tiny"]
    whole = shipped.load("tiny", tmp_path / "out")
    own = load_network(class_runs / "generator", "generator").network
    assert isinstance(whole, ClassInLatent)
    assert whole.latent_dim == 6 + 3
    table = latents(4, whole.latent_dim)
    with torch.no_grad(), recorded(whole, ["layer1"]) as record:
        assert torch.equal(whole(table), own(table[:, :6], table[:, 6:].argmax(dim=1)))
        assert torch.equal(whole(table), with_class_in_latent(class_runs / "generator")(table))
    assert record["layer1"].shape == (4, 8, 8, 8)
    card = shipped.card("tiny", tmp_path / "out")
    steps = read_checkpoint(class_runs / "generator")[1]["step"]  # of the best weights, 2 or 4
    assert (card["images_seen"], card["steps"], card["scores"]) == (12 * steps, steps, {"tiny/kid": 0.1})
    assert card["classes"] == ["cube", "sphere", "cylinder"]
    assert Image.open(tmp_path / "sheet.png").size == (12 * 16, 8 * 16)


def test_what_cannot_be_exported_or_loaded(class_runs, tmp_path):
    run_export(class_runs, tmp_path / "out", dry_run=True)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match=r"scores: .*none\.json cannot be read"):
        run_export(class_runs, tmp_path / "out", scores=tmp_path / "none.json")
    run_export(class_runs, tmp_path)
    card = json.loads((tmp_path / "tiny.json").read_text())
    (tmp_path / "tiny.json").write_text(json.dumps(card | {"network": {"type": "builtins.eval"}}))
    with pytest.raises(shipped.ShippedError, match="describes what is not built here"):
        shipped.load("tiny", tmp_path)
    with pytest.raises(shipped.ShippedError, match="makes images without classes"):
        shipped.load_of_classes("progan_world")
