"""Generate images again with units switched off inside regions, until each has changed enough: a batch at a time.

The kinds of edits in strategies.py share this part. The published code (surisdi/learning-by-drawing ``trainer.py``)
generates one image after the other and, for cluster edits, each of them twice; its loops have no bound.

Shape letters: B pairs, C units of a layer, H, W image map, R pixels high and wide, r images still tried.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from common.errors import UserError
from gan.editing.regions import BORDER, Heat, region, resized_region
from gan.hooks import Edit, edited, recorded
from gan.images import encoder_input


class EditingError(UserError, ValueError):
    """Units, clusters or regions that do not fit the generator or each other."""


class Positives(NamedTuple):
    """Images to be edited."""

    latents: Tensor  # (B, latent_dim)
    images: Tensor  # (B, 3, R, R) as the generator puts them out, about [-1, 1]
    shapes: dict[str, tuple[int, int, int]]  # (C, rows, columns) of each layer that may be edited


class Negatives(NamedTuple):
    """Edited images, with the regions, units and attempts that made them."""

    images: Tensor  # (B, 3, R, R), about [-1, 1]
    masks: Tensor  # (B, H, W) bool, the region that was edited, on the grid of the image map
    measured: Tensor  # (B, H, W) bool, the first region, in which the change is measured
    units: dict[str, Tensor]  # layer to (B, C) bool, the units switched off
    clusters: Tensor  # (B,) int64 cluster whose units these are, -1 for random units
    retries: Tensor  # (B,) int64 attempts after the first
    change: Tensor  # (B,) relative change inside the first region
    reached: Tensor  # (B,) bool, whether the change reached its threshold


class Proposal(NamedTuple):
    """One attempt for the images still tried."""

    masks: Tensor  # (r, H, W) bool, where units are switched off
    units: dict[str, Tensor]  # layer to (r, C) bool
    clusters: Tensor  # (r,) int64, whose units they are, -1 for random units
    threshold: Tensor  # (r,) change that is enough

    def where(self, which: Tensor) -> "Proposal":
        """Return the rows marked in ``which`` (r,) bool."""
        units = {name: chosen[which] for name, chosen in self.units.items()}
        return Proposal(self.masks[which], units, self.clusters[which], self.threshold[which])


def generate(model: nn.Module, latents: Tensor, layers: Sequence[str] = ()) -> Positives:
    """Generate images from latents (B, latent_dim) on the generator's device, and note the sizes of the layers.

    They are in float32 whatever the precision of training, so that an id always means the same image. Raises
    gan.hooks.LayerNameError where the generator has no such layer; it lists those that there are.
    """
    with torch.no_grad(), torch.autocast(latents.device.type, enabled=False), recorded(model, layers) as outputs:
        images = model(latents)
    return Positives(latents, images, {name: tuple(outputs[name].shape[1:]) for name in layers})


def regenerate(
    model: nn.Module, positives: Positives, masks: Tensor, units: Mapping[str, Tensor], peaks: Tensor | None = None
) -> Tensor:
    """Generate images with given units switched off in given regions, both in the layers' own resolution.

    Args:
        model: the generator.
        positives: of :func:`generate` with the layers to edit.
        masks: (B, H, W) bool at any resolution.
        units: layer to (B, C) bool.
        peaks: (B, 3) int64 row, column, frame: keeps regions that would vanish on a coarser grid.
    """
    edits = {
        name: Edit(chosen[:, :, None, None] & resized_region(masks, positives.shapes[name][1:], peaks)[:, None])
        for name, chosen in units.items()
    }
    latents = positives.latents
    with torch.no_grad(), torch.autocast(latents.device.type, enabled=False), edited(model, edits):
        return model(latents)


def relative_change(positives: Tensor, negatives: Tensor, masks: Tensor) -> Tensor:
    """Return the change (B,) of images (B, 3, R, R) inside masks (B, R, R) bool, relative to what is there.

    It is the norm of the difference over the norm of the positive, of the encoder's inputs.
    """
    inside = masks[:, None]
    before, after = encoder_input(positives), encoder_input(negatives)
    difference = ((after - before) * inside).flatten(1).norm(dim=1)
    return difference / (before * inside).flatten(1).norm(dim=1).clamp(min=1e-8)


def regenerate_until(
    model: nn.Module,
    positives: Positives,
    found: Heat,
    propose: Callable[[int, Tensor], Proposal],
    threshold: float,
    max_retries: int,
    border: int = BORDER,
) -> Negatives:
    """Generate again the images that have not changed enough; one that never does keeps its most changed attempt.

    Args:
        model: the generator.
        positives: of :func:`generate` with the layers to edit.
        found: heat maps of the pairs.
        propose: from the attempt's number (0, 1, ...) and the rows still tried (r,) to what to do with them.
        threshold: of the region in which the change is measured.
        max_retries: attempts after the first.
        border: of that region, in cells.
    """
    measured = region(found, threshold, border)
    inside = resized_region(measured, tuple(positives.images.shape[2:]), found.peaks)
    kept = _unchanged(positives, measured, max_retries)
    rows = torch.arange(len(measured), device=measured.device)
    for attempt in range(max_retries + 1):
        proposal = propose(attempt, rows)
        tried = Positives(positives.latents[rows], positives.images[rows], positives.shapes)
        images = regenerate(model, tried, proposal.masks, proposal.units, found.peaks[rows])
        change = relative_change(tried.images, images, inside[rows])
        reached = change >= proposal.threshold
        taken = reached | (change > kept.change[rows])
        _keep(kept, rows[taken], images[taken], change[taken], proposal.where(taken))
        kept.reached[rows[reached]] = True
        kept.retries[rows[reached]] = attempt
        rows = rows[~reached]
        if len(rows) == 0:
            break
    return kept


def _unchanged(positives: Positives, measured: Tensor, max_retries: int) -> Negatives:
    """Return the result before the first attempt."""
    batch, device = len(measured), measured.device
    units = {
        name: torch.zeros(batch, channels, dtype=torch.bool, device=device)
        for name, (channels, *_) in positives.shapes.items()
    }
    return Negatives(
        images=positives.images.clone(),
        masks=torch.zeros_like(measured),
        measured=measured,
        units=units,
        clusters=torch.full((batch,), -1, device=device),
        retries=torch.full((batch,), max_retries, device=device),
        change=torch.full((batch,), -1.0, device=device),
        reached=torch.zeros(batch, dtype=torch.bool, device=device),
    )


def _keep(kept: Negatives, rows: Tensor, images: Tensor, change: Tensor, proposal: Proposal) -> None:
    """Write an attempt into rows of the result."""
    kept.images[rows] = images
    kept.masks[rows] = proposal.masks
    kept.clusters[rows] = proposal.clusters
    kept.change[rows] = change
    for name, chosen in proposal.units.items():
        kept.units[name][rows] = chosen
