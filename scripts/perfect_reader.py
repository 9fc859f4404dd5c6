"""Say how similar the relations (RSIM) of scenes are that the same instructions describe.

    python -m scripts.perfect_reader data/world_iclevr/iclevr/clevr_train.h5

Instructions leave open where exactly an object stands. Two figures of somebody who draws every object that is asked
for: at the positions of another dialogue whose instructions differ in colours and shapes alone, and at the medians of
all such dialogues' positions but the scene's own. Neither is a bound: positions that agree with more scenes can exist.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from datasets.dialogue.records import DialogueFile
from evaluation.object_scores import relation_agreement


def said_alike(file: DialogueFile) -> list[np.ndarray]:
    """Return positions (n, L, C) of the L objects of each group of n > 1 dialogues that are said alike.

    Dialogues in which two objects share a class are left out: one label cannot hold both.
    """
    kinds = {word for name in file.classes for word in name.split()}
    alike = defaultdict(list)
    for row in range(len(file)):
        found = file.dialogue(row)
        order = [np.flatnonzero(now & ~before) for now, before in zip(found.objects[1:], found.objects, strict=False)]
        order = [np.flatnonzero(found.objects[0]), *order]
        if all(len(added) == 1 for added in order):
            said = tuple(" ".join(word for word in text.split() if word not in kinds) for text in found.texts)
            alike[said].append(found.locations[-1][np.concatenate(order)])
    return [np.stack(group) for group in alike.values() if len(group) > 1]


def pairs(groups: list[np.ndarray]) -> list[float]:
    """Return the mean RSIM after the first turn, the second and so on, over pairs of scenes that are said alike."""
    return _means([(group[:-1], group[1:]) for group in groups])


def median_layout(groups: list[np.ndarray]) -> list[float]:
    """Return the mean RSIM after each turn of the medians of all scenes that are said alike but one, with that one."""
    return _means(
        [
            (np.stack([np.median(np.delete(group, row, axis=0), axis=0) for row in range(len(group))]), group)
            for group in groups
        ]
    )


def _means(scenes: list[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    values = []
    for turn in range(1, max(drawn.shape[1] for drawn, _ in scenes) + 1):
        there = [(drawn[:, :turn], true[:, :turn]) for drawn, true in scenes if drawn.shape[1] >= turn]
        found = [relation_agreement(np.ones(drawn.shape[:2], bool), drawn, true) for drawn, true in there]
        values.append(float(np.concatenate(found).mean()))
    return values


def main() -> None:
    """Read the command line and print both figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dialogues", type=Path)
    groups = said_alike(DialogueFile(parser.parse_args().dialogues))
    if not groups:
        sys.exit("no two dialogues of the file are said alike, expected more dialogues")
    for what, means in (("pairs", pairs(groups)), ("medians of the others", median_layout(groups))):
        each = ", ".join(f"{mean:.3f}" for mean in means)
        print(f"RSIM of {what}, after each turn: {each}; all turns: {np.mean(means):.3f}")


if __name__ == "__main__":
    main()
