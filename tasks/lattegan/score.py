"""Score generated dialogues by the objects that a localiser finds in them, whoever generated them.

``python run.py -f lattegan/score.yaml generated=FOLDER`` reads a folder in the layout of GeNeVA-GAN and LatteGAN
(``<scene>/<turn>.png`` beside ``<scene>_gt/<turn>.png``). Published numbers follow different protocols, so each is
named: means over all turns or last turns, against the detector's reading of the true images (as published by both) or
against the true labels. GeNeVA-GAN's paper keeps last turns only (``-inference_save_last_only``); LatteGAN has AP, AR
and F1 of all turns and RSIM of last ones, both against the detector.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from common import distributed
from common.errors import UserError
from common.files import write_whole
from config.limits import BatchSize, Threads
from datasets.dialogue.generated_folder import GeneratedScene, read_scenes, read_texts
from datasets.dialogue.records import DialogueFile
from engine.context import Context
from engine.run_folder import RunSettings
from evaluation.object_scores import SCORES, Objects, confusion, scores_of_images, summarise
from evaluation.report.image_scores import Table
from evaluation.report.localizer import classes_table, scores_table
from evaluation.report.similarity_plots import confusions, densities, figure_html, joint, png
from models.object_localizer import ObjectLocalizer
from tasks.results import results_folder, write_results
from tasks.results_page import renew_tables

DETECTOR, LABELS = "detector", "labels"
PLOTTED = ("jaccard", "f1", "rsim")
LOG = "scenes.txt"


class _Reading(NamedTuple):
    """What is known of N generated images, scene by scene."""

    found: Objects  # in them
    truth: Objects  # in the true images, as the localiser reads these
    labels: Objects | None
    last: np.ndarray  # (N,) bool, the last image of each scene
    distances: np.ndarray  # (N,) mean absolute difference to the true image, of pixels in 0-1
    places: list[tuple[str, int, str]]  # scene, turn and instruction of each


def score(
    generated: Path,
    localizer: ObjectLocalizer,
    context: Context,
    dialogues: Path | None = None,
    batch_size: BatchSize = 32,
    threads: Threads | None = None,
    page: Path | None = None,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Write six scores of all turns and of last turns, with plots of them, and what was found in each image.

    ``metrics.json``, ``report.html``, ``confusion_{detector,labels}.png`` and ``scenes.txt``, a line an image.

    Args:
        generated: folder of generated and true images.
        localizer: reads both; published.lattegan.localizer.load for a published one.
        context: given by run.py.
        dialogues: HDF5 of the dialogues, for the true labels; None leaves these scores out.
        batch_size: images at once.
        threads: of torch; all cores when None.
        page: of the documentation, such as docs/results/NAME.md, in which the six scores are renewed as well.
        run: folder of the results.

    Raises:
        UserError: the folder does not fit its layout, the localiser, or the dialogues.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    device = distributed.pick_device()
    localizer = localizer.to(device).eval()
    file = None if dialogues is None else DialogueFile(dialogues)
    if file is not None and (file.num_objects, file.num_coords) != (localizer.num_objects, localizer.num_coords):
        raise UserError(
            f"dialogues {file.path} have {file.num_objects} classes with {file.num_coords} coordinates, the localiser "
            f"{localizer.num_objects} with {localizer.num_coords}; expected those of one data set"
        )
    scenes = read_scenes(generated)
    if context.dry_run:
        scenes = (scene for _, scene in zip(range(2), scenes, strict=False))
    seen = _read(scenes, localizer, file, batch_size, generated)
    classes = file.classes if file is not None else [f"object {kind}" for kind in range(localizer.num_objects)]
    against = {DETECTOR: seen.truth} | ({} if seen.labels is None else {LABELS: seen.labels})
    by_image = {who: scores_of_images(seen.found, other) for who, other in against.items()}
    metrics = {
        f"{name}_{who}": value
        for who, scores in by_image.items()
        for name, value in summarise(scores, seen.last).items()
    }
    if seen.labels is not None:  # how far the detector itself is to be trusted
        reference = summarise(scores_of_images(seen.truth, seen.labels), seen.last)
        metrics |= {f"reference_{name}_all": reference[f"{name}_all"] for name in SCORES}
    metrics |= {"images": float(len(seen.last)), "scenes": float(seen.last.sum())}
    metrics["image_distance"] = float(seen.distances.mean())
    sections = [("Six scores, two means, two truths", scores_table(metrics, SCORES, ("all", "last"), tuple(against)))]
    cells = {who: confusion(seen.found, other) for who, other in against.items()}
    for who in against:
        sections.append((f"Images against the {who}", _plots(by_image[who], seen.distances)))
        sections.append((f"Classes against the {who}", classes_table(classes, cells[who])))
    with results_folder(context, run) as folder:
        for who, own in cells.items():
            write_whole(folder.path / f"confusion_{who}.png", png(confusions(classes, own)))
        lines = _told(seen, classes, tuple(against)[-1], by_image)
        write_whole(folder.path / LOG, "".join(f"{line}\n" for line in lines).encode())
        write_results(folder, context, f"objects in {len(seen.last)} generated images", metrics, sections)
        if page is not None and not context.dry_run:
            renew_tables(page, [_table(metrics, tuple(against))], context, folder)


def _plots(scores: dict[str, np.ndarray], distances: np.ndarray) -> str:
    """Return plots of the scores of images and of their distances (N,) to the true ones."""
    names = "mean difference of pixels to the true image", "RSIM"
    return figure_html(
        densities({name: scores[name] for name in PLOTTED}, "score of an image"), "How the scores of images lie."
    ) + figure_html(joint(distances, scores["rsim"], names), "Pixels and relations: a cross is an image.")


def _told(
    seen: _Reading, classes: Sequence[str], who: str, by_image: dict[str, dict[str, np.ndarray]]
) -> Iterator[str]:
    """Yield a line about each image: instruction, what was found rightly, missed and found wrongly, two scores."""
    truth = seen.truth if who == DETECTOR else seen.labels
    parts = {
        "found": seen.found.there & truth.there,
        "missed": truth.there & ~seen.found.there,
        "wrong": seen.found.there & ~truth.there,
    }
    scores = by_image[who]
    for row, (scene, turn, text) in enumerate(seen.places):
        named = "; ".join(
            f"{name}: {', '.join(classes[kind] for kind in np.flatnonzero(part[row])) or '-'}"
            for name, part in parts.items()
        )
        figures = f"F1 {scores['f1'][row]:.2f} RSIM {scores['rsim'][row]:.2f}"
        yield f"{scene} {turn}: {text or '(no text)'} | {named} | {figures} against the {who}"


def _table(metrics: Mapping[str, float], against: tuple[str, ...]) -> Table:
    """Return the six scores by protocol, and beside them what the localiser reads off the true images."""
    columns = {f"{turns} turns, {who}": f"{{}}_{turns}_{who}" for who in against for turns in ("all", "last")}
    if LABELS in against:
        columns["true images, all turns, labels"] = "reference_{}_all"
    rows = [[name, *(f"{100 * metrics[column.format(name)]:.1f} %" for column in columns.values())] for name in SCORES]
    protocol = (
        f"{metrics['images']:.0f} images of {metrics['scenes']:.0f} dialogues, means over all or last turns, against "
        "the detector's reading of the true images or the true labels"
    )
    return Table("Objects in the images", protocol, ["", *columns], rows)


@torch.no_grad()
def _read(
    scenes: Iterable[GeneratedScene],
    localizer: ObjectLocalizer,
    file: DialogueFile | None,
    batch_size: int,
    folder: Path,
) -> _Reading:
    """Read generated and true images, with the labels of the latter where the dialogues are given."""
    rows = {} if file is None else {file.dialogue(row).scene_id: row for row in range(len(file))}
    parts: list[list[tuple[np.ndarray, np.ndarray]]] = [[], [], []]
    last: list[bool] = []
    distances: list[np.ndarray] = []
    places: list[tuple[str, int, str]] = []
    for scene in scenes:
        for images, kept in zip((scene.images, scene.truth), parts, strict=False):
            kept += [_seen(localizer, images[at : at + batch_size]) for at in range(0, len(images), batch_size)]
        if file is not None:
            parts[2].append(_labels(scene, file, rows))
        last += [turn == scene.turns[-1] for turn in scene.turns]
        distances.append(_distances(scene))
        texts = read_texts(folder, scene.scene_id)
        places += [(scene.scene_id, turn, texts.get(turn, "")) for turn in scene.turns]
    objects = [
        Objects(np.concatenate([one[0] for one in kept]), np.concatenate([one[1] for one in kept])) if kept else None
        for kept in parts
    ]
    return _Reading(*objects, np.array(last), np.concatenate(distances), places)


def _distances(scene: GeneratedScene) -> np.ndarray:
    """Return the mean absolute differences (L,) of pixels in 0-1, at the size of the true images."""
    size = (scene.truth.shape[2], scene.truth.shape[1])
    made = [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)) for image in scene.images]
    return np.abs(np.stack(made).astype(np.float64) - scene.truth).mean(axis=(1, 2, 3)) / 255


def _seen(localizer: ObjectLocalizer, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read images (n, H, W, 3) uint8."""
    device = next(localizer.parameters()).device
    readings = localizer(torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255)
    return readings.probabilities.cpu().numpy(), readings.locations.cpu().numpy()


def _labels(scene: GeneratedScene, file: DialogueFile, rows: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the true objects and locations of a scene's turns."""
    if scene.scene_id not in rows:
        raise UserError(f"scene {scene.scene_id} is not in {file.path}: expected the dialogues it was generated from")
    dialogue = file.dialogue(rows[scene.scene_id])
    if scene.turns[-1] >= len(dialogue.images):
        raise UserError(
            f"scene {scene.scene_id} has turn {scene.turns[-1]}, but {file.path} has {len(dialogue.images)} turns of it"
        )
    return dialogue.objects[scene.turns].astype(np.float64), dialogue.locations[scene.turns]
