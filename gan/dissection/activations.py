"""Units' activations and label maps of many images, collected in one pass for dissection.

Shape letters: N images, U units, h, w of a layer, L labels, H, W of a label map.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from common.errors import UserError
from gan.dissection.label_maps import PackedMaps
from gan.dissection.quantiles import StreamingQuantiles
from gan.hooks import layer_named, recorded
from models.segmenter.labels import Segmenter


class DissectionError(UserError):
    """Something that cannot be dissected."""


@dataclass
class Samples:
    """Activations and labels of images."""

    labels: list[str]  # L names
    categories: list[str]  # L names, the kind of each label
    maps: PackedMaps  # of the N images
    activations: dict[str, Tensor]  # layer -> (N, U, h, w) float32, in memory or in a file of its own
    quantiles: dict[str, StreamingQuantiles] = field(default_factory=dict)  # layer -> those of its units over all cells

    def __len__(self) -> int:
        return len(self.maps)


@torch.no_grad()
def collect(
    generator: nn.Module,
    segmenter: Segmenter,
    latents: Tensor,
    layers: Sequence[str],
    batch_size: int = 16,
    budget_mb: float = 4096,
) -> Samples:
    """Generate and segment every latent once.

    Args:
        generator: latents (B, D) -> images (B, 3, R, R) in [-1, 1]; it runs in evaluation mode on its own device.
        segmenter: says which pixels have which labels.
        latents: (N, D).
        layers: names of the generator's layers, each of which puts out (B, U, h, w).
        batch_size: images at once.
        budget_mb: activations beyond this size go to a temporary file, which the system removes with the process.

    Raises:
        LayerNameError: the generator has no such layer.
        DissectionError: no latents or layers, a layer without rows and columns, or maps that do not fit the labels.
    """
    if latents.dim() < 2 or not len(latents):
        raise DissectionError(f"latents of shape {tuple(latents.shape)}; expected (N, dimensions) with N at least 1")
    if not layers or len(set(layers)) != len(layers):
        raise DissectionError(f"layers {list(layers)}; expected the names of one or more different layers")
    for layer in layers:
        layer_named(generator, layer)
    device = next((p.device for p in generator.parameters()), latents.device)
    training = generator.training
    generator.eval()
    try:
        return _collect(generator, segmenter, latents.to(device).split(batch_size), len(latents), layers, budget_mb)
    finally:
        generator.train(training)


def _collect(
    generator: nn.Module,
    segmenter: Segmenter,
    batches: Sequence[Tensor],
    number: int,
    layers: Sequence[str],
    budget_mb: float,
) -> Samples:
    samples, first = None, 0
    for batch in batches:
        with recorded(generator, layers) as record:
            images = generator(batch)
        maps = segmenter.segment(images)
        _check(record, layers, maps, segmenter, len(batch))
        if samples is None:
            samples = _room(record, maps, number, segmenter, budget_mb)
        samples.maps.put(first, maps)
        for layer in layers:
            samples.activations[layer][first : first + len(batch)] = record[layer].float()
            samples.quantiles[layer].add(record[layer])
        first += len(batch)
    assert samples is not None
    return samples


def _check(record: dict[str, Tensor], layers: Sequence[str], maps: Tensor, segmenter: Segmenter, number: int) -> None:
    for layer in layers:
        if layer not in record:
            raise DissectionError(
                f"layer {layer!r} was not used while generating; name a layer that the generator runs"
            )
        if record[layer].dim() != 4:
            raise DissectionError(
                f"layer {layer!r} puts out {tuple(record[layer].shape)}; expected (B, units, rows, columns)"
            )
    if maps.dtype != torch.bool or maps.dim() != 4 or tuple(maps.shape[:2]) != (number, len(segmenter.labels)):
        raise DissectionError(
            f"{type(segmenter).__name__} returned {maps.dtype} {tuple(maps.shape)}; expected bool "
            f"({number}, {len(segmenter.labels)}, H, W), one map for each of its labels"
        )


def _room(record: dict[str, Tensor], maps: Tensor, number: int, segmenter: Segmenter, budget_mb: float) -> Samples:
    """Return empty samples, in memory as far as the budget goes."""
    packed = PackedMaps(number, maps.shape[1], (maps.shape[2], maps.shape[3]), maps.device)
    samples = Samples(list(segmenter.labels), list(segmenter.categories), packed, {})
    left = budget_mb * 2**20
    for layer, output in record.items():
        shape = (number, *output.shape[1:])
        size = 4 * output[0].numel() * number
        if size <= left:
            samples.activations[layer] = torch.empty(shape, device=output.device)
            left -= size
        else:
            file = tempfile.TemporaryFile(prefix="activations-")  # noqa: SIM115 (the map keeps it open)
            samples.activations[layer] = torch.from_numpy(np.memmap(file, np.float32, "w+", shape=shape))
        capacity = max(1, min(2**16, int(budget_mb * 2**20 / 16 / output.shape[1] / 4)))
        samples.quantiles[layer] = StreamingQuantiles(output.shape[1], capacity, output.device)
    return samples
