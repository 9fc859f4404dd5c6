"""A listener for a speech encoder that comes without an image encoder: which images does a caption fit?

The mean of the encoder's output over a caption is mapped linearly to the embedding of its image, by ridge regression
over pairs, and images are ranked by the cosine.

Shape letters: N pairs, D, E sizes of the embeddings of speech and images, Q captions, P images.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from common.errors import UserError
from gan.directions.distillation import ridge

PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
FOLDS = 5


class ListenerError(UserError, ValueError):
    """Pairs from which nothing can be learned."""


class Listener:
    """A linear map from speech to images.

    Args:
        speech: (N, D).
        images: (N, E).
        penalties: of the ridge; the one with the best cosines of held-out pairs is taken.

    Raises:
        ListenerError: there are too few pairs.
    """

    def __init__(self, speech: Tensor, images: Tensor, penalties: Sequence[float] = PENALTIES) -> None:
        if len(speech) < 2 * FOLDS:
            raise ListenerError(f"found {len(speech)} pairs to learn from, expected at least {2 * FOLDS}")
        self._from, self._to = _Scale(speech), _Scale(images)
        inputs, outputs = self._from(speech), self._to(images)
        errors = {penalty: self._held_out(inputs, outputs, penalty) for penalty in penalties}
        self.penalty = max(errors, key=errors.__getitem__)
        self.map = ridge(inputs, outputs, self.penalty)

    @staticmethod
    def _held_out(inputs: Tensor, outputs: Tensor, penalty: float) -> float:
        """Return the mean cosine of pairs that were held out, each once."""
        found = []
        for part in torch.arange(len(inputs)).chunk(FOLDS):
            left = torch.ones(len(inputs), dtype=torch.bool)
            left[part] = False
            made = inputs[part] @ ridge(inputs[left], outputs[left], penalty)
            found.append(torch.cosine_similarity(made, outputs[part], dim=1))
        return torch.cat(found).mean().item()

    def scores(self, speech: Tensor, images: Tensor) -> Tensor:
        """Return the cosine (Q, P) of captions (Q, D) and images (P, E)."""
        heard = torch.nn.functional.normalize(self._from(speech) @ self.map, dim=1)
        return heard @ torch.nn.functional.normalize(self._to(images), dim=1).T


class _Scale:
    """Bring each column to mean 0 and standard deviation 1, in double precision."""

    def __init__(self, values: Tensor) -> None:
        values = values.double()
        self.mean, self.std = values.mean(dim=0), values.std(dim=0).clamp(min=1e-6)

    def __call__(self, values: Tensor) -> Tensor:
        return (values.double() - self.mean) / self.std
