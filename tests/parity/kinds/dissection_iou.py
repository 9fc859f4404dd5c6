"""Levels of units and their overlap with labels, for fixed quantiles and for the 'iqr' rule."""

from functools import partial

import numpy as np

from gan.dissection.dissect import dissect_samples
from tests.gan.dissection.samples import samples_of
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups

LAYER = "layer"


def groups(case: Case) -> Groups:
    """Units that are given against label maps that are given; the published label 0 is "no label"."""
    names = [name for name in case.hyper["label_names"] if name != "-"]
    maps = case.tensor("labels") > 0
    labels = names[-maps.shape[1] :]
    categories = case.hyper["categories"] * len(labels)
    samples = samples_of({LAYER: case.tensor("activations")}, maps, labels, categories)

    def fixed(fraction: float) -> Arrays:
        layer = dissect_samples(samples, fraction).layers[LAYER]
        found = {"levels": layer.thresholds, "iou": layer.iou, "iqr": layer.iqr}
        return {f"{name}_q{fraction:g}": values.numpy() for name, values in found.items()}

    def chosen() -> Arrays:
        found = dissect_samples(samples, "iqr")
        layer = found.layers[LAYER]
        best = layer.selection
        assert best is not None
        outputs = {
            "levels_iqr": layer.thresholds,
            "iou_iqr": layer.iou,
            "iqr_iqr": layer.iqr,
            "total_counts": found.total_counts,
            "label_counts": found.label_counts,
            "category_activation_counts": layer.category_activations,
            "intersection_counts": layer.intersections,
            "select_max_iqr": best.iqr,
            **{f"select_max_iqr_{name}": getattr(best, name) for name in ("quantile", "iou", "agreement")},
            "select_max_iqr_level": best.threshold,
        }
        return {name: np.asarray(values) for name, values in outputs.items()}

    return {f"fixed {q:g}": partial(fixed, q) for q in case.hyper["quantile_thresholds"]} | {"iqr": chosen}
