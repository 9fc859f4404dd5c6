"""Edits of one layer of the published generator: masks and replacements of other shapes and resolutions."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from gan.hooks import Edit, edited, recorded, resize_mask
from published import load_published
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups

FILE = "generator.pth"


def groups(case: Case) -> Groups:
    """Load the generator; draw without an edit, and with each variant's."""
    torch.save(case.state(FILE), case.folder / FILE)
    generator = load_published("progan", case.folder / FILE)
    layer, latents = case.hyper["layer"], case.tensor("z")
    every, channels = case.hyper["output_stride"], case.hyper["layer_channel_stride"]

    @torch.no_grad()
    def plain() -> Arrays:
        with recorded(generator, [layer]) as record:
            image = generator(latents)
        return {"image_base": _thinned(image, every), "layer_output_base": record[layer][:, ::channels].numpy()}

    @torch.no_grad()
    def variant(name: str, mask: str, value: str | None) -> Arrays:
        with recorded(generator, [layer]) as record:
            generator(latents)
        resolution = record[layer].shape[2:]
        edit = Edit(_at(case.tensor(mask), resolution), None if value is None else _at(case.tensor(value), resolution))
        with edited(generator, {layer: edit}):
            return {f"image_{name}": _thinned(generator(latents), every)}

    variants = {v["name"]: partial(variant, v["name"], v["ablation"], v["replacement"]) for v in case.hyper["variants"]}
    return {"plain": plain} | variants


def _at(mask: Tensor, resolution: torch.Size) -> Tensor:
    """A mask with rows and columns at the layer's resolution."""
    return mask if mask.dim() < 3 else resize_mask(mask, (resolution[0], resolution[1]))


def _thinned(image: Tensor, every: int) -> np.ndarray:
    return image[..., ::every, ::every].numpy()
