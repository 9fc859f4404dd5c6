"""The truth about a scene: its objects, where they are seen, and how it grows turn by turn."""

from dataclasses import asdict

import numpy as np

from datasets.world.export.iclevr import BACKGROUND, SIZE
from datasets.world.export.records import KINDS, Record, Turns
from datasets.world.render.ray_cast import render
from datasets.world.scene.objects import Scene, project


def describe(scene: Scene, instances: np.ndarray) -> Record:
    """Describe a scene and its mask (H, H), where k is the k-th object, for a record.

    Each object of ``scene`` gets ``kind`` (in `KINDS`), ``centre`` (x, y in pixels, depth), ``pixels`` (how many show
    it) and ``box`` (x, y, width, height of those); ``box`` is that of all objects together.
    """
    truth = asdict(scene)
    centres = np.round(project(scene, len(instances)), 4)
    objects = []
    for number, (thing, centre) in enumerate(zip(truth["objects"], centres, strict=True), 1):
        shown = instances == number
        kind = KINDS.index(f"{thing['shape']} {thing['colour']}")
        seen = {"kind": kind, "centre": centre.tolist(), "pixels": int(shown.sum()), "box": _box(shown)}
        objects.append({**thing, **seen})
    return {"scene": {**truth, "objects": objects}, "box": _box(instances > 0)}


def grow(scenes: list[Scene]) -> list[Turns]:
    """Render scenes object by object, as i-CLEVR shows them; return the turns of each."""
    steps = [scene.prefix(count) for scene in scenes for count in range(1, len(scene.objects) + 1)]
    images = render(steps, SIZE).image.numpy()
    background = render([Scene(())], BACKGROUND).image[0].numpy()
    turns = []
    first = 0
    for scene in scenes:
        last = first + len(scene.objects)
        turns.append(Turns(images[first:last], background, project(scene, SIZE)))
        first = last
    return turns


def _box(shown: np.ndarray) -> list[int]:
    """Return x, y, width and height of the marked pixels of a mask, zeros if there are none."""
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    if not len(rows):
        return [0, 0, 0, 0]
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y]
