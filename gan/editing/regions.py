"""The region in which an image responds to its spoken caption best, around the strongest cell of a matchmap.

"Learning Words by Drawing Images" (CVPR 2019), section on semantic edits; public code surisdi/learning-by-drawing
``trainer.py`` (peak and threshold) and ``utils.py`` (geodesic dilation with a 3x3 square, so that diagonal neighbours
are connected). Here for a whole batch at once, on the device. The published index arithmetic of the peak is right for
square maps only; this one is right for all.

Shape letters: B pairs, H, W image map, T speech frames, R pixels high and wide.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from common.errors import UserError

THRESHOLD = 0.95  # of the maximum, as published
BORDER = 1  # cells around the connected ones, as published


class RegionError(UserError, ValueError):
    """A matchmap or a threshold from which no region can be taken."""


class Heat(NamedTuple):
    """Keep matchmaps reduced to the best frame of each cell.

    ``peaks`` are row, column and frame of the strongest cell; the earliest frame among equals, then the first row, then
    the first column.
    """

    values: Tensor  # (B, H, W) maximum over the valid frames
    peaks: Tensor  # (B, 3) int64


def heat(matchmap: Tensor, nframes: Tensor | None = None) -> Heat:
    """Reduce matchmaps (B, H, W, T) to heat maps and find their strongest cells, without gradient.

    ``nframes`` are the valid frames (B,) of each caption, all when None; one that has none counts as one frame long.
    Raises RegionError where the shapes do not fit.
    """
    if matchmap.dim() != 4 or 0 in matchmap.shape[1:]:
        raise RegionError(f"Expected matchmaps (B, H, W, T) with at least one cell, got {tuple(matchmap.shape)}.")
    batch, _, width, frames = matchmap.shape
    matchmap = matchmap.detach()
    if nframes is not None:
        if nframes.shape != (batch,):
            raise RegionError(f"nframes must have one value per matchmap, ({batch},), got {tuple(nframes.shape)}.")
        index = torch.arange(frames, device=matchmap.device)
        beyond = index >= nframes.to(matchmap.device).clamp(min=1)[:, None]
        matchmap = matchmap.masked_fill(beyond[:, None, None, :], -torch.inf)
    cells = matchmap.shape[1] * width
    position = matchmap.permute(0, 3, 1, 2).flatten(1).argmax(1)
    cell = position % cells
    peaks = torch.stack([cell // width, cell % width, position // cells], dim=1)
    return Heat(matchmap.amax(dim=3), peaks)


def at_peaks(features: Tensor, peaks: Tensor) -> Tensor:
    """Return features (B, D) of (B, D, H, W) at each pair's strongest cell, of ``peaks`` (B, 3) row, column, frame."""
    return features[torch.arange(len(features), device=features.device), :, peaks[:, 0], peaks[:, 1]]


def region(found: Heat, threshold: float = THRESHOLD, border: int = BORDER) -> Tensor:
    """Grow the connected region of each strongest cell among the cells above a share of the maximum, and a border.

    The public ``geodesic_dilation`` returns its marker after the last dilation, before that is cut to the cells above
    the threshold: the published region has a border of one cell in all eight directions, whatever the cells there hold.

    Args:
        found: of :func:`heat`.
        threshold: share of the maximum; cells strictly above belong to the region. If the maximum is not positive, the
            same distance below it counts, so that the region is still the strongest cells.
        border: cells by which the connected cells are grown in all eight directions; 0: nothing below the threshold.

    Returns:
        (B, H, W) bool; the peak itself is always inside.

    Raises:
        RegionError: the threshold is above one or the border negative.
    """
    if threshold > 1:
        raise RegionError(f"The threshold is a share of the maximum, at most 1, got {threshold}.")
    if border < 0:
        raise RegionError(f"The border is a number of cells, 0 or more, got {border}.")
    largest = found.values.amax(dim=(1, 2), keepdim=True)
    allowed = found.values > largest - (1 - threshold) * largest.abs()
    connected = grow(allowed, found.peaks[:, 0], found.peaks[:, 1])
    if border == 0:
        return connected
    return F.max_pool2d(connected[:, None].float(), 2 * border + 1, stride=1, padding=border)[:, 0].bool()


def grow(allowed: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Dilate one seed per map, at (B,) rows and columns, within ``allowed`` (B, H, W) until nothing changes.

    This is geodesic dilation by a 3x3 square. Returns the cells connected to the seed, and the seed itself in any case.
    """
    batch, height, width = allowed.shape
    seeds = torch.zeros_like(allowed)
    seeds[torch.arange(batch, device=allowed.device), rows, columns] = True
    permitted = (allowed | seeds).float()
    reached = seeds.float()
    while True:
        before = reached
        for _ in range(max(height, width)):  # looking whether it has ended costs more than a few idle rounds
            reached = F.max_pool2d(reached[:, None], 3, stride=1, padding=1)[:, 0] * permitted
        if torch.equal(before, reached):
            return reached.bool()


def resized_region(masks: Tensor, size: int | tuple[int, int], peaks: Tensor | None = None) -> Tensor:
    """Bring regions to another resolution as the published code does: ``cv2.resize`` of 0/1 bytes, to the pixel.

    That is half-pixel bilinear interpolation with weights of 11 bits whose two products are truncated to quarters
    (OpenCV's ``VResizeLinear`` of bytes); what rounds to 1 is inside. Without the truncation up to 6 % more of a region
    would be inside at 128 pixels, at its corners, and its measured change differ by up to 3 %. A region so small that
    nothing of it would be left (a single cell on a map half as fine) keeps the cell into which its peak falls, where
    the published code edits nothing.

    Args:
        masks: (B, H, W) bool.
        size: height and width, or one number for both, of the result.
        peaks: (B, 3) or (B, 2) int64, row and column first; None leaves an empty result empty.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if masks.shape[1:] == (height, width):
        return masks
    top, bottom, of_top, of_bottom = _byte_weights(masks.shape[1], height, masks.device)
    left, right, of_left, of_right = _byte_weights(masks.shape[2], width, masks.device)
    cells = masks.int()
    rows = (cells[:, :, left] * of_left + cells[:, :, right] * of_right) >> 4
    quarters = (rows[:, top] * of_top[:, None] >> 16) + (rows[:, bottom] * of_bottom[:, None] >> 16)
    resized = quarters >= 2
    if peaks is None:
        return resized
    empty = ~resized.flatten(1).any(1)
    rows = (2 * peaks[:, 0] + 1) * height // (2 * masks.shape[1])
    columns = (2 * peaks[:, 1] + 1) * width // (2 * masks.shape[2])
    own = torch.arange(len(masks), device=masks.device)
    kept = resized.clone()
    kept[own, rows, columns] |= empty
    return kept


def _byte_weights(old: int, new: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return for each of ``new`` cells its two neighbours among ``old``, and their weights in 1/2048 (all int)."""
    position = ((torch.arange(new, device=device, dtype=torch.float64) + 0.5) * (old / new) - 0.5).float()
    first = position.floor().int()
    share = ((position - first) * 2048).round().int()
    return first.clamp(0, old - 1), (first + 1).clamp(0, old - 1), 2048 - share, share
