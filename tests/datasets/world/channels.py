import torch

from datasets.world.scene.attributes import attribute_maps

FIRST = {"size": 0, "material": 2, "shape": 4, "colour": 8}  # first channel of each group
BACKGROUND, FOREGROUND = 16, 17


def attribute_channels(scenes, instances):
    """Write the attributes as the 18 channels (B, 18, H, W) that a perfect segmenter would give."""
    maps = attribute_maps(scenes, instances)
    B, H, W = instances.shape
    channels = torch.zeros(B, 18, H, W, dtype=torch.bool)
    for name, first in FIRST.items():
        value = getattr(maps, name)[:, None]
        channels.scatter_(1, first + (value - 1).clamp_min(0), value > 0)
    channels[:, BACKGROUND] = maps.foreground == 0
    channels[:, FOREGROUND] = maps.foreground == 1
    return channels
