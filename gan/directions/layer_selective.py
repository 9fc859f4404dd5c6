"""Layer-selective directions of "Toward a Visual Concept Vocabulary for GAN Latent Space", section 3.1.

arXiv:2110.04292. A step along such a direction changes a chosen layer as little as it can, so that what moves in the
image is made by later layers. Published code: schwettmann/visual-vocab ``visualvocab/generate_lsds.py`` (parity kind
``biggan``), which never calls its ``backward``: its directions stay random, though orthogonal. Here they are optimised.

Shape letters as in :mod:`gan.directions.directions`.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from config.limits import BatchSize, Count, CountOrZero, Positive, Weight
from gan.directions.activations import Batches, images_of, layer_output
from gan.directions.directions import DirectionError, Directions, check_inputs, check_room, numbers_of, orthonormal

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Objective:
    """Measure how much a step along a direction changes a layer, of each pair of a latent and a direction.

    Attributes:
        generator: in evaluation mode.
        layer: its name.
        step: length of the step, in units of the latent: 10 as published.
        norm: mean of squared changes (``l2``), or sum of absolute ones (``l1``), published too, without weight.
        weight: factor of the change, 0.02 as published.
        image_weight: factor of the image's mean squared change, which is subtracted: 0 as published. A generator whose
            latent enters its first layer alone needs it, else a direction that changes nothing is best.
    """

    generator: nn.Module
    layer: str
    step: float = 10.0
    norm: Literal["l1", "l2"] = "l2"
    weight: float = 0.02
    image_weight: float = 0.0

    def outputs(self, latents: Tensor, classes: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the layer's output and, where it counts, the image, of latents (B, D)."""
        layer = layer_output(self.generator, self.layer, latents, classes)
        return (layer, images_of(self.generator, latents, classes)) if self.image_weight else (layer,)

    def of(self, latents: Tensor, units: Tensor, classes: Tensor | None = None, *before: Tensor) -> Tensor:
        """Return each pair's objective (B,).

        Args:
            latents: (B, D).
            units: (B, D), of unit norm.
            classes: (B,) where the generator takes them.
            before: :meth:`outputs` of the latents, which are computed where they are not given.
        """
        if not before:
            with torch.no_grad():
                before = self.outputs(latents, classes)
        after = self.outputs(latents + self.step * units, classes)
        change = (after[0] - before[0]).flatten(1)
        total = self.weight * (change.square().mean(dim=1) if self.norm == "l2" else change.abs().sum(dim=1))
        if self.image_weight:
            total = total - self.image_weight * (after[1] - before[1]).flatten(1).square().mean(dim=1)
        return total


@dataclass(frozen=True)
class LayerSelective:
    """Find directions for each layer from ``start_layer``, near the image, down to ``end_layer``, near the latent.

    Every latent has its own set, unless they are ``shared``. Those of a layer are orthogonal to those of all layers
    before it. All latents and all directions of a layer are optimised at once, by Adam, with the result of one after
    the other. Scores are the objective at the end.

    Attributes:
        start_layer: name; layer 2 as published.
        end_layer: name, the same layer or one before it; layer 0 as published.
        per_layer: directions of a layer.
        steps: of Adam; the published text advises 2000.
        lr: of Adam.
        step: see :class:`Objective`, as are the next three.
        norm: ``l2`` or ``l1``.
        weight: 0.02 as published.
        image_weight: 0 as published.
        within_layer: directions of one layer are orthogonal to each other too; published ones are not.
        shared: one set of directions for all latents, which minimises the mean of their objectives.
        batch_size: most pairs of a latent and a direction at a time; halved when memory is lacking.
    """

    start_layer: str = "layer2"
    end_layer: str = "layer0"
    per_layer: Count = 4
    steps: CountOrZero = 2000
    lr: Positive = 0.01
    step: Positive = 10.0
    norm: Literal["l1", "l2"] = "l2"
    weight: Weight = 0.02
    image_weight: Weight = 0.0
    within_layer: bool = False
    shared: bool = False
    batch_size: BatchSize = 64

    @property
    def per_latent(self) -> bool:
        """Return whether each latent has directions of its own, so that latents can be treated in parts."""
        return not self.shared

    def find(self, generator: nn.Module, latents: Tensor, classes: Tensor | None = None, seed: int = 0) -> Directions:
        """Return G = Z sets (1 where they are shared) of K directions, ``per_layer`` for each layer.

        Args:
            generator: in evaluation mode; with ``layer_names`` or dotted names that are both layers' own.
            latents: (Z, D).
            classes: (Z,) where the generator takes them.
            seed: of the starts.

        Raises:
            DirectionError: a layer's name, a size or the mode of the generator does not fit, or memory is lacking for a
                single pair.
        """
        check_inputs(generator, latents, classes)
        names = layers_between(generator, self.start_layer, self.end_layer)
        check_room(
            self.per_layer * len(names) if self.within_layer else self.per_layer * (len(names) - 1) + 1,
            latents.shape[1],
        )
        source, batches = numbers_of(seed), Batches(self.batch_size)
        sets = 1 if self.shared else len(latents)
        vectors = latents.new_zeros(sets, 0, latents.shape[1])
        scores = []
        for name in names:
            start = torch.randn(sets, self.per_layer, latents.shape[1], generator=source).to(latents)
            found, score = self._of_layer(generator, name, latents, classes, start, vectors, batches)
            vectors = torch.cat((vectors, found), dim=1)
            scores.append(score)
        return Directions(vectors, [name for name in names for _ in range(self.per_layer)], torch.cat(scores, dim=1))

    def _of_layer(
        self,
        generator: nn.Module,
        name: str,
        latents: Tensor,
        classes: Tensor | None,
        start: Tensor,
        earlier: Tensor,
        batches: Batches,
    ) -> tuple[Tensor, Tensor]:
        """Optimise the directions (G, per_layer, D) of one layer from ``start``; also returns their scores."""
        objective = Objective(generator, name, self.step, self.norm, self.weight, self.image_weight)
        basis = orthonormal(earlier) if earlier.shape[1] else earlier
        parameter = nn.Parameter(start)
        optimizer = torch.optim.Adam([parameter], lr=self.lr)
        with torch.no_grad():
            before = batches.map(objective.outputs, latents, classes)
        pairs = torch.arange(len(latents), device=latents.device).repeat_interleave(self.per_layer)
        fixed = [latents[pairs], None if classes is None else classes[pairs], *(one[pairs] for one in before)]

        def gradients(units: Tensor, latents: Tensor, classes: Tensor | None, *before: Tensor) -> tuple[Tensor, Tensor]:
            units = units.detach().requires_grad_()
            losses = objective.of(latents, units, classes, *before)
            return torch.autograd.grad(losses.sum(), units)[0], losses.detach()

        for step in range(self.steps + 1):  # the last one scores only
            with torch.enable_grad():
                units = self._constrained(parameter, basis)
                expanded = units.expand(len(latents), -1, -1)
                gradient, losses = batches.map(gradients, expanded.flatten(0, 1), *fixed)
                if step in (0, self.steps):
                    log.info("%s, step %d of %d: objective %.3g", name, step, self.steps, losses.mean())
                if step == self.steps:
                    break
                optimizer.zero_grad()
                scale = len(units) / len(latents)  # a mean over latents where they share directions
                expanded.backward(gradient.view_as(expanded) * scale)
                optimizer.step()
        scores = losses.view(len(latents), self.per_layer)
        return units.detach(), scores.mean(dim=0, keepdim=True) if self.shared else scores

    def _constrained(self, directions: Tensor, basis: Tensor) -> Tensor:
        """Return directions (G, K, D) of unit norm, orthogonal to the rows of ``basis`` (G, K', D)."""
        free = directions - (directions @ basis.mT) @ basis
        if self.within_layer:
            return orthonormal(free)
        return F.normalize(free, dim=-1)


def layers_between(generator: nn.Module, start: str, end: str) -> list[str]:
    """Return the names of layers from ``start`` down to ``end``.

    Raises DirectionError where the generator lists no such layers, or the second comes after the first.
    """
    names = list(getattr(generator, "layer_names", [start] if start == end else _named(generator)))
    unknown = [name for name in (start, end) if name not in names]
    if unknown:
        raise DirectionError(
            f"{type(generator).__name__} has no layer {unknown[0]!r}; expected one of {', '.join(names)}"
        )
    first, last = names.index(end), names.index(start)
    if first > last:
        raise DirectionError(f"layer {end!r} comes after {start!r}; directions go from a later layer to an earlier one")
    return names[first : last + 1][::-1]


def _named(generator: nn.Module) -> Iterator[str]:
    """Yield the names of the children of a generator that lists no layers."""
    return (name for name, _ in generator.named_children())
