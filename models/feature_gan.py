"""A generator of image features from documents, and its discriminator: networks of zero-shot learning from noisy texts.

"A Generative Adversarial Approach for Zero-Shot Learning from Noisy Texts" (CVPR 2018, arXiv:1712.01381), as
EthanZhu90/ZSL_GAN ``models.py`` (``_netG``, ``_netD``; without a reducing layer ``_netG_att``). Weights start as there:
normal of Xavier's scale, biases 0.

Shape letters: B batch, V numbers of a document (TF-IDF of its stems, or attributes), R reduced size, Z noise, X feature
size, C classes.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from config.limits import Width

SLOPE = 0.01  # of the leaky ReLU below 0


class FeatureScores(NamedTuple):
    """A discriminator's answers about features."""

    real: Tensor  # (B,) logits, larger for features taken as those of images
    classes: Tensor  # (B, C) logits


def start_as_published(network: nn.Module) -> None:
    """Draw the weights of linear layers from Xavier's normal distribution, in place; biases are 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)


class FeatureGenerator(nn.Module):
    """Makes image features of a document: a reducing layer without activation, noise beside it, one hidden layer.

    Args:
        text_dim: V, given by the task.
        feature_dim: X, given by the task.
        noise_dim: Z.
        reduced_dim: R, of the layer that suppresses noise; None takes documents as they are, as published for
            attributes.
        width: of the hidden layer.
        bounded: end in a hyperbolic tangent, as published, so that features lie in [-1, 1].
    """

    def __init__(
        self,
        text_dim: Width,
        feature_dim: Width,
        noise_dim: Width = 100,
        reduced_dim: Width | None = 1000,
        width: Width = 4096,
        bounded: bool = True,
    ) -> None:
        super().__init__()
        self.noise_dim, self.bounded = noise_dim, bounded
        self.reduce = None if reduced_dim is None else nn.Linear(text_dim, reduced_dim)
        self.hidden = nn.Linear(noise_dim + (reduced_dim or text_dim), width)
        self.features = nn.Linear(width, feature_dim)
        start_as_published(self)

    def forward(self, noise: Tensor, documents: Tensor) -> Tensor:
        """Return features (B, X) of noise (B, Z) and documents (B, V)."""
        said = documents if self.reduce is None else self.reduce(documents)
        made = self.features(F.leaky_relu(self.hidden(torch.cat([noise, said], dim=1)), SLOPE))
        return made.tanh() if self.bounded else made


class FeatureDiscriminator(nn.Module):
    """Distinguishes features of images from generated ones, and the seen classes from one another.

    Args:
        classes: C, given by the task.
        feature_dim: X, given by the task.
        width: of the hidden layer.
    """

    def __init__(self, classes: Width, feature_dim: Width, width: Width = 4096) -> None:
        super().__init__()
        self.hidden = nn.Linear(feature_dim, width)
        self.real, self.classes = nn.Linear(width, 1), nn.Linear(width, classes)
        start_as_published(self)

    def forward(self, features: Tensor) -> FeatureScores:
        """Score features (B, X)."""
        shared = self.hidden(features).relu()
        return FeatureScores(self.real(shared).squeeze(1), self.classes(shared))
