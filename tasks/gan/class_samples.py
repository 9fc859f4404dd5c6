"""Generate images of classes: sheets, interpolations, an archive, and how distances change with truncation.

    python run.py -f gan/sample_classes.yaml
    python run.py -f gan/truncation_curve.yaml

As ``sample.py`` of ajbrock/BigGAN-PyTorch does (sample_sheets, sample_interps, sample_npz, sample_trunc_curves).
Shape letters: N images, R height and width in pixels, D numbers in a latent, E size of a class's embedding.
"""

import csv
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import config
from common import distributed
from common.errors import UserError
from common.files import write_whole, written_whole
from config.limits import BatchSize, Count, CountOrZero, Positive, Seed
from datasets.class_images.dataset import ClassImages
from datasets.media_files import encode_image
from engine.context import Context
from engine.logs import say
from evaluation.frechet import FeatureNetwork, features_of, to_uint8
from evaluation.image_metrics import MetricSettings, image_metrics
from evaluation.report.image_scores import Table
from gan.biggan.latents import draw
from tasks.gan.class_networks import GeneratorSource, TrainedNetwork, load_class_generator, settle
from tasks.gan.sheets import COLUMNS, drawn, shown_classes, tiled

log = logging.getLogger(__name__)
MOST_DRAWN_AGAIN = 0.05  # smallest truncation: less keeps nothing of the normal


class ClassSamplesError(UserError, ValueError):
    """What is asked for cannot be generated."""


def sample(
    model: GeneratorSource,
    output: Path,
    context: Context,
    classes: list[str] | None = None,
    columns: Count = COLUMNS,
    interpolations: CountOrZero = 8,
    midpoints: CountOrZero = 6,
    archive: CountOrZero = 0,
    truncation: Positive | None = None,
    std: Positive = 1.0,
    batch_size: BatchSize = 50,
    seed: Seed = 0,
) -> None:
    """Write samples.png, interpolations of latents, of classes and of both, and samples.npz.

    Args:
        model: the generator.
        output: folder of the files; what was there is written over.
        context: given by run.py.
        classes: names, or numbers, of the rows of the sheet; None for at most 24 of all.
        columns: samples of a class.
        interpolations: rows of each sheet of interpolations; 0 writes none.
        midpoints: images between both ends.
        archive: images of samples.npz, of classes drawn uniformly; 0 writes none. It holds ``x`` (N, 3, R, R) uint8 and
            ``y`` (N,) int64, as published.
        truncation: numbers of a latent beyond so many standard deviations are drawn again.
        std: standard deviation of latents.
        batch_size: images generated at a time.
        seed: of latents and classes.

    Raises:
        UserError: the generator is missing or has no classes, or there is no class of a name.
    """
    device = distributed.pick_device()
    trained = _of_classes(model)
    network = trained.network.to(device)
    if trained.steps is not None:
        settle(network, seed, std=std, truncation=truncation)
    rows = shown_classes(network.num_classes)
    if classes is not None:
        rows = torch.tensor([trained.number_of(name) for name in classes])
    how = {"std": std, "truncation": truncation}
    files: dict[str, Callable[[], np.ndarray]] = {}
    latents = draw(network, len(rows) * columns, seed, **how).latents
    files["samples"] = lambda: tiled(drawn(network, latents, rows.repeat_interleave(columns), device), columns)
    if interpolations:
        for name, ends in _ends(network, interpolations, seed, how).items():
            files[f"interpolation_{name}"] = lambda ends=ends: _interpolated(network, *ends, midpoints, device)
    if context.dry_run:
        log.info("dry run: %s of %d pixels, %d classes", ", ".join(files), network.resolution, network.num_classes)
        return
    for name, make in files.items():
        write_whole(output / f"{name}.png", encode_image(make(), "png"))
        say(config.short(output / f"{name}.png"))
    if archive:
        _write_archive(output / "samples.npz", network, archive, batch_size, seed, how, device)


def _of_classes(model: GeneratorSource) -> TrainedNetwork:
    trained = load_class_generator(model)
    if not trained.class_names:
        raise ClassSamplesError("model makes images without classes; give a generator of classes")
    return trained


Ends = tuple[Tensor, Tensor, Tensor, Tensor]  # latents and classes of both ends


def _ends(network: nn.Module, rows: int, seed: int, how: dict[str, float | None]) -> dict[str, Ends]:
    """Return the ends of interpolations between latents, between classes, and between both, by name."""
    one, other = (draw(network, rows, seed + offset, **how) for offset in (1, 2))
    return {
        "latents": (one.latents, one.classes, other.latents, one.classes),
        "classes": (one.latents, one.classes, one.latents, other.classes),
        "both": (one.latents, one.classes, other.latents, other.classes),
    }


@torch.no_grad()
def _interpolated(
    network: nn.Module,
    latents: Tensor,
    classes: Tensor,
    last_latents: Tensor,
    last_classes: Tensor,
    midpoints: int,
    device: torch.device,
) -> np.ndarray:
    """Return a row of images for each pair of ends, (H, W, 3) uint8; embeddings of classes are interpolated too."""
    shares = torch.linspace(0, 1, midpoints + 2)[None, :, None]
    embedded = [network.classes(one.to(device)).cpu() for one in (classes, last_classes)]
    steps = [torch.lerp(a[:, None], b[:, None], shares) for a, b in ((latents, last_latents), embedded)]
    images = drawn(network, *(one.flatten(0, 1) for one in steps), device)
    return tiled(images, midpoints + 2)


@torch.no_grad()
def _generated(
    network: nn.Module, latents: Tensor, classes: Tensor, batch_size: int, device: torch.device
) -> Iterator[Tensor]:
    """Yield images (n, 3, R, R) uint8 on the CPU."""
    for a, b in zip(latents.split(batch_size), classes.split(batch_size), strict=True):
        yield to_uint8(network(a.to(device), b.to(device))).cpu()


def _write_archive(
    path: Path,
    network: nn.Module,
    number: int,
    batch_size: int,
    seed: int,
    how: dict[str, float | None],
    device: torch.device,
) -> None:
    latents, classes = draw(network, number, seed + 3, **how)
    images = torch.cat(list(_generated(network, latents, classes, batch_size, device)))
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez(file, x=images.numpy(), y=classes.numpy())
    say(f"{config.short(path)}: {number} images")


def truncation_curve(
    model: GeneratorSource,
    real: Path,
    features: FeatureNetwork,
    output: Path,
    context: Context,
    truncations: Sequence[Positive | None] = (0.2, 0.5, 1.0, 1.5, 2.0, None),
    images: Count = 2000,
    batch_size: BatchSize = 50,
    seed: Seed = 0,
    metrics: MetricSettings = MetricSettings(),  # noqa: B008  never changed
) -> None:
    """Measure a generator at several truncations: variety against quality (arXiv:1809.11096, figure 2).

    Standing statistics are taken anew for each, where there are batch norms, as published.

    Args:
        model: the generator.
        real: folder of images with classes, whose held-out ones are compared with.
        features: network whose features are compared; of a classifier the inception score is measured too.
        output: the CSV that is written.
        context: given by run.py.
        truncations: in standard deviations; null for none.
        images: images of each truncation.
        batch_size: images generated at a time.
        seed: of latents and classes.
        metrics: numbers on which the figures depend.

    Raises:
        UserError: the generator is missing or does not fit the images, or a truncation is too small.
    """
    small = [one for one in truncations if one is not None and one < MOST_DRAWN_AGAIN]
    if small:
        raise ClassSamplesError(f"truncations: found {small[0]}, expected at least {MOST_DRAWN_AGAIN}, or null")
    device, data, trained = distributed.pick_device(), ClassImages(real, batch_size=1), _of_classes(model)
    network = trained.network.to(device)
    if network.resolution != data.size:
        raise UserError(f"model makes images of {network.resolution} pixels, {data.folder} has {data.size}")
    if context.dry_run:
        truncations, images = truncations[:1], min(images, 2 * batch_size)
    batches = data.validation_batches(batch_size, -(-images // batch_size))
    held_out = features_of((one.images for one in batches), features)
    rows = []
    for truncation in truncations:
        settle(network, seed, truncation=truncation)
        latents, _ = draw(network, images, seed, truncation=truncation)
        classes = torch.from_numpy(np.resize(data.validation_classes, images))
        made = features_of(_generated(network, latents, classes, batch_size, device), features)
        figures = image_metrics(made, held_out, features, data.size, metrics).figures
        rows.append({"truncation": truncation} | {name: one.value for name, one in figures.items()})
        log.info("%s", rows[-1])
    protocol = f"{images} generated and {len(held_out)} held-out images, {features.name}, resized {features.resize}"
    cells = [["none" if value is None else f"{value:.4g}" for value in row.values()] for row in rows]
    say(Table("Truncation", protocol, list(rows[0]), cells).text())
    if not context.dry_run:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(output, text.getvalue().encode())
        say(config.short(output))
