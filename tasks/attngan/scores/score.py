"""Measure generated images with captions, whoever generated them: ``python run.py -f attngan/score.yaml``.

Three questions, each with its protocol and with what real images reach: are they like real ones (FID, KID, precision,
recall, inception score), do they fit their captions (R-precision by several judges), and are the objects there that the
captions ask for (attribute accuracy, where scenes are known)?

Shape letters: B images of a batch, N of a set, R resolution, D features.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import config
from common import distributed
from common.errors import UserError
from common.files import write_whole
from config import Deferred
from config.limits import BatchSize, Threads
from datasets.loading.rows import report_problems
from datasets.text_image.dataset import CaptionedImages
from datasets.world.language.phrases import says
from engine.context import Context
from engine.logs import progress, say
from engine.run_folder import RunFolder, RunSettings
from evaluation.attribute_accuracy import ATTRIBUTES, AttributeAccuracy, attribute_accuracy
from evaluation.frechet import FeatureNetwork, features_of
from evaluation.image_metrics import BIRDS_NOTE, ImageMetrics, MetricSettings, check_enough_images, image_metrics
from evaluation.r_precision import Pairs, RPrecisionSettings, Verdict, check_enough, derangement, verdict
from evaluation.report.image_scores import (
    UNABLE,
    ShownImage,
    Table,
    judges_table,
    metrics_table,
    objects_table,
    shown_images_html,
)
from models.segmenter.file import SHIPPED, load_segmenter
from models.segmenter.network import AttributeSegmenter
from models.segmenter.objects import describe
from tasks.attngan.scores.judge import Judge, load_judges
from tasks.attngan.scores.samples import Objects, Samples, generated_samples, origin, read_objects, real_samples
from tasks.attngan.trained import TextImageSource
from tasks.results import results_folder, write_results
from tasks.results_page import renew_tables

log = logging.getLogger(__name__)
FIGURES = "figures.json"
SHOWN = 12  # images in the report
SAID = ("size", "colour", "material", "shape")  # of an object that was found, in the order of words
TRIED = 4  # images of each set in a dry run
Images = Annotated[Callable[..., CaptionedImages], Deferred("train", "on_error")]


class Looking(NamedTuple):
    """The networks that look at images."""

    features: Mapping[str, FeatureNetwork]
    judges: Sequence[Judge]
    segmenter: AttributeSegmenter | None
    device: torch.device


class Seen(NamedTuple):
    """What they see in a set of images."""

    features: dict[str, np.ndarray]  # (N, D) of each feature network
    embeddings: dict[str, np.ndarray]  # (N, D) of each judge
    objects: list[Objects]  # of each image; empty without a segmenter
    scaled: int  # number of images that had another resolution


class Both(NamedTuple):
    """The same of both sets of images."""

    real: Any
    generated: Any


class Scores(NamedTuple):
    """Everything that was measured."""

    metrics: dict[str, ImageMetrics]  # by feature network
    verdicts: dict[str, Verdict]  # by judge
    objects: dict[str, AttributeAccuracy]  # of generated images, real ones, and images of other captions


def score(
    generated: Path,
    real: Images,
    context: Context,
    features: dict[str, FeatureNetwork | None] | None = None,
    metrics: MetricSettings = MetricSettings(),  # noqa: B008  never changed
    judges: dict[str, TextImageSource | None] | None = None,
    r_precision: RPrecisionSettings = RPrecisionSettings(),  # noqa: B008  never changed
    scenes: Path | None = None,
    segmenter: Path = SHIPPED,
    batch_size: BatchSize = 32,
    threads: Threads = 4,
    page: Path | None = None,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Measure generated images and write metrics, their protocols and a report with some of the images.

    Args:
        generated: a list of images with captions (``.json``), a folder of images with a text beside each, or of images
            named for the real ones (``NAME_s-1.png``).
        real: dataset that they are compared with; its largest resolution is that of the comparison.
        context: given by run.py.
        features: networks by whose features images are compared, by name; one that classifies also gives an
            inception score. None of them leaves it out.
        metrics: numbers on which these figures depend.
        judges: matching models that choose the caption of an image, by name, such as ``same``, which trained the
            generator, and ``independent``. None of them leaves it out.
        r_precision: numbers on which their figures depend.
        scenes: the objects that the real images show, such as ``scenes/test.json`` of a captioned world; generated
            images are named for real ones.
        segmenter: weights (``.safetensors``) of the segmenter that finds objects; matters with ``scenes``.
        batch_size: images at a time.
        threads: that read images.
        page: of the documentation, such as docs/results/NAME.md, in which the tables of this run are renewed as well.
        run: folder of all results.

    Raises:
        UserError: there is nothing to measure, images or weights are missing or do not fit each other, or there are too
            few images.
    """
    networks = {name: network for name, network in (features or {}).items() if network is not None}
    sources = {name: source for name, source in (judges or {}).items() if source is not None}
    if not (networks or sources or scenes):
        raise UserError("features, judges and scenes are empty, so that there is nothing to measure; give one of them")
    dataset = real(train=False, on_error="error")
    sets = Both(real_samples(dataset), generated_samples(generated, dataset))
    if networks:
        check_enough_images(len(sets.generated), len(sets.real), metrics)
    for samples in sets if sources else ():
        check_enough(samples.classes, r_precision)
    device = distributed.pick_device()
    asked = None if scenes is None else _asked(scenes, sets)
    looking = Looking(
        {name: _ready(network, device) for name, network in networks.items()},
        load_judges(sources, device),
        None if scenes is None else load_segmenter(segmenter).to(device),
        device,
    )
    with results_folder(context, run) as folder:
        if context.dry_run:
            _try(looking, sets)
            return
        seen = _look_at_both(looking, sets, batch_size, threads, dataset.resolutions[-1])
        note = BIRDS_NOTE if dataset.content.boxes is not None else ""
        scores = Scores(
            _metrics(looking.features, seen, dataset.resolutions[-1], metrics, note),
            {judge.name: _verdict(judge, sets, seen, r_precision) for judge in looking.judges},
            {} if asked is None else _objects(asked, seen, r_precision.seed),
        )
        digests = {judge.name: judge.digest for judge in looking.judges}
        tables = _tables(scores, sets, seen, dataset)
        _finish(folder, context, scores, tables, _shown_images(sets, seen), digests)
        if page is not None:
            renew_tables(page, tables, context, folder)


def _look_at_both(looking: Looking, sets: Both, batch_size: int, threads: int, resolution: int) -> Both:
    """Show both sets of images to every network, and warn where generated ones are scaled to ``resolution``."""
    seen = {}
    for name, samples in sets._asdict().items():
        batches = samples.batches(batch_size, threads)
        seen[name] = look(looking, batches, -(-len(samples) // batch_size), f"{name} images")
    scaled = seen["generated"].scaled
    if scaled:
        log.warning(
            "%d of %d generated images are scaled to %d pixels: figures hold for what they look like then; "
            "real.resolutions says the resolution of the comparison",
            scaled, len(sets.generated), resolution,
        )  # fmt: skip
    return Both(**seen)


@torch.inference_mode()
def look(looking: Looking, batches: Iterable[tuple[Tensor, int]], steps: int, what: str) -> Seen:
    """Show images to every network, batch by batch (B, 3, R, R) uint8, with a progress bar of ``steps``."""
    features, embeddings = defaultdict(list), defaultdict(list)
    objects: list[Objects] = []
    scaled = 0
    for images, part in progress(batches, steps, what):
        scaled += part
        shown = images.to(looking.device)
        for name, network in looking.features.items():
            features[name].append(features_of([shown], network))
        for judge in looking.judges:
            embeddings[judge.name].append(judge.images(shown))
        if looking.segmenter is not None:
            found = describe(looking.segmenter, shown.float().div(127.5).sub(1))
            objects += [[item.attributes for item in one] for one in found]
    joined = ({name: np.concatenate(rows) for name, rows in part.items()} for part in (features, embeddings))
    return Seen(*joined, objects, scaled)


def _ready(network: FeatureNetwork, device: torch.device) -> FeatureNetwork:
    return network.to(device).eval() if isinstance(network, nn.Module) else network


def _try(looking: Looking, sets: Both) -> None:
    """Look at a few images of each set, as a dry run does."""
    for samples in sets:
        seen = look(looking, samples.batches(TRIED, 1, range(min(TRIED, len(samples)))), 1, samples.source.name)
        for judge in looking.judges:
            judge.sentences(samples.captions[:TRIED])
        shapes = {name: rows.shape for name, rows in (seen.features | seen.embeddings).items()}
        log.info("dry run: %d images of %s, features %s", len(samples), samples.source, shapes)


def _metrics(
    networks: Mapping[str, FeatureNetwork], seen: Both, resolution: int, settings: MetricSettings, note: str
) -> dict[str, ImageMetrics]:
    """Return the figures of each feature network."""
    pairs = {name: (seen.generated.features[name], seen.real.features[name]) for name in networks}
    return {
        name: image_metrics(*pairs[name], network, resolution, settings, note) for name, network in networks.items()
    }


def _verdict(judge: Judge, sets: Both, seen: Both, settings: RPrecisionSettings) -> Verdict:
    """Let one judge say how well generated and real images fit their captions, and warn where it cannot."""
    real, generated = (
        Pairs(judge.sentences(samples.captions), one.embeddings[judge.name], samples.classes)
        for samples, one in zip(sets, seen, strict=True)
    )
    found = verdict(generated, real, settings)
    if not found.able:
        log.warning(
            "the judge %s %s: it finds %.1f %% of the captions of real images, and %.1f %% of permuted ones",
            judge.name, UNABLE, 100 * found.real.mean, 100 * found.permuted.mean,
        )  # fmt: skip
    return found


def _asked(scenes: Path, sets: Both) -> Both:
    """Return the objects that the captions of each set ask for, with the attributes that they have words for."""
    known = read_objects(scenes)
    return Both(*(_asked_of(samples, known, scenes) for samples in sets))


def _asked_of(samples: Samples, known: Mapping[str, Objects], scenes: Path) -> list[Objects]:
    origins = [origin(name, known) for name in samples.names]
    strange = [name for name, one in zip(samples.names, origins, strict=True) if one is None]
    report_problems(
        samples.source,
        (f"{name}: no image of {scenes} has this name" for name in strange),
        f"expected images named for those of the scenes, such as {next(iter(known))}; give the scenes of this split",
    )
    objects = (known[one] for one in origins if one is not None)
    return [
        [asked for item in scene if (asked := {name: item[name] for name in item if says(caption, name, item[name])})]
        for scene, caption in zip(objects, samples.captions, strict=True)
    ]


def _objects(asked: Both, seen: Both, seed: int) -> dict[str, AttributeAccuracy]:
    """Compare the objects of generated images, of real ones, and of generated ones with captions of others."""
    generated, real = seen.generated.objects, seen.real.objects
    moved = [generated[row] for row in derangement(len(generated), seed)]
    return {
        "generated": attribute_accuracy(generated, asked.generated),
        "real images": attribute_accuracy(real, asked.real),
        "permuted captions": attribute_accuracy(moved, asked.generated),
    }


def _tables(scores: Scores, sets: Both, seen: Both, dataset: CaptionedImages) -> list[Table]:
    """Return everything as tables, the images first."""
    rows = [
        (name, str(len(samples)), str(len(np.unique(samples.classes))), str(one.scaled), config.short(samples.source))
        for (name, samples), one in zip(sets._asdict().items(), seen, strict=True)
    ]
    resolution = dataset.resolutions[-1]
    protocol = (
        f"{resolution} x {resolution} pixels; real images are the middle of {int(resolution * dataset.margin)} pixels "
        "(bilinear), generated ones of another size are scaled (bilinear), and what is not square is cut"
    )
    tables = [Table("Images", protocol, ("set", "images", "classes", "scaled", "from"), rows)]
    tables += [metrics_table(name, found) for name, found in scores.metrics.items()]
    if scores.verdicts:
        tables.append(judges_table(scores.verdicts))
    if scores.objects:
        generated = scores.objects["generated"]
        counted = ", ".join(f"{name} of {count}" for name, count in generated.asked.items() if name in ATTRIBUTES)
        protocol = f"found by a segmenter in {generated.images} generated images, objects asked for with {counted}"
        tables.append(objects_table(scores.objects, protocol))
    return tables


def _shown_images(sets: Both, seen: Both) -> list[ShownImage]:
    """Return some generated images with the real ones that they are named for, and what was found in them."""
    rows = {name: row for row, name in enumerate(sets.real.names)}
    made, objects = sets.generated, seen.generated.objects
    images = []
    for row in np.unique(np.linspace(0, len(made) - 1, min(SHOWN, len(made))).astype(int)).tolist():
        named = origin(made.names[row], rows)
        real = None if named is None else _shown(sets.real.read(rows[named])[0])
        found = ", ".join(" ".join(item[name] for name in SAID) for item in objects[row]) if objects else ""
        note = f"found: {found or 'nothing'}" if objects else ""
        images.append(ShownImage(made.captions[row], _shown(made.read(row)[0]), real, note))
    return images


def _shown(image: Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).numpy()


def _finish(
    folder: RunFolder,
    context: Context,
    scores: Scores,
    tables: Sequence[Table],
    images: Sequence[ShownImage],
    weights: Mapping[str, str],
) -> None:
    """Write metrics.json, figures.json, in which each figure has its protocol, and report.html; print the tables."""
    figures = {
        "images": {name: found.as_dict() for name, found in scores.metrics.items()},
        "judges": {name: {"weights": weights[name], **found.as_dict()} for name, found in scores.verdicts.items()},
        "objects": {name: asdict(found) for name, found in scores.objects.items()},
        "tables": [asdict(table) for table in tables],
    }
    write_whole(folder.path / FIGURES, (json.dumps(figures, indent=1) + "\n").encode())
    sections = [(table.heading, table.html()) for table in tables]
    sections.append(("Generated images", shown_images_html(images)))
    write_results(folder, context, "generated images", flat(scores), sections)
    for table in tables:
        say(table.text())


def flat(scores: Scores) -> dict[str, float]:
    """Return every figure by name; without those of a judge that cannot distinguish true pairs from permuted ones."""
    metrics = {}
    for name, found in scores.metrics.items():
        for key, one in found.figures.items():
            metrics[f"{key}/{name}"] = one.value
            metrics |= {} if one.std is None else {f"{key}_std/{name}": one.std}
    for name, found in scores.verdicts.items():
        metrics |= {f"r_precision_real/{name}": found.real.mean, f"r_precision_permuted/{name}": found.permuted.mean}
        if found.able:
            metrics |= {f"r_precision/{name}": found.generated.mean, f"r_precision_std/{name}": found.generated.std}
    for name, found in scores.objects.items():
        metrics |= {f"objects_{key}/{name.replace(' ', '_')}": value for key, value in found.metrics().items()}
    return metrics
