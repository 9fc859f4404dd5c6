"""A classifier of what an image of the world shows: a small network that tells which labels are present.

It judges images independently of the segmenter: trained apart, without label maps. Shape letters: B images, R pixels
high and wide, L labels.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from config.limits import Width
from models.batch_norm import BatchNorm
from models.segmenter.labels import ATTRIBUTE_CATEGORIES, ATTRIBUTE_LABELS, BACKGROUND, check_images
from models.weights import WeightsError, build_for, read_card, read_state_dict, write_weights

LABELS, CATEGORIES = ATTRIBUTE_LABELS[:BACKGROUND], ATTRIBUTE_CATEGORIES[:BACKGROUND]  # what only objects have
DEPTH = 4


class PresenceClassifier(nn.Module):
    """Four strided convolutions, the largest and the mean value of each map, one layer.

    Args:
        width: channels of the first; each later one has as many more.
    """

    def __init__(self, width: Width = 24) -> None:
        super().__init__()
        self.width, self.labels, self.categories = width, list(LABELS), list(CATEGORIES)
        channels = [3, *(width * (stage + 1) for stage in range(DEPTH))]
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(channels[n], channels[n + 1], 3, 2, 1, bias=False), BatchNorm(channels[n + 1]), nn.ReLU()
                )
                for n in range(DEPTH)
            )
        )
        self.last = nn.Sequential(
            nn.Conv2d(channels[-1], channels[-1], 3, 1, 1, bias=False), BatchNorm(channels[-1]), nn.ReLU()
        )
        self.head = nn.Linear(2 * channels[-1], len(LABELS))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, L) of images (B, 3, R, R) in [-1, 1]."""
        check_images(images)
        maps = self.last(self.stages(images))
        return self.head(torch.cat((maps.amax(dim=(2, 3)), maps.mean(dim=(2, 3))), dim=1))


def save_classifier(classifier: PresenceClassifier, path: Path, about: dict[str, Any]) -> None:
    """Write a classifier to ``path`` (``.safetensors``) and a card beside it; ``about`` says how it was made."""
    card = {"kind": "presence", "width": classifier.width, "labels": classifier.labels, **about}
    write_weights(path, classifier.state_dict(), card)


def load_classifier(path: Path) -> PresenceClassifier:
    """Read a classifier in evaluation mode on the CPU that :func:`save_classifier` wrote.

    Args:
        path: the ``.safetensors`` file; its ``.json`` lies beside it.

    Raises:
        WeightsError: a file is missing, damaged, or of another kind.
    """
    path = Path(path)
    state = read_state_dict(path)
    card = read_card(path.with_suffix(".json"), "it says which network the weights beside it belong to")
    width = card.get("width") if isinstance(card, dict) else None
    if type(width) is not int or not 0 < width <= 4096 or card.get("labels") != list(LABELS):
        raise WeightsError(f"{path.with_suffix('.json')} does not describe a classifier of {len(LABELS)} labels")
    return build_for(lambda: PresenceClassifier(width), state, str(path)).eval()
