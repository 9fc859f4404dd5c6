"""Write a text encoder and a generator as ONNX: ``python run.py -f attngan/export_onnx.yaml model.run=RUN``.

    text_encoder.onnx   tokens (B, L), lengths (B,)  ->  words (B, D, L), sentences (B, D), padding (B, L)
    netg.onnx           noise (B, Z), variation (B, K), sentences, words, padding  ->  image_R, attention_R for each R
    model.json          words by number, sizes, and what was checked

The files have the names that taoxugit/AttnGAN gives them (``eval/eval.py``). B and L may be any numbers. What was
written is run by onnxruntime and compared with the networks.

Shape letters: B captions, L words, V vocabulary, D size of embeddings, Z of the noise, K of a condition, R resolution.
"""

import io
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

import config
from common.files import write_together
from config.limits import Positive
from engine.context import Context
from engine.logs import say
from tasks.attngan.sampling.onnx_networks import FlatGenerator, OnnxError, masked
from tasks.attngan.sampling.text_to_image import TextToImage
from tasks.attngan.trained import TextImageSource

log = logging.getLogger(__name__)
TEXT_FILE, GENERATOR_FILE, CARD = "text_encoder.onnx", "netg.onnx", "model.json"
OPSET = 17
CHECKED = ((1, 1), (1, 7), (2, 3), (5, 12), (9, 25))  # B and L that are compared
TRACED = (3, 5)  # B and L with which the networks are followed
PER_WORD = ("tokens", "padding")  # (B, L)


class Graph(NamedTuple):
    """A network to be written."""

    file: str  # its name
    network: nn.Module  # takes the inputs in order, returns the outputs in order
    inputs: list[str]
    outputs: list[str]


def export_onnx(
    model: TextImageSource,
    output: Path,
    context: Context,
    tolerance: Annotated[Positive, Field(le=1)] = 1e-4,
) -> None:
    """Write both networks and compare what onnxruntime computes with them.

    Args:
        model: text encoder and generator.
        output: folder of the files.
        context: given by run.py.
        tolerance: largest difference of any output value, of images in [-1, 1] among them.

    Raises:
        UserError: the packages of requirements-onnx.txt are missing, the model cannot be read, or the files compute
            something else; they are not written then.
    """
    _need_packages()
    text_to_image = TextToImage.of(model)
    graphs = graphs_of(text_to_image)
    contents = {graph.file: _written(graph, text_to_image) for graph in graphs}
    worst = _compare(graphs, contents, text_to_image, tolerance)
    sizes = ", ".join(f"{batch} x {length}" for batch, length in CHECKED)
    log.info("onnxruntime differs by at most %.1e, for captions x words of %s", max(worst.values()), sizes)
    if context.dry_run:
        return
    card = json.dumps(_card(text_to_image, graphs, worst), indent=1, ensure_ascii=False)
    write_together(
        {output / name: content for name, content in contents.items()} | {output / CARD: f"{card}\n".encode()}
    )
    for name, content in contents.items():
        say(f"{config.short(output / name)}  {len(content) / 1e6:.1f} MB")


def graphs_of(model: TextToImage) -> list[Graph]:
    """Return the text encoder and the generator as they are written."""
    later = len(getattr(model.generator, "next", ()))
    outputs = [f"image_{resolution}" for resolution in model.resolutions]
    outputs += [f"attention_{stage}" for stage in range(1, later + 1)]
    flat = FlatGenerator(model.generator).eval()
    return [
        Graph(TEXT_FILE, masked(model.text), ["tokens", "lengths"], ["words", "sentences", "padding"]),
        Graph(GENERATOR_FILE, flat, ["noise", "variation", "sentences", "words", "padding"], outputs),
    ]


def _example(model: TextToImage, batch: int, length: int) -> dict[str, Tensor]:
    """Return random inputs of both networks by name: captions up to ``length`` words, the first of them as long."""
    generator = torch.Generator().manual_seed(1000 * batch + length)
    lengths = torch.randint(1, length + 1, (batch,), generator=generator)
    lengths[0] = length
    tokens = torch.randint(1, model.text.vocab_size, (batch, length), generator=generator)
    tokens[torch.arange(length) >= lengths[:, None]] = 0
    network = model.generator
    noise = torch.randn(batch, network.noise_dim, generator=generator)
    variation = torch.randn(batch, network.condition_dim, generator=generator)
    encoded = model.text(tokens, lengths)
    return {
        "tokens": tokens,
        "lengths": lengths,
        "noise": noise,
        "variation": variation,
        "words": encoded.words,
        "sentences": encoded.sentences,
        "padding": encoded.padding,
    }


@torch.no_grad()
def _written(graph: Graph, model: TextToImage) -> bytes:
    """Return a network as ONNX, of any number of captions and words."""
    example = _example(model, *TRACED)
    names = {0: "captions"}
    axes = {
        name: names | ({2: "words"} if name == "words" else {1: "words"} if name in PER_WORD else {})
        for name in (*graph.inputs, *graph.outputs)
    }
    axes |= {name: {0: "captions", 1: "words"} for name in graph.outputs if name.startswith("attention")}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # of the exporter's age (the newer one writes one length of captions), and of the checks of inputs, which are
        # not part of the graph; what is written is compared afterwards
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.network,
            tuple(example[name] for name in graph.inputs),
            buffer,
            input_names=graph.inputs,
            output_names=graph.outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


@torch.no_grad()
def _compare(
    graphs: Sequence[Graph], contents: Mapping[str, bytes], model: TextToImage, tolerance: float
) -> dict[str, float]:
    """Return the largest difference of each output; an OnnxError where one is above the tolerance."""
    import onnxruntime

    worst: dict[str, float] = {}
    for graph in graphs:
        session = onnxruntime.InferenceSession(contents[graph.file], providers=["CPUExecutionProvider"])
        taken = [one.name for one in session.get_inputs()]
        for batch, length in CHECKED:
            example = _example(model, batch, length)
            expected = _expected(graph, model, example)
            found = session.run(graph.outputs, {name: example[name].numpy() for name in taken})
            for name, ours, theirs in zip(graph.outputs, expected, found, strict=True):
                difference = _difference(ours.numpy(), theirs)
                worst[name] = max(worst.get(name, 0.0), difference)
                if not difference <= tolerance:
                    raise OnnxError(
                        f"{graph.file} computes {name} otherwise: {difference:.2g} apart for {batch} captions of "
                        f"{length} words, expected at most {tolerance:g}; the export is not written"
                    )
    return worst


def _expected(graph: Graph, model: TextToImage, example: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """Return what the networks themselves compute, not their rewritten forms."""
    if graph.file == TEXT_FILE:
        return example["words"], example["sentences"], example["padding"]
    inputs = (example[name] for name in ("noise", "sentences", "words", "padding", "variation"))
    made = model.generator(*inputs)
    return (*made.images, *made.attention)


def _difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest difference of two arrays; infinity where their shapes differ."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.abs(ours.astype(np.float64) - theirs).max(initial=0.0))


def _need_packages() -> None:
    try:
        import onnx  # noqa: F401  torch writes with it
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise OnnxError(
            f"the export needs onnx and onnxruntime, which cannot be imported ({error}): "
            "pip install -r requirements-onnx.txt"
        ) from error


def _card(model: TextToImage, graphs: Sequence[Graph], worst: Mapping[str, float]) -> dict[str, Any]:
    """Return what a program needs to use the files, and what was compared."""
    return {
        "files": {graph.file: {"inputs": graph.inputs, "outputs": graph.outputs} for graph in graphs},
        "vocabulary": model.words.vocabulary.words[1:],  # numbered from 1; 0 is the padding
        "max_words": model.words.max_words,
        "noise_dim": model.generator.noise_dim,
        "condition_dim": model.generator.condition_dim,
        "resolutions": model.resolutions,
        "opset": OPSET,
        "largest_differences": worst,
        "compared": [{"captions": batch, "words": length} for batch, length in CHECKED],
    }
