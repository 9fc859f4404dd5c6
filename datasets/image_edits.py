"""Edits of whole images that surisdi/learning-by-drawing makes with OpenCV (``dataset.py``), on arrays alone.

Elastic warping equals OpenCV's up to its fixed-point interpolation; cloning solves the same Poisson equation (Pérez et
al., "Poisson Image Editing", 2003). Holes are filled by the smoothest surface instead of Telea's fast marching.
"""

import numpy as np
from scipy import fft, ndimage, sparse
from scipy.sparse.linalg import spsolve

SCALE = 4  # edge of a cell of the coarse grid of displacements, pixels
ERODED = 3  # cells by which a cloned mask shrinks where its gradients begin, as in OpenCV


class CloneError(ValueError):
    """A patch that would leave the image, or is empty."""


def warp(
    image: np.ndarray, across: np.ndarray, down: np.ndarray, strength: float = 800.0, sigma: float = 10.0
) -> np.ndarray:
    """Bend an image (H, W, 3) uint8 elastically; beyond its border it is mirrored.

    ``across`` and ``down`` (H // 4, W // 4) are noise in -1 to 1, of the displacements to the right and downwards,
    which a Gaussian of ``sigma`` cells of 4 pixels blurs and ``strength`` (pixels) multiplies.
    """
    height, width = image.shape[:2]
    radius = int(4 * sigma) // 2
    shifts = [
        strength * _resized(ndimage.gaussian_filter(noise, sigma, mode="mirror", radius=radius), height, width)
        for noise in (down, across)
    ]
    positions = np.indices((height, width)) + shifts
    bent = [
        ndimage.map_coordinates(image[..., channel].astype(float), positions, order=1, mode="mirror")
        for channel in range(3)
    ]
    return np.stack(bent, axis=2).round().astype(np.uint8)


def _resized(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Enlarge (h, w) bilinearly; pixels are areas, the border is repeated."""
    rows, columns = (
        (np.arange(to) + 0.5) * size / to - 0.5 for size, to in zip(values.shape, (height, width), strict=True)
    )
    return ndimage.map_coordinates(values, np.meshgrid(rows, columns, indexing="ij"), order=1, mode="nearest")


def fill(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Fill a ``hole`` (H, W) bool of an image (H, W, 3) uint8 with the smoothest surface that continues its border.

    The hole is not the whole image.
    """
    numbers = np.full(hole.shape, -1)
    numbers[hole] = np.arange(hole.sum())
    rows, columns = np.nonzero(hole)
    known, entries, neighbours = np.zeros((len(rows), 3)), [], np.zeros(len(rows))
    for step in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        r, c = rows + step[0], columns + step[1]
        inside = (r >= 0) & (r < hole.shape[0]) & (c >= 0) & (c < hole.shape[1])
        neighbours += inside
        own, other = np.flatnonzero(inside), numbers[r[inside], c[inside]]
        entries.append((own[other >= 0], other[other >= 0]))
        np.add.at(known, own[other < 0], image[r[inside][other < 0], c[inside][other < 0]])
    i, j = (np.concatenate(part) for part in zip(*entries, strict=True))
    matrix = sparse.diags_array(neighbours) - sparse.coo_array((np.ones(len(i)), (i, j)), shape=(len(rows),) * 2)
    filled = image.copy()
    if len(rows):
        filled[hole] = np.clip(spsolve(matrix.tocsc(), known).reshape(-1, 3).round(), 0, 255)
    return filled


def clone(source: np.ndarray, target: np.ndarray, mask: np.ndarray, centre: tuple[int, int]) -> np.ndarray:
    """Put a part of an image into another without a seam: it keeps its gradients and takes the colours of its border.

    Both are (H, W, 3) uint8; ``mask`` (H, W) bool is the part of the source, ``centre`` the column and row of the
    target where the middle of the mask's box comes to lie. Nothing changes outside of the box. Raises CloneError where
    the mask is empty, or the part would leave the target.
    """
    if not mask.any():
        raise CloneError("the mask is empty")
    box = ndimage.find_objects(mask.astype(int))[0]
    height, width = (part.stop - part.start for part in box)
    top, left = int(centre[1]) - height // 2, int(centre[0]) - width // 2
    if top < 0 or left < 0 or top + height > target.shape[0] or left + width > target.shape[1]:
        raise CloneError(f"the part of {width} x {height} pixels would leave the image at {centre}")
    window = (slice(top, top + height), slice(left, left + width))
    cloned = target.copy()
    cloned[window] = _blended(source[box] * mask[box][..., None], target[window], mask[box])
    return cloned


def _blended(patch: np.ndarray, under: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Join the gradients of the patch (h, w, 3) within the shrunken mask and of the image under it elsewhere."""
    inner = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=ERODED)
    result = under.astype(float)
    if min(mask.shape) < 3:  # nothing but border
        return under
    for channel in range(under.shape[2]):
        below, above, divergence = result[..., channel], patch[..., channel].astype(float), np.zeros(mask.shape)
        for axis in (0, 1):
            gradient = np.where(inner, _forward(above, axis), _forward(below, axis))
            divergence += gradient - np.roll(gradient, 1, axis)
        result[..., channel] = _poisson(below, divergence)
    return np.clip(result.round(), 0, 255).astype(np.uint8)


def _forward(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the next value minus this one; 0 at the end."""
    return np.diff(values, axis=axis, append=np.take(values, [-1], axis=axis))


def _poisson(border: np.ndarray, divergence: np.ndarray) -> np.ndarray:
    """Return values (H, W) of this Laplacian inside and of ``border`` on the outermost pixels, by sine transforms."""
    edge = border.copy()
    edge[1:-1, 1:-1] = 0
    laplacian = sum(np.roll(edge, step, axis) for axis in (0, 1) for step in (1, -1)) - 4 * edge
    right = (divergence - laplacian)[1:-1, 1:-1]
    waves = [2 * np.cos(np.pi * np.arange(1, size + 1) / (size + 1)) - 2 for size in right.shape]
    edge[1:-1, 1:-1] = fft.idstn(fft.dstn(right, type=1) / (waves[0][:, None] + waves[1]), type=1)
    return edge
