"""Per-pixel attributes in the layout of the CLEVR segmenter of surisdi/learning-by-drawing (`segmenter.py`).

Its 18 channels: 0-1 size (large, small), 2-3 material (rubber, metal), 4-7 shape (cube, sphere, cylinder, unused),
8-15 colour (gray, red, blue, green, brown, purple, cyan, yellow), 16 background, 17 foreground.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from datasets.world.scene.objects import COLOURS, MATERIALS, SHAPES, SIZES, Scene, SceneError


class AttributeMaps(NamedTuple):
    """The label of each pixel, (B, H, W) int64 each; 0 is the background. Order and values are the segmenter's."""

    colour: Tensor  # 1-8 in the order of `COLOURS`
    shape: Tensor  # 1-3 in the order of `SHAPES`
    size: Tensor  # 1 large, 2 small
    material: Tensor  # 1 rubber, 2 metal
    foreground: Tensor  # 1 on objects


def attribute_maps(scenes: list[Scene], instances: Tensor) -> AttributeMaps:
    """Label each pixel of B scenes with the attributes of the object (``instances`` (B, H, W)) that is seen there.

    Raises SceneError where the numbers of scenes and masks differ, or a mask names an object that its scene lacks.
    """
    if instances.dim() != 3 or len(scenes) != len(instances):
        raise SceneError(
            f"{len(scenes)} scenes and instances of shape {tuple(instances.shape)}; expected (number of scenes, H, W)"
        )
    most = max((len(scene.objects) for scene in scenes), default=0)
    labels = torch.zeros(5, len(scenes), most + 1, dtype=torch.int64)
    for b, scene in enumerate(scenes):
        if int(instances[b].max()) > len(scene.objects) or int(instances[b].min()) < 0:
            raise SceneError(f"the mask of scene {b} has labels outside 0..{len(scene.objects)}, its number of objects")
        for k, item in enumerate(scene.objects, start=1):
            values = COLOURS.index(item.colour), SHAPES.index(item.shape), SIZES.index(item.size)
            labels[:, b, k] = torch.tensor((*values, MATERIALS.index(item.material), 0)) + 1
    labels = labels.to(instances.device)
    rows = torch.arange(len(scenes), device=instances.device)[:, None, None]
    return AttributeMaps(*(table[rows, instances.long()] for table in labels))
