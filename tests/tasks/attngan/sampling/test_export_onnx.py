"""Networks as ONNX: they compute the same for any number of captions and words, or are not written."""

import json
import re
import sys

import numpy as np
import pytest

from engine.context import Context
from tasks.attngan.sampling import export_onnx as module
from tasks.attngan.sampling.export_onnx import export_onnx
from tasks.attngan.sampling.onnx_networks import OnnxError
from tasks.attngan.sampling.text_to_image import Draw, TextToImage
from tasks.attngan.trained import GENERATOR, TextImageSource
from tests.tasks.attngan.random_models import nodes_of, write_random_export


@pytest.fixture
def context():
    return Context("attngan/export_onnx", {"entry": "tasks.attngan.sampling.export_onnx.export_onnx"}, ["run.py"])


ONE_STAGE = {
    "type": "gan.attngan.one_stage.OneStageGenerator", "resolution": 16, "width": 2, "embedding_dim": 8, "noise_dim": 5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        (nodes_of(reduced_dim=4), ["image_8", "image_16", "image_32", "attention_1", "attention_2"]),
        (nodes_of({"every_stage": False}, cell="gru"), ["image_32", "attention_1", "attention_2"]),
        (nodes_of() | {GENERATOR: ONE_STAGE}, ["image_16"]),
    ],
    ids=["attngan", "dcgan", "one stage"],
)
def test_files_compute_the_same_images_without_torch(tmp_path, context, nodes, outputs):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra of requirements-onnx.txt")
    source = TextImageSource(run=write_random_export(tmp_path / "model.json", nodes))
    export_onnx(source, tmp_path / "onnx", context)
    card = json.loads((tmp_path / "onnx" / "model.json").read_text())
    assert card["files"]["netg.onnx"]["outputs"] == outputs
    assert max(card["largest_differences"].values()) < 1e-4
    caption, numbers = "a small red cube with", {word: number for number, word in enumerate(card["vocabulary"], 1)}
    text, netg = (onnxruntime.InferenceSession(tmp_path / "onnx" / name) for name in card["files"])
    tokens = np.array([[numbers[word] for word in caption.split()]])
    words, sentences, padding = text.run(None, {"tokens": tokens, "lengths": np.array([tokens.shape[1]])})
    model = TextToImage.of(source)
    noise, variation = (part.numpy() for part in model.noise([Draw(caption, 3)]))
    inputs = {"noise": noise, "variation": variation, "sentences": sentences, "words": words, "padding": padding}
    found = netg.run(outputs, {one.name: inputs[one.name] for one in netg.get_inputs()})
    (made,) = model.draw([Draw(caption, 3)])
    for image, theirs in zip(made.images, found, strict=False):
        np.testing.assert_allclose(image, ((theirs[0].transpose(1, 2, 0) + 1) * 127.5).clip(0, 255), atol=0.6)


def test_files_that_compute_something_else_are_not_written(tmp_path, context, monkeypatch):
    pytest.importorskip("onnxruntime", reason="the extra of requirements-onnx.txt")
    source = TextImageSource(run=write_random_export(tmp_path / "model.json"))
    written = module._written

    def wrong(graph, model):
        model.text.embedding.weight[4] += 0.5
        content = written(graph, model)
        model.text.embedding.weight[4] -= 0.5
        return content

    monkeypatch.setattr(module, "_written", wrong)
    message = r"text_encoder.onnx computes (words|sentences) otherwise: .* expected at most 0.0001; the export is not"
    with pytest.raises(OnnxError, match=message):
        export_onnx(source, tmp_path / "onnx", context)
    assert not (tmp_path / "onnx").exists()


def test_missing_packages_are_named(tmp_path, context, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    message = re.escape("pip install -r requirements-onnx.txt")
    with pytest.raises(OnnxError, match=message):
        export_onnx(TextImageSource(run=tmp_path / "model.json"), tmp_path, context)
