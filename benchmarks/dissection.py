"""Dissection of images x 512 units x 250 labels: time and peak memory, against a loop over images and labels.

    python -m benchmarks.dissection                      # 200 images, about a minute
    python -m benchmarks.dissection --images 1000      # as many as published

The generator has the published widths up to the dissected layer (512 units, 8 x 8 cells) and random weights, the labels
are random blobs on about a tenth of 64 x 64 pixels each. The baseline does what the published code does for each
image and label; it is measured on a few images and scaled. The 'iqr' rule is measured on some units and scaled.
"""

import resource
import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.table import Row, devices, options, print_table, timed
from gan.dissection.activations import Samples, collect
from gan.dissection.dissect import dissect_samples
from gan.dissection.thresholds import select_thresholds, upsampled
from gan.latents import latents
from gan.progan.generator import ProganGenerator

LAYER = "layer4"


class Blobs(nn.Module):
    """Labels at random: smooth mixtures of the colours, each on about a tenth of the pixels."""

    def __init__(self, labels: int, resolution: int) -> None:
        super().__init__()
        self.labels = [f"label {number}" for number in range(labels)]
        self.categories = ["random"] * labels
        self.resolution = resolution
        self.register_buffer("mixture", torch.randn(labels, 3, 3, 3))

    def segment(self, images: Tensor) -> Tensor:
        """Return label maps (B, L, resolution, resolution) bool of images (B, 3, R, R)."""
        values = F.conv2d(F.interpolate(images, 16, mode="bilinear"), self.mixture, padding=1)
        values = F.interpolate(values, self.resolution, mode="bilinear")
        std, mean = torch.std_mean(values, (2, 3), keepdim=True)
        return values > mean + 1.28 * std  # beyond this lies a tenth of a bell curve


def loop(samples: Samples, thresholds: Tensor, number: int) -> Tensor:
    """Count the pixels (L, U) of the first ``number`` images where labels meet units above ``thresholds`` (U,)."""
    both = torch.zeros(samples.maps.labels, len(thresholds), dtype=torch.long, device=thresholds.device)
    for sample in range(number):
        values = upsampled(samples.activations[LAYER][sample : sample + 1].to(thresholds.device), samples.maps.size)
        on = values[0] > thresholds[:, None, None]
        maps = samples.maps.images(sample, sample + 1)[0].unflatten(1, samples.maps.size)
        for label in range(len(maps)):
            if maps[label].any():
                both[label] += (on & maps[label]).int().flatten(1).sum(1)
    return both


def peak_mb(device: str) -> float:
    """Return the largest memory so far in MB: of the process, or what tensors took on ``device`` when it is a GPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return kilobytes * 1024 / 1e6


def measure(images: int, units: int, labels: int, resolution: int, part: int, few: int, device: str) -> list[Row]:
    """Measure one device; ``part`` units for thresholds and ``few`` images of the loop are scaled to all."""
    torch.manual_seed(0)
    generator = ProganGenerator(512, [units, units]).to(device).eval()
    segmenter = Blobs(labels, resolution).to(device)
    before = peak_mb(device)
    table = latents(images, 512)
    samples, made = timed(lambda: collect(generator, segmenter, table, [LAYER]), device)
    assert isinstance(samples, Samples)
    note = f"peak {peak_mb(device):.0f} MB, {before:.0f} MB before"
    rows = [Row(f"generate, segment, keep, {device}", made, note=note)]
    found, seconds = timed(lambda: dissect_samples(samples, 0.005, no_label=False), device)
    thresholds = found.layers[LAYER].thresholds.to(device)
    _, straight = timed(lambda: loop(samples, thresholds, few), device)
    sizes = f"{images} x {units} x {labels}, {resolution} x {resolution} pixels"
    note = f"{sizes}; peak {peak_mb(device):.0f} MB; loop scaled from {few} images"
    rows.append(Row(f"thresholds at 0.005, IoU, {device}", seconds, straight * images / few, note=note))
    some = Samples(samples.labels, samples.categories, samples.maps, {LAYER: samples.activations[LAYER][:, :part]})
    _, chosen = timed(lambda: select_thresholds(some, LAYER, no_label=False), device)
    note = f"scaled from {part} units ({chosen:.1f} s); peak {peak_mb(device):.0f} MB"
    rows.append(Row(f"thresholds by the iqr rule, {device}", chosen * units / part, note=note))
    return rows


def main() -> None:
    """Measure and print."""
    sizes = options(
        __doc__,
        {
            "images": (200, "images"),
            "units": (512, "units of the dissected layer"),
            "labels": (250, "labels"),
            "resolution": (64, "height and width of the label maps, pixels"),
            "iqr_units": (4, "units that the 'iqr' rule is measured on"),
            "loop_images": (2, "images that the loop is measured on"),
        },
    )
    for device in devices():
        numbers = sizes.images, sizes.units, sizes.labels, sizes.resolution
        with torch.no_grad():
            rows = measure(*numbers, min(sizes.iqr_units, sizes.units), min(sizes.loop_images, sizes.images), device)
        print_table(f"dissection on {device}, {sizes.threads} threads", rows)


if __name__ == "__main__":
    main()
