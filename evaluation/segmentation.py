"""Accuracy on objects and intersection over union of attribute maps, by attribute and label."""

import torch
from torch import Tensor

from models.segmenter.labels import ATTRIBUTE_GROUPS, ATTRIBUTE_LABELS, GROUPS, label_maps


class LabelCounts:
    """Add up pixels over batches.

    ``counts`` (3, 18) float64 are pixels of each label in both maps, in either, and in the truth; ``right`` (5,) pixels
    with the right label of each group, of objects' pixels, for "ground" of all; ``pixels`` (2,) those of objects, and
    all.
    """

    def __init__(self) -> None:
        self.counts = torch.zeros(3, len(ATTRIBUTE_LABELS), dtype=torch.float64)
        self.right = torch.zeros(len(GROUPS), dtype=torch.float64)
        self.pixels = torch.zeros(2, dtype=torch.float64)

    def add(self, found: Tensor, truth: Tensor) -> None:
        """Add a batch of maps (B, 5, H, W) as `models.segmenter.labels.attribute_labels` returns them."""
        one, other = label_maps(found), label_maps(truth)
        sums = [maps.sum((0, 2, 3)).double().cpu() for maps in (one & other, one | other, other)]
        self.counts += torch.stack(sums)
        objects = truth[:, -1] > 0
        right = found == truth
        on_objects = [(right[:, row] & objects).sum() for row in range(len(ATTRIBUTE_GROUPS))]
        self.right += torch.stack([*on_objects, right[:, -1].sum()]).double().cpu()
        self.pixels += torch.tensor([objects.sum(), objects.numel()], dtype=torch.float64)

    def merge(self, other: "LabelCounts") -> None:
        """Add another rank's counts."""
        self.counts += other.counts
        self.right += other.right
        self.pixels += other.pixels

    def metrics(self) -> dict[str, float]:
        """Return ``accuracy_<group>``, ``iou_<group>``, ``object_accuracy`` and ``mean_iou``.

        Accuracies are over the true objects' pixels (of the ground, everywhere), ``iou_<group>`` is the mean over the
        labels that occur, ``object_accuracy`` the mean of the four attributes, ``mean_iou`` of all labels that occur;
        NaN where there is nothing to count.
        """
        both, either, true = self.counts
        occurs = true > 0
        iou = both / either
        found: dict[str, float] = {}
        for row, group in enumerate(GROUPS):
            pixels = self.pixels[0 if row < len(ATTRIBUTE_GROUPS) else 1]
            found[f"accuracy_{group.name}"] = float(self.right[row] / pixels)
            found[f"iou_{group.name}"] = float(iou[group.channels][occurs[group.channels]].mean())
        accuracies = [found[f"accuracy_{group.name}"] for group in ATTRIBUTE_GROUPS]
        return {"object_accuracy": sum(accuracies) / len(accuracies), "mean_iou": float(iou[occurs].mean())} | found

    def by_label(self) -> dict[str, float | None]:
        """Return each label's intersection over union, None for those that do not occur."""
        both, either, true = self.counts
        return {name: float(both[k] / either[k]) if true[k] > 0 else None for k, name in enumerate(ATTRIBUTE_LABELS)}
