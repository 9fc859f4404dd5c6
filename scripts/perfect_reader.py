"""Say how similar the relations (RSIM) of two scenes are that the same instructions describe.

    python -m scripts.perfect_reader data/world_iclevr/iclevr/clevr_train.h5

Instructions leave open where exactly an object stands. This is the RSIM of somebody who draws every object that is
asked for, at the positions of another dialogue whose instructions differ in colours and shapes alone: what follows the
instructions cannot be expected to be much better, however good its images are.
"""

import argparse
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np

from datasets.dialogue.records import DialogueFile
from evaluation.object_scores import relation_agreement


def perfect_reader(file: DialogueFile) -> list[float]:
    """Return the mean RSIM after the first turn, the second and so on, over pairs of dialogues that are said alike.

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
    turns = max(len(said) for said in alike)
    values: list[list[float]] = [[] for _ in range(turns)]
    for group in alike.values():
        for one, other in pairwise(group):
            for turn in range(len(one)):
                both = np.ones((1, turn + 1), bool)
                values[turn].append(float(relation_agreement(both, one[None, : turn + 1], other[None, : turn + 1])[0]))
    return [float(np.mean(turn)) if turn else float("nan") for turn in values]


def main() -> None:
    """Read the command line and print the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dialogues", type=Path)
    means = perfect_reader(DialogueFile(parser.parse_args().dialogues))
    print("RSIM after each turn: " + ", ".join(f"{mean:.3f}" for mean in means) + f"; all turns: {np.mean(means):.3f}")


if __name__ == "__main__":
    main()
