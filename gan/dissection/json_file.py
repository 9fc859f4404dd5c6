"""Writes a dissection as ``dissect.json`` in the published layout, which the original's readers understand.

Layout: ``generate_report`` in ``netdissect/dissection.py`` (CSAILVision/gandissect; bundled with
surisdi/learning-by-drawing, whose ``optimize_neurons`` reads the rankings). Scores of rankings are negative, so that
sorting them puts the best unit first. Label 0 is "no label" there: where it took no part it is written without scores.
"""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.files import write_whole
from gan.dissection.dissect import NO_LABEL, Dissection, LayerDissection
from gan.dissection.unit_ranking import best_labels

IOU_THRESHOLD, IQR_THRESHOLD = 0.05, 0.01  # published; a unit beyond both "is interpretable"


def published_name(layer: str) -> str:
    """Return the folder of a layer: letters, digits, spaces, dots, underscores and dashes of its dotted name."""
    return re.sub(r"[^\w ._-]", "", layer).rstrip()


def write_dissection(
    folder: Path,
    dissection: Dissection,
    netname: str,
    no_label_name: str = NO_LABEL,
    settings: dict[str, Any] | None = None,
) -> Path:
    """Write ``dissect.json`` for all layers, whose path is returned, and one for each in a folder of the layer's name.

    ``netname`` is the title that readers show; ``no_label_name`` is label 0 for them, "-", or "c_1" where clusters are
    called c_2, c_3, ... as published; ``settings`` are plain values on how it was made.
    """
    layers = [layer_record(dissection, layer, no_label_name) for layer in dissection.layers]
    head: dict[str, Any] = {
        "netname": netname,
        "meta": None,
        "default_ranking": "label",
        "quantile_threshold": dissection.threshold,
        "iou_threshold": IOU_THRESHOLD,
        "iqr_threshold": IQR_THRESHOLD,
        "segcolors": {},
    }
    head |= {"settings": settings} if settings else {}
    for record in layers:
        _write(folder / published_name(record["layer"]), head | {"layers": [record | {"dirname": "."}]})
    return _write(folder, head | {"layers": layers})


def layer_record(dissection: Dissection, layer: str, no_label_name: str = NO_LABEL) -> dict[str, Any]:
    """Return everything about one layer as plain values: units, rankings and the labels that its units make.

    This is the record below ``layers`` of the published file.
    """
    found = dissection.layers[layer]
    names, kinds = list(dissection.labels), list(dissection.categories)
    shift = int(names[0] != NO_LABEL)  # published numbers count "no label" as 0
    if not shift:
        names[0], kinds[0] = no_label_name, next(iter(kinds[1:]), kinds[0])
    units = [_unit(found, number) for number in range(len(found.thresholds))]
    _add_labels(units, dissection, layer, names, kinds, shift)
    if found.selection is not None:
        _add_selection(units, found, names, kinds)
    groups = _groups(units, kinds)
    return {
        "layer": layer,
        "units": units,
        "rankings": _rankings(units, found, names, groups),
        "iou_threshold": [IOU_THRESHOLD],
        "labels": groups,
        "interpretable": sum(len(group["units"]) for group in groups),
        "dirname": published_name(layer),
    }


def _unit(found: LayerDissection, number: int) -> dict[str, Any]:
    top = zip(found.top[number].tolist(), found.top_values[number].tolist(), strict=True)
    return {
        "unit": number,
        "interp": True,
        "level": found.thresholds[number].item(),
        "top": [{"imgnum": image, "maxact": value} for image, value in top],
    }


def _add_labels(
    units: list[dict[str, Any]], dissection: Dissection, layer: str, names: list[str], kinds: list[str], shift: int
) -> None:
    """Add the label of each unit, its scores, and the counts of pixels behind them."""
    found = dissection.layers[layer]
    numbers, scores = best_labels(dissection, layer)
    categories = list(dict.fromkeys(kind for kind in dissection.categories if kind != NO_LABEL))
    for unit, label, score in zip(units, numbers.tolist(), scores.tolist(), strict=True):
        ratio, number = found.iqr[label, unit["unit"]].item(), unit["unit"]
        unit |= {
            "iou": score,
            "iou_iqr": ratio,
            "lc": dissection.label_counts[label].item(),
            "cc": found.category_activations[categories.index(kinds[label]), number].item(),
            "ic": found.intersections[label, number].item(),
            "interp": ratio > IQR_THRESHOLD and score > IOU_THRESHOLD,
            "iou_labelnum": label + shift,
            "iou_label": names[label],
            "iou_cat": kinds[label],
        }


def _add_selection(units: list[dict[str, Any]], found: LayerDissection, names: list[str], kinds: list[str]) -> None:
    """Add the label whose threshold says most, among thresholds that at most half of the pixels exceed."""
    chosen = found.selection
    assert chosen is not None
    best, labels = chosen.iqr.masked_fill(chosen.quantile > 0.5, 0).max(0)
    for unit, score, label in zip(units, best.tolist(), labels.tolist(), strict=True):
        unit |= {"iqr": score, "iqr_label": names[label], "iqr_cat": kinds[label]}
        for name, values in (("level", chosen.threshold), ("quantile", chosen.quantile), ("iou", chosen.iou)):
            unit[f"iqr_{name}"] = values[label, unit["unit"]].item()


def _groups(units: list[dict[str, Any]], kinds: list[str]) -> list[dict[str, Any]]:
    """Return the labels that interpretable units make: by category, then those with most units."""
    made = defaultdict(list)
    for unit in units:
        if unit["interp"]:
            made[unit["iou_labelnum"]].append(unit)
    order = list(dict.fromkeys(kinds))

    def order_of(members: list[dict[str, Any]]) -> tuple[float, ...]:
        return order.index(members[0]["iou_cat"]), -len(members), -max(unit["iou"] for unit in members)

    return [
        {
            "label": members[0]["iou_label"],
            "labelnum": members[0]["iou_labelnum"],
            "units": [unit["unit"] for unit in members],
            "cat": members[0]["iou_cat"],
        }
        for members in sorted(made.values(), key=order_of)
    ]


def _rankings(
    units: list[dict[str, Any]], found: LayerDissection, names: list[str], groups: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return orders of the units: by number, by label, by best scores, and by the scores of every label."""
    sizes = {group["labelnum"]: len(group["units"]) for group in groups}
    tops = {group["labelnum"]: max(units[number]["iou"] for number in group["units"]) for group in groups}

    def by_label(unit: dict[str, Any]) -> tuple[float, ...]:
        label = unit["iou_labelnum"]
        return -unit["interp"], -sizes.get(label, 0), -tops.get(label, 0), label, -unit["iou"]

    positions = torch.tensor([unit["unit"] for unit in sorted(units, key=by_label)]).argsort()
    rankings: list[dict[str, Any]] = [
        {"name": "unit", "score": list(range(len(units)))},
        {"name": "label", "score": positions.tolist()},
        {"name": "max iou", "metric": "iou", "score": [-unit["iou"] for unit in units]},
    ]
    if found.selection is not None:
        rankings.append({"name": "max iqr", "metric": "iqr", "score": [-unit["iqr"] for unit in units]})
    rankings += _label_rankings(names, "iou", found.iou)
    if found.selection is not None:
        rankings += _label_rankings(names, "iqr", found.selection.iqr)
    return rankings


def _label_rankings(names: list[str], metric: str, scores: Tensor) -> list[dict[str, Any]]:
    rows = zip(names, (-scores).tolist(), strict=True)
    return [{"name": f"{name}-{metric}", "concept": name, "metric": metric, "score": row} for name, row in rows]


def _write(folder: Path, record: dict[str, Any]) -> Path:
    path = folder / "dissect.json"
    write_whole(path, (json.dumps(record, allow_nan=False) + "\n").encode())
    return path
