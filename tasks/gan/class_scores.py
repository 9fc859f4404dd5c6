"""Measure generators, with classes or without, against real images: do they look real, and show what was asked for.

    python run.py -f gan/score_classes.yaml

* FID, KID, precision and recall by the features of networks;
* the share of images in which a segmenter is sure of every attribute of every object (system 1 learns from these);
* the share in which a classifier that learned from real images tells the class that was asked for, and each word of it.

Held-out real images are measured beside, as the best that can be reached. Shape letters: N images, S pixels.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from common import distributed
from common.errors import UserError
from config.limits import BatchSize, Chance, Count, Seed
from datasets.class_images.dataset import ClassImages
from engine.context import Context
from engine.logs import say
from engine.run_folder import RunSettings
from evaluation.frechet import FeatureNetwork, features_of, to_uint8
from evaluation.image_metrics import MetricSettings, image_metrics
from evaluation.numbers import number
from evaluation.report.image_scores import Table
from gan.latents import latents
from models.segmenter.network import AttributeSegmenter
from models.segmenter.objects import describe, least_confidence
from tasks.gan.class_networks import (
    CLASSIFIER,
    GeneratorSource,
    TrainedNetwork,
    load_class_generator,
    load_network,
    settle,
)
from tasks.results import results_folder, write_results

log = logging.getLogger(__name__)
REAL = "real images"
WANTED = ("fid", "kid", "precision", "recall")


@dataclass(frozen=True)
class Images:
    """Images of one source, and what was asked for."""

    images: Tensor  # (N, 3, S, S) uint8
    classes: Tensor | None  # (N,) int64; None where no class was asked for


def score(
    generators: Annotated[dict[str, GeneratorSource], Field(min_length=1)],
    real: Path,
    features: dict[str, FeatureNetwork],
    context: Context,
    segmenter: AttributeSegmenter | None = None,
    least: Chance = 0.7,
    classifier: Path | None = None,
    words: list[str] | None = None,
    images: Count = 2000,
    batch_size: BatchSize = 50,
    seed: Seed = 0,
    metrics: MetricSettings = MetricSettings(),  # noqa: B008  never changed
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Measure generators and write metrics.json and report.html.

    Args:
        generators: by name.
        real: folder of images with classes, whose held-out ones are compared with.
        features: networks whose features are compared, by name.
        context: given by run.py.
        segmenter: of attributes; None leaves its figure out.
        least: confidence in the least certain attribute of an image from which the segmenter is sure.
        classifier: run folder of a classifier of the same classes; None leaves its figures out.
        words: names for the words of a class's name, such as [colour, shape] of "red cube"; each is compared.
        images: images of each generator.
        batch_size: images generated at a time.
        seed: of latents of generators with classes; others take the first rows of the published table.
        metrics: numbers on which the distances depend.
        run: folder of the results.

    Raises:
        UserError: a generator is missing, or has other classes or another resolution than the real images.
    """
    if context.dry_run:
        images = min(images, 2 * batch_size)
    data = ClassImages(real, batch_size=1)
    judge = None if classifier is None else _judge(classifier, data, words)
    sources = {name: load_class_generator(source) for name, source in generators.items()}
    device = distributed.pick_device()
    for one in sources.values():
        if one.steps is not None:
            settle(one.network)
    with results_folder(context, run) as folder:
        held_out = _held_out(data, images)
        known = {name: features_of(held_out.images.split(batch_size), network) for name, network in features.items()}
        drawn = {name: _drawn(one, data, images, batch_size, seed, device, name) for name, one in sources.items()}
        found: dict[str, dict[str, float]] = {}
        for name, one in (drawn | {REAL: held_out}).items():
            rows: dict[str, float] = {}
            for key, network in features.items():
                if name == REAL:
                    continue
                own = features_of(one.images.split(batch_size), network)
                figures = image_metrics(own, known[key], network, data.size, metrics).figures
                rows |= {f"{kind}_{key}": figures[kind].value for kind in WANTED}
            if segmenter is not None:
                rows |= confident(one.images, segmenter, least)
            if judge is not None and one.classes is not None:
                rows |= agreement(one, judge, data.class_names, words or [], batch_size)
            log.info("%s: %s", name, {key: round(value, 4) for key, value in rows.items()})
            found[name] = rows
        table = _table(found, images, len(held_out.images), data.size, features)
        say(table.text())
        flat = {f"{name}/{key}": value for name, rows in found.items() for key, value in rows.items()}
        write_results(folder, context, table.heading, flat, [(table.heading, table.html())])


def _judge(run: Path, data: ClassImages, words: Sequence[str] | None) -> nn.Module:
    judge = load_network(run, CLASSIFIER)
    if judge.class_names != data.class_names:
        raise UserError(f"classifier: {run} tells other classes than those of {data.folder}; train one on these images")
    odd = [name for name in data.class_names if len(name.split()) != len(words or name.split())]
    if odd:
        raise UserError(f"words: found {words}, but a class is named {odd[0]!r}; give a name for each of its words")
    return judge.network


def _held_out(data: ClassImages, number: int) -> Images:
    rows = slice(0, number)
    images = torch.from_numpy(np.array(data.validation[rows])).permute(0, 3, 1, 2)
    return Images(images, torch.from_numpy(data.validation_classes[rows]))


@torch.no_grad()
def _drawn(
    source: TrainedNetwork, data: ClassImages, number: int, size: int, seed: int, device: torch.device, name: str
) -> Images:
    """Generate images, of the classes of the held-out ones where the generator takes classes."""
    network = source.network.to(device)
    if network.resolution != data.size:
        raise UserError(f"generators.{name} makes images of {network.resolution} pixels, {data.folder} has {data.size}")
    if not source.class_names:
        made = [to_uint8(network(part.to(device))).cpu() for part in latents(number, network.latent_dim).split(size)]
        return Images(torch.cat(made), None)
    if source.class_names != data.class_names:
        raise UserError(f"generators.{name} has other classes than {data.folder}")
    classes = torch.from_numpy(np.resize(data.validation_classes, number))
    table = torch.randn(number, network.latent_dim, generator=torch.Generator().manual_seed(seed))
    parts = zip(table.split(size), classes.split(size), strict=True)
    return Images(torch.cat([to_uint8(network(a.to(device), b.to(device))).cpu() for a, b in parts]), classes)


def confident(images: Tensor, segmenter: AttributeSegmenter, least: float) -> dict[str, float]:
    """Return the share of images (N, 3, S, S) uint8 of whose objects a segmenter is sure, and of those without any."""
    found = [objects for part in images.split(100) for objects in describe(segmenter, part.float() / 127.5 - 1)]
    sure = [least_confidence(objects) >= least for objects in found]
    return {"segmenter_sure": float(np.mean(sure)), "no_object": float(np.mean([not objects for objects in found]))}


@torch.no_grad()
def agreement(
    one: Images, judge: nn.Module, names: Sequence[str], words: Sequence[str], batch_size: int
) -> dict[str, float]:
    """Return the share of images whose class, and each word of its name, is told as asked for."""
    parts = one.images.split(batch_size)
    told = torch.cat([judge(part.float() / 127.5 - 1).argmax(dim=1) for part in parts])
    found = {"class_agrees": float((told == one.classes).double().mean())}
    pairs = [(names[a].split(), names[b].split()) for a, b in zip(told.tolist(), one.classes.tolist(), strict=True)]
    for place, word in enumerate(words):
        found[f"{word}_agrees"] = float(np.mean([a[place] == b[place] for a, b in pairs]))
    return found


def _table(
    found: Mapping[str, Mapping[str, float]], images: int, real: int, size: int, features: Mapping[str, FeatureNetwork]
) -> Table:
    columns = list(dict.fromkeys(key for rows in found.values() for key in rows))
    networks = "; ".join(f"{key}: {network.name}, resized {network.resize}" for key, network in features.items())
    protocol = f"{images} generated and {real} held-out real images of {size} pixels; {networks}"
    rows = [(name, *_cells(own, columns)) for name, own in found.items()]
    return Table("Generators of classes", protocol, ("", *columns), rows)


def _cells(own: Mapping[str, float], columns: Sequence[str]) -> Iterator[str]:
    for key in columns:
        yield number(own[key]) if key in own else "–"
