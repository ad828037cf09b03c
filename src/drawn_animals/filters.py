"""Blurs and the Laplacian of (…, h, w) float32 pictures.

Sums are in float64 and rounded after each axis; beyond its edge, a picture goes on as its mirror
image.
"""

from collections.abc import Callable

import numpy as np

from drawn_animals.space import Array

BLOCK = 1 << 15
"""Values that are filtered at a time: few enough to stay in the processor's cache."""


def gaussian(picture: Array, sigma: float, truncate: float = 4.0) -> Array:
    """Return the picture under a Gaussian blur that ends `truncate` deviations from its middle."""
    reach = int(truncate * sigma + 0.5)
    weights = np.exp(-0.5 / (sigma * sigma) * np.arange(-reach, reach + 1) ** 2)
    weights /= weights.sum()
    for axis in (-2, -1):
        picture = _symmetric(picture, weights[reach:], axis)
    return picture


def box_mean(picture: Array, side: int) -> Array:
    """Return the mean of the square around each pixel, an odd `side` px wide."""

    def mean(rows: Array) -> Array:
        count = len(rows) - side + 1
        total = rows[:count].copy()
        for shift in range(1, side):
            total += rows[shift : shift + count]
        total /= side
        return total

    for axis in (-2, -1):
        picture = _filtered(picture, axis, side // 2, mean)
    return picture


def laplacian(picture: Array) -> Array:
    """Return the sum of the second differences down and across."""
    weights = np.array([-2.0, 1.0])
    return _symmetric(picture, weights, -2) + _symmetric(picture, weights, -1)


def _symmetric(picture: Array, weights: Array, axis: int) -> Array:
    """Return sums along an axis: the weight of the middle first, then those to both its sides."""
    reach = len(weights) - 1

    def weighted(rows: Array) -> Array:
        count = len(rows) - 2 * reach
        total: Array = rows[reach : reach + count] * weights[0]
        for shift in range(reach, 0, -1):
            pair = rows[reach - shift :][:count] + rows[reach + shift :][:count]
            pair *= weights[shift]
            total += pair
        return total

    return _filtered(picture, axis, reach, weighted)


def _filtered(picture: Array, axis: int, reach: int, sums: Callable[[Array], Array]) -> Array:
    """Return what `sums` makes of float64 rows, `reach` more at both ends than it returns."""
    result = np.empty(picture.shape, np.float32)
    plane = picture.shape[-2:]
    for rows, out in zip(picture.reshape(-1, *plane), result.reshape(-1, *plane), strict=True):
        if axis == -1:
            rows, out = rows.T, out.T
        padded = np.pad(rows, ((reach, reach), (0, 0)), "symmetric")
        step = max(1, BLOCK // len(padded))
        for start in range(0, rows.shape[1], step):
            block = slice(start, start + step)
            out[:, block] = sums(padded[:, block].astype(np.float64, order="C"))
    return result
