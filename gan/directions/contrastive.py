"""Directions whose effects are alike over latents and unlike each other (LatentCLR, arXiv:2104.00820, linear form).

Shape letters as in :mod:`gan.directions.directions`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from config.limits import Count, Positive
from gan.directions.activations import layer_output
from gan.directions.directions import DirectionError, Directions, check_inputs, numbers_of


def contrast(effects: Tensor, temperature: float = 0.5) -> Tensor:
    """Return the loss (K,) of each direction's effects (Z, K, F): alike should be those of one direction.

    -log of the sum over the other latents of exp(cos / temperature) to the same direction, divided by that over all
    latents to the other directions; a mean over latents.
    """
    number, directions = effects.shape[:2]
    flat = F.normalize(effects.flatten(0, 1), dim=1)
    similarity = flat @ flat.T / temperature
    own = torch.arange(directions, device=flat.device).repeat(number)
    same = own[:, None] == own
    alike = similarity.masked_fill(~same | torch.eye(len(flat), dtype=torch.bool, device=flat.device), -torch.inf)
    unlike = similarity.masked_fill(same, -torch.inf)
    return (unlike.logsumexp(dim=1) - alike.logsumexp(dim=1)).view(number, directions).mean(dim=0)


@dataclass(frozen=True)
class Contrastive:
    """Learn directions for all latents by Adam; scores are each one's loss at the last step.

    Attributes:
        layer: name of the layer whose changes are the effects.
        number: K, at least 2.
        steps: of Adam.
        lr: of Adam.
        step: length of a step along a direction, in units of the latent.
        latents_per_step: drawn at each step, at least 2; all K directions are taken from each at once.
        temperature: 0.5 as published.
    """

    layer: str
    number: Count = 12
    steps: Count = 500
    lr: Positive = 0.01
    step: Positive = 3.0
    latents_per_step: Count = 4
    temperature: Positive = 0.5

    def find(self, generator: nn.Module, latents: Tensor, classes: Tensor | None = None, seed: int = 0) -> Directions:
        """Return K directions from latents (Z, D). Raises DirectionError where something does not fit."""
        check_inputs(generator, latents, classes)
        if self.number < 2 or self.latents_per_step < 2 or len(latents) < self.latents_per_step:
            raise DirectionError(
                f"found {self.number} directions and {self.latents_per_step} of {len(latents)} latents a step; "
                "expected at least two of each, and as many latents"
            )
        source = numbers_of(seed)
        parameter = nn.Parameter(torch.randn(self.number, latents.shape[1], generator=source).to(latents))
        optimizer = torch.optim.Adam([parameter], lr=self.lr)
        for _ in range(self.steps):
            rows = torch.randperm(len(latents), generator=source)[: self.latents_per_step].to(latents.device)
            loss = self._loss(generator, parameter, latents[rows], None if classes is None else classes[rows])
            optimizer.zero_grad()
            (gradient,) = torch.autograd.grad(loss.mean(), parameter)
            parameter.grad = gradient
            optimizer.step()
        vectors = F.normalize(parameter.detach(), dim=1)
        return Directions(vectors[None], [self.layer] * self.number, loss.detach()[None].cpu())

    def _loss(self, generator: nn.Module, directions: Tensor, latents: Tensor, classes: Tensor | None) -> Tensor:
        """Return each direction's loss (K,) on latents (Z, D)."""
        moved = latents[:, None] + self.step * F.normalize(directions, dim=1)
        repeated = None if classes is None else classes.repeat_interleave(self.number)
        with torch.enable_grad():
            after = layer_output(generator, self.layer, moved.flatten(0, 1), repeated)
        with torch.no_grad():
            before = layer_output(generator, self.layer, latents, classes)
        effects = after.view(len(latents), self.number, -1) - before.flatten(1)[:, None]
        return contrast(effects, self.temperature)
