"""Objects that a segmenter finds in images: GAN samples described without a person.

"Learning Words by Drawing Images" (CVPR 2019) made its synthetic captions from such descriptions. An object is a
connected region of one colour; its attributes are those of most of its pixels, each weighed by its probability. Two
objects of one colour that touch are seen as one, mostly with low confidence. `datasets.world.scene.seen.seen_scene`
turns the objects into a scene, for which captions can be written.

Shape letters: B images, L = 18 labels, H, W pixels of the segmenter's maps.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.segmenter.labels import ATTRIBUTE_GROUPS, GROUPS, attribute_labels, check_scores
from models.segmenter.network import AttributeSegmenter

SMALLEST = 0.005  # of the image's pixels: less is noise (20 of 64 x 64)
AT_ONCE = 32  # images
NEIGHBOURS = np.ones((3, 3), dtype=int)
ROW = {group.name: row for row, group in enumerate(GROUPS)}
_MARGIN = 0.02  # of the image: an object nearer to the border may be cut off


class SeenObject(NamedTuple):
    """One object in an image."""

    size: str  # "large" or "small"
    material: str  # "rubber" or "metal"
    shape: str  # "cube", "sphere", "cylinder", or the published network's unused fourth
    colour: str  # one of eight
    x: float  # middle of its box from the left, 0-1 of the image
    y: float  # middle of its box from the top
    box: tuple[float, float, float, float]  # left, top, right, bottom, 0-1
    share: float  # of the image's pixels
    confidence: dict[str, float]  # for each attribute the mean probability of the label over its pixels, 0-1
    mask: np.ndarray  # (H, W) bool

    @property
    def least_confidence(self) -> float:
        """Return the confidence in its least certain attribute."""
        return min(self.confidence.values())

    @property
    def cut(self) -> bool:
        """Return whether it touches the border of the image."""
        left, top, right, bottom = self.box
        return min(left, top) < _MARGIN or max(right, bottom) > 1 - _MARGIN

    @property
    def attributes(self) -> dict[str, str]:
        """Return its label for each group."""
        return {group.name: getattr(self, group.name) for group in ATTRIBUTE_GROUPS}


def describe(segmenter: AttributeSegmenter, images: Tensor) -> list[list[SeenObject]]:
    """Return the objects of each image (B, 3, R, R), float in [-1, 1], from left to right, where the segmenter runs."""
    device = next(segmenter.parameters()).device
    found: list[list[SeenObject]] = []
    for part in images.split(AT_ONCE):
        probabilities = segmenter.probabilities(part.to(device))
        numbers = attribute_labels(probabilities).cpu().numpy()
        shares = _within_groups(probabilities).cpu().numpy()
        found += [_objects(*pair) for pair in zip(numbers, shares, strict=True)]
    return found


def seen_objects(probabilities: Tensor) -> list[SeenObject]:
    """Return the objects of one segmented image (18, H, W) from left to right.

    The tensor comes from a softmax over all channels, or is 0 and 1 as of `models.segmenter.labels.label_maps`.
    """
    scores = probabilities[None].float()
    check_scores(scores)
    return _objects(attribute_labels(scores)[0].cpu().numpy(), _within_groups(scores)[0].cpu().numpy())


def least_confidence(objects: Sequence[SeenObject]) -> float:
    """Return the confidence (0-1) in the least certain attribute of all objects of an image; 0 without objects."""
    return min((item.least_confidence for item in objects), default=0.0)


def _within_groups(probabilities: Tensor) -> Tensor:
    """Rescale each group's channels so that they add up to one."""
    parts = [probabilities[:, group.channels] for group in GROUPS]
    return torch.cat([part / part.sum(1, keepdim=True).clamp(min=1e-12) for part in parts], 1)


def _objects(numbers: np.ndarray, shares: np.ndarray) -> list[SeenObject]:
    """Return the objects of labels (5, H, W) and shares (18, H, W)."""
    least = SMALLEST * numbers[0].size
    found = []
    for mask in _regions(numbers[ROW["colour"]], least):
        sums = shares[:, mask].sum(1) / mask.sum()
        labels, confidence = {}, {}
        for group in ATTRIBUTE_GROUPS:
            best = int(sums[group.channels].argmax())
            labels[group.name] = group.labels[best]
            confidence[group.name] = float(sums[group.channels][best])
        found.append(_seen(labels, confidence, mask))
    return sorted(found, key=lambda item: item.x)


def _regions(colours: np.ndarray, least: float) -> list[np.ndarray]:
    """Return connected regions of one colour; crumbs join the large region that they touch most, or are dropped."""
    from scipy import ndimage  # takes a third of a second, which checking configs does not need

    large, crumbs = [], []
    for colour in np.unique(colours[colours > 0]):
        labelled, count = ndimage.label(colours == colour, structure=NEIGHBOURS)
        for number in range(1, count + 1):
            mask = labelled == number
            (large if mask.sum() >= least else crumbs).append(mask)
    for crumb in crumbs:
        around = ndimage.binary_dilation(crumb, structure=NEIGHBOURS)
        touching = [int((around & mask).sum()) for mask in large]
        if touching and max(touching) > 0:
            large[int(np.argmax(touching))] |= crumb
    return large


def _seen(labels: dict[str, str], confidence: dict[str, float], mask: np.ndarray) -> SeenObject:
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height)
    left, top, right, bottom = (float(edge) for edge in box)
    return SeenObject(
        **labels,
        x=(left + right) / 2,
        y=(top + bottom) / 2,
        box=(left, top, right, bottom),
        share=float(mask.mean()),
        confidence=confidence,
        mask=mask,
    )
