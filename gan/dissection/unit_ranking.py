"""Rankings of the units of a layer that make a label best; units that only carry noise can be left out.

"Learning Words by Drawing Images" (CVPR 2019); published: surisdi/learning-by-drawing ``trainer.py``
(``optimize_neurons``), where noise units are not removed: their positions name unit 0. Shape letters: L labels, U
units.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gan.dissection.activations import DissectionError
from gan.dissection.dissect import NO_LABEL, Dissection
from gan.hooks import LayerNameError


def unit_ranking(scores: Tensor, excluded_units: Sequence[int] = (), as_published: bool = False) -> Tensor:
    """Rank units by descending score (L, U), equal ones in their own order: (L, U less the excluded ones) int64.

    ``as_published`` keeps the excluded units' positions and puts unit 0 there. Raises DissectionError where an excluded
    unit does not exist, or none is left.
    """
    left = _units_left(scores.shape[-1], excluded_units, as_published)
    ordered = scores.argsort(dim=-1, descending=True, stable=True)
    unwanted = torch.isin(ordered, torch.tensor(list(excluded_units), dtype=ordered.dtype, device=ordered.device))
    if as_published:
        return ordered.masked_fill(unwanted, 0)
    return ordered[~unwanted].reshape(*ordered.shape[:-1], left)


def _units_left(units: int, excluded_units: Sequence[int], as_published: bool) -> int:
    """Return how many units of a layer stay in a ranking, after looking whether those excluded can be."""
    outside = sorted(unit for unit in excluded_units if not 0 <= unit < units)
    if outside:
        raise DissectionError(f"excluded units {outside} do not exist: the layer has units 0 to {units - 1}")
    left = units if as_published else units - len(set(excluded_units))
    if not left:
        raise DissectionError(f"all {units} units of the layer are excluded; leave at least one")
    return left


def check_excluded(
    excluded_units: Mapping[str, Sequence[int]], units: Mapping[str, int], as_published: bool = False
) -> None:
    """Refuse excluded units by layer that cannot be, of so many ``units`` of each, before anything is dissected.

    Raises LayerNameError where units of a layer are excluded that is not dissected, and DissectionError where an
    excluded unit does not exist, or none is left.
    """
    unknown = [layer for layer in excluded_units if layer not in units]
    if unknown:
        valid = ", ".join(units)
        raise LayerNameError(f"units of layer {unknown[0]!r} are excluded; the dissected layers are {valid}")
    for layer, excluded in excluded_units.items():
        _units_left(units[layer], excluded, as_published)


def rank_units(
    dissection: Dissection, excluded_units: Mapping[str, Sequence[int]] | None = None, as_published: bool = False
) -> dict[str, Tensor]:
    """Return for each layer the units that make each label best, by intersection over union.

    Rankings are (K, n) int64, best first, one row for each of the segmenter's K labels: "no label" has none. Excluded
    units of a layer are left out, or unit 0 is put in their place ``as_published``. Raises as :func:`check_excluded`.
    """
    excluded = excluded_units or {}
    check_excluded(excluded, {layer: found.iou.shape[1] for layer, found in dissection.layers.items()}, as_published)
    first = int(dissection.labels[0] == NO_LABEL)
    return {
        layer: unit_ranking(found.iou[first:], excluded.get(layer, ()), as_published)
        for layer, found in dissection.layers.items()
    }


def best_labels(dissection: Dissection, layer: str) -> tuple[Tensor, Tensor]:
    """Return the best label (U,) of each unit, and its intersection over union with it (U,).

    It is that of the chosen threshold with the 'iqr' rule, else of the largest IoU.
    """
    found = dissection.layers[layer]
    scores = found.iou if found.selection is None else found.selection.iqr
    numbers = scores.argmax(0)
    return numbers, found.iou.gather(0, numbers[None])[0]
