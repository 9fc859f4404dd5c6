"""Say in words what differs between two images of the world, from the objects that a segmenter found in them.

Only what appears or grows is named, as people name it ("more red"), so that a word stands for a change in one
direction; what vanishes shows as what takes its place, or as "fewer objects".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.segmenter.labels import ATTRIBUTE_GROUPS
from models.segmenter.objects import SeenObject

NAMED = ("colour", "shape", "material")  # kinds of labels that are said to become more
LABELS = {label: group.name for group in ATTRIBUTE_GROUPS for label in group.labels}
PLACES = ("left", "right", "nearer", "farther")
COUNTS = ("objects", "fewer")


@dataclass(frozen=True)
class ChangeThresholds:
    """Say from which change on something is named.

    Attributes:
        share: of the image's pixels that a label gains.
        place: of the image's width or height that the middle of all objects moves.
        growth: factor of the area of all objects.
    """

    share: float = 0.015
    place: float = 0.06
    growth: float = 1.25


def label_shares(objects: Sequence[SeenObject]) -> dict[str, float]:
    """Return the share (0-1) of the image's pixels that each attribute label has, those of no object 0."""
    shares = dict.fromkeys(LABELS, 0.0)
    for item in objects:
        for label in item.attributes.values():
            shares[label] += item.share
    return shares


def middle(objects: Sequence[SeenObject]) -> tuple[float, float]:
    """Return the mean place of all objects, weighed by their pixels: from the left and from the top, 0-1.

    Without objects it is the middle of the image.
    """
    total = sum(item.share for item in objects)
    if not total:
        return 0.5, 0.5
    return (
        sum(item.x * item.share for item in objects) / total,
        sum(item.y * item.share for item in objects) / total,
    )


def kind_of(objects: Sequence[SeenObject]) -> str:
    """Return the shape of the largest object, as a class of image; "" without objects."""
    return max(objects, key=lambda item: item.share).shape if objects else ""


def changes(
    before: Sequence[SeenObject],
    after: Sequence[SeenObject],
    thresholds: ChangeThresholds = ChangeThresholds(),
) -> list[str]:
    """Return what appears or grows, as short phrases: colour, shape and material, number, size, place."""
    was, now = label_shares(before), label_shares(after)
    gains = {label: now[label] - was[label] for label, kind in LABELS.items() if kind in NAMED}
    largest_first = sorted(gains, key=lambda label: -gains[label])
    said = [f"more {label}" for label in largest_first if gains[label] >= thresholds.share]
    if len(before) != len(after):
        said.append("more objects" if len(after) > len(before) else "fewer objects")
    said += _size(before, after, thresholds.growth)
    return said + list(_place(middle(before), middle(after), thresholds.place) if before and after else ())


def _size(before: Sequence[SeenObject], after: Sequence[SeenObject], growth: float) -> list[str]:
    """Say whether the largest object grows or shrinks."""
    was, now = (max((item.share for item in objects), default=0.0) for objects in (before, after))
    if not was or not now:
        return []
    return ["larger"] if now >= growth * was else ["smaller"] if was >= growth * now else []


def _place(was: tuple[float, float], now: tuple[float, float], least: float) -> Iterator[str]:
    across, down = now[0] - was[0], now[1] - was[1]
    if abs(across) >= least:
        yield "to the right" if across > 0 else "to the left"
    if abs(down) >= least:
        yield "nearer" if down > 0 else "farther"  # what stands lower in the image is nearer to the camera
