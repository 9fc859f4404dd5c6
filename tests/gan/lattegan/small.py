"""Inputs and fusions of small networks."""

from functools import partial

import torch

from gan.lattegan.fusion import Tirg, TirgSpade
from gan.lattegan.layers import Instructions

TEXT, IMAGE, WIDTH, RESOLUTION = 12, 16, 4, 64
SMALL = {"text_dim": TEXT, "image_dim": IMAGE, "width": WIDTH, "condition_dim": 6, "noise_dim": 5, "resolution": 64}
FUSIONS = {
    f"{kind.__name__} {words}{' relations' if relations else ''}": partial(
        kind, words=words, relations=relations, hidden=8, heads=2, channel_gate=words != "none"
    )
    for kind in (Tirg, TirgSpade)
    for words in ("none", "concat", "replace")
    for relations in (False, True)
    if words != "none" or not relations
}


def instructions(lengths=(5, 3), seed=0):
    """Random sentences and words; behind each instruction's words stands noise."""
    draws = torch.Generator().manual_seed(seed)
    count = len(lengths)
    sentences = torch.randn(count, TEXT, generator=draws)
    return Instructions(sentences, torch.randn(count, max(lengths), TEXT, generator=draws), torch.tensor(lengths))


def images(count=2, seed=1):
    """Random images."""
    draws = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, RESOLUTION, RESOLUTION, generator=draws) * 2 - 1


def without_gradient(module, values):
    """Names of the parameters that values do not depend on."""
    module.zero_grad()
    draws = torch.Generator().manual_seed(9)
    sum((value * torch.randn(value.shape, generator=draws)).sum() for value in values).backward()
    return [name for name, one in module.named_parameters() if one.grad is None or not one.grad.any()]
