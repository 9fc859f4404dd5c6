"""The CLEVR attribute segmenter from its two files."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.imagenet import MEAN, STD
from models.segmenter.labels import attribute_labels
from published import load_published
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups

ORDER = [3, 2, 0, 1, 4]  # size, material, shape, colour, ground -> colour, shape, size, material, foreground


def groups(case: Case) -> Groups:
    """The network on the normalised images, and on the same times a gain."""
    for name in case.files:
        torch.save(case.state(name), case.folder / name)
    segmenter = load_published("clevr_segmenter", case.folder)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    images = case.tensor("images_u8").float() / 255
    size = (case.hyper["seg_size"],) * 2

    @torch.no_grad()
    def run(ending: str, normalised: Tensor) -> Arrays:
        early, late = segmenter.network.encoder(normalised)
        scores = segmenter.network.decoder(early, late).scores
        probabilities = F.interpolate(scores, size, mode="bilinear", align_corners=False).softmax(1)
        labels = attribute_labels(probabilities)[:, ORDER]
        return {
            f"probabilities{ending}": probabilities[..., ::4, ::4].numpy(),
            f"conv5{ending}": late[:, ::32].numpy(),
            f"labels{ending}": labels[..., ::2, ::2].numpy().astype(np.uint8),
        }

    return {
        "plain": lambda: run("", (images - mean) / std),
        "gain": lambda: run("_gain", case.hyper["gain"] * (images - mean) / std),
    }
