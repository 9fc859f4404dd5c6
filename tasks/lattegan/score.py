"""Score generated dialogues by the objects that a localiser finds in them, whoever generated them.

``python run.py -f lattegan/score.yaml generated=FOLDER`` reads a folder in the layout of GeNeVA-GAN and LatteGAN
(``<scene>/<turn>.png`` beside ``<scene>_gt/<turn>.png``). Published numbers follow different protocols, so each is
named: means over all turns or last turns, against the detector's reading of the true images (as published by both) or
against the true labels. GeNeVA-GAN's paper keeps last turns only (``-inference_save_last_only``); LatteGAN has AP, AR
and F1 of all turns and RSIM of last ones, both against the detector.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch

from common import distributed
from common.errors import UserError
from config.limits import BatchSize, Threads
from datasets.dialogue.generated_folder import GeneratedScene, read_scenes
from datasets.dialogue.records import DialogueFile
from engine.context import Context
from engine.run_folder import RunSettings
from evaluation.object_scores import SCORES, Objects, confusion, scores_of_images, summarise
from evaluation.report.image_scores import Table
from evaluation.report.localizer import classes_table, scores_table
from models.object_localizer import ObjectLocalizer
from tasks.results import results_folder, write_results
from tasks.results_page import renew_tables

DETECTOR, LABELS = "detector", "labels"


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
    """Write ``metrics.json`` and ``report.html`` with six scores of all turns and of last turns.

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
    found, truth, labels, last = _read(scenes, localizer, file, batch_size)
    classes = file.classes if file is not None else [f"object {kind}" for kind in range(localizer.num_objects)]
    against = {DETECTOR: truth} | ({} if labels is None else {LABELS: labels})
    metrics = {
        f"{name}_{who}": value
        for who, other in against.items()
        for name, value in summarise(scores_of_images(found, other), last).items()
    }
    if labels is not None:  # how far the detector itself is to be trusted
        reference = summarise(scores_of_images(truth, labels), last)
        metrics |= {f"reference_{name}_all": reference[f"{name}_all"] for name in SCORES}
    metrics |= {"images": float(len(last)), "scenes": float(last.sum())}
    sections = [("Six scores, two means, two truths", scores_table(metrics, SCORES, ("all", "last"), tuple(against)))]
    for who, other in against.items():
        sections.append((f"Classes against the {who}", classes_table(classes, confusion(found, other))))
    with results_folder(context, run) as folder:
        write_results(folder, context, f"objects in {len(last)} generated images", metrics, sections)
        if page is not None and not context.dry_run:
            renew_tables(page, [_table(metrics, tuple(against))], context, folder)


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
    scenes: Iterable[GeneratedScene], localizer: ObjectLocalizer, file: DialogueFile | None, batch_size: int
) -> tuple[Objects, Objects, Objects | None, np.ndarray]:
    """Return the objects of generated images, of true ones, their labels, and which images end a scene."""
    rows = {} if file is None else {file.dialogue(row).scene_id: row for row in range(len(file))}
    parts: list[list[tuple[np.ndarray, np.ndarray]]] = [[], [], []]
    last: list[bool] = []
    for scene in scenes:
        for images, kept in zip((scene.images, scene.truth), parts, strict=False):
            kept += [_seen(localizer, images[at : at + batch_size]) for at in range(0, len(images), batch_size)]
        if file is not None:
            parts[2].append(_labels(scene, file, rows))
        last += [turn == scene.turns[-1] for turn in scene.turns]
    objects = [
        Objects(np.concatenate([one[0] for one in kept]), np.concatenate([one[1] for one in kept])) if kept else None
        for kept in parts
    ]
    return objects[0], objects[1], objects[2], np.array(last)


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
