"""Runs and generators are exported by their configs, and read back as they were trained."""

import logging
import pickle

import pytest
import torch

import config
import run as program
from common.errors import UserError
from engine import checkpoint
from engine.context import Context
from gan import shipped
from published import load_published
from tasks.published_export import encoders, generator, trained_generator
from tests.tasks.resdavenet_vq.conftest import VQ


@pytest.fixture
def context():
    return Context("test", {}, ["run.py"])


IMAGE = {
    "resdavenet_vq": {"type": "models.image_encoders.Resnet50Encoder", "embedding_dim": 16, "pretrained": "imagenet"},
    "davenet": {"type": "models.image_encoders.Vgg16Encoder", "embedding_dim": 16},
}
SPEECH = {
    "resdavenet_vq": VQ,
    "davenet": {"type": "models.davenet.DavenetSpeech", "size": "small", "embedding_dim": 16},
}
SIMILARITY = {"resdavenet_vq": {"kind": "pooled"}, "davenet": {"kind": "MISA"}}


def write_run(folder, layout):
    """Write a run folder with random weights, and return its encoders."""
    torch.manual_seed(0)
    nodes = {"image": {**IMAGE[layout], "pretrained": None}, "speech": SPEECH[layout]}
    modules = {name: config.build(dict(node)) for name, node in nodes.items()}
    state = {"modules": {name: module.state_dict() for name, module in modules.items()}, "averages": {}}
    checkpoint.write(folder / "checkpoints" / "best.pt", {**state, "step": 70, "epoch": 3})
    task = {"image_encoder": IMAGE[layout], "speech_encoder": SPEECH[layout], "similarity": SIMILARITY[layout]}
    task["optimization"] = {"optimizer": {"type": "torch.optim.SGD", "lr": 0.25, "momentum": 0.5}}
    (folder / "config.yaml").write_text(
        config.dump({"entry": "main.train", "seed": 4, "task": task, "data": {"batch_size": 6}})
    )
    return modules


def overrides(folder, layout):
    return [f"run={folder / 'run'}", f"output={folder / 'out' / 'model_best_x.pth.tar'}"]


@pytest.mark.parametrize(("layout", "name"), [("resdavenet_vq", "resdavenet_vq"), ("davenet", "words_by_drawing")])
def test_a_run_is_exported(tmp_path, layout, name, caplog):
    modules = write_run(tmp_path / "run", layout)
    with caplog.at_level(logging.WARNING):
        assert program.main(["-f", f"{name}/export_published.yaml", *overrides(tmp_path, layout)]) == 0
    assert caplog.text == ""
    found = load_published(layout, tmp_path / "out" / "model_best_x.pth.tar")
    for ours, theirs in ((modules["image"], found.image), (modules["speech"], found.speech)):
        state = theirs.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in ours.state_dict().items())
    if layout == "davenet":
        assert found.details["epoch"] == 3
        return
    args = pickle.loads((tmp_path / "out" / "model_best_x.pth.tar" / "args.pkl").read_bytes())
    assert (args.optim, args.lr, args.momentum, args.seed, args.batch_size) == ("sgd", 0.25, 0.5, 4, 6)
    assert (args.VQ_sizes, args.VQ_turnon, args.n_epochs) == ("1024,12,12,1024,1024", "0,1,1,0,0", 150)


def test_nothing_is_written_over(tmp_path, context):
    write_run(tmp_path / "run", "resdavenet_vq")
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"output: .*/out is there already; give another path"):
        encoders("resdavenet_vq", tmp_path / "run", tmp_path / "out", context)
    with pytest.raises(UserError, match=r"output: .*/out is there already; give another path"):
        generator(shipped.load(), tmp_path / "out", context)
    context.dry_run = True
    encoders("resdavenet_vq", tmp_path / "run", tmp_path / "none", context)
    generator(shipped.load(), tmp_path / "none", context)
    assert not (tmp_path / "none").exists()


def test_an_unlike_comparison_is_said(tmp_path, context, caplog):
    write_run(tmp_path / "run", "resdavenet_vq")
    context.dry_run = True
    with caplog.at_level(logging.WARNING):
        encoders("davenet", tmp_path / "run", tmp_path / "none", context)
    assert "the public code compares them by {'kind': 'MISA', 'measure': 'dot'}" in caplog.text


def test_the_shipped_generator_is_exported(tmp_path):
    assert program.main(["-f", "gan/export_published.yaml", f"output={tmp_path / 'generator.pth'}"]) == 0
    ours, theirs = shipped.load(), load_published("progan", tmp_path / "generator.pth")
    latents = torch.randn(2, ours.latent_dim)
    assert torch.equal(ours(latents), theirs(latents))


def test_what_is_no_generator_is_refused(tmp_path, context):
    with pytest.raises(UserError, match="generator: found a Linear; expected a ProganGenerator"):
        generator(torch.nn.Linear(1, 1), tmp_path / "x.pth", context)
    with pytest.raises(UserError, match=r"there is no checkpoint at .*/none"):
        trained_generator(tmp_path / "none")
