"""The edited region of an image: around the strongest cell of a matchmap, and its resized forms."""

from functools import partial

import numpy as np
import torch

from gan.editing.regions import heat, region, resized_region
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups


def groups(case: Case) -> Groups:
    """The regions of each set of matchmaps, at its threshold."""
    hyper = case.hyper

    def regions(name: str, threshold: float) -> Arrays:
        found = heat(case.tensor(f"matchmaps_{name}").float())
        masks = region(found, threshold)
        return {
            f"region_{name}": _packed(masks),
            f"peak_{name}": found.peaks.numpy(),
            f"cells_{name}": masks.sum((1, 2)).numpy(),
            **{
                f"resized_{resolution}_{name}": _packed(resized_region(masks, resolution))
                for resolution in hyper["sides"]
            },
        }

    return {name: partial(regions, name, threshold) for name, threshold in hyper["thresholds"].items()}


def _packed(masks: torch.Tensor) -> np.ndarray:
    """Masks (N, H, W) as bits (N, H W / 8)."""
    return np.packbits(masks.flatten(1).numpy(), axis=1)
