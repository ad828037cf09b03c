"""Where the rays through the pixels meet ellipsoids and horns, and the skin that these make up."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from drawn_animals.camera import Camera
from drawn_animals.figure import Figure, Solid
from drawn_animals.space import Array, lengths, portable, transform, vector

BLEND = 0.035
"""How softly touching solids flow into each other, in world units."""

Box = tuple[slice, slice]


@dataclass(frozen=True)
class Hit:
    """What the rays through a box of pixels meet on one solid."""

    box: Box
    depth: Array
    """(h, w), −inf where they miss."""
    normal: Array
    """(3, h, w), unit length where they hit."""
    place: Array | None = None
    """(3, h, w) in units of the solid's half-axes; features only."""


class Canvas:
    """A window of pixels, with the view coordinates of each of their centers."""

    def __init__(self, camera: Camera, left: int, top: int, width: int, height: int) -> None:
        self.camera, self.left, self.top = camera, left, top
        self.shape = (height, width)
        cx, cy = camera.center
        self.x = ((np.arange(left, left + width) + 0.5 - cx) / camera.scale).astype(np.float32)
        self.y = (-(np.arange(top, top + height) + 0.5 - cy) / camera.scale).astype(np.float32)

    @classmethod
    def around(cls, figure: Figure, camera: Camera, size: tuple[int, int]) -> Self:
        """Return the part of a picture of `size` (w, h) px that a figure takes up."""
        left, top, right, bottom = camera.bounds(figure.solids())
        left, top = max(int(left) - 8, 0), max(int(top) - 8, 0)
        right, bottom = min(int(right) + 8, size[0]), min(int(bottom) + 8, size[1])
        return cls(camera, left, top, max(right - left, 1), max(bottom - top, 1))

    def box(self, x: float, y: float, half_width: float, half_height: float) -> Box | None:
        """Return the pixels around a place in view coordinates; None if they are off the canvas."""
        left, right = np.searchsorted(self.x, (x - half_width, x + half_width))
        top, bottom = np.searchsorted(-self.y, (-y - half_height, -y + half_height))
        if right <= left or bottom <= top:
            return None
        return slice(int(top), int(bottom)), slice(int(left), int(right))

    def cast(self, solid: Solid, *, with_place: bool = False) -> Hit | None:
        """Return where the rays through this canvas meet a solid; None if it lies outside."""
        center, zoom = self.camera.view(solid.center)
        axes = transform(self.camera.rotation, solid.shape) * vector((zoom, zoom, 1))[:, None]
        is_horn = solid.roundness is not None
        half_x, half_y, _ = np.abs(axes).sum(1) if is_horn else lengths(axes.T)
        box = self.box(center[0], center[1], half_x, half_y)
        if box is None:
            return None
        dx, dy = self.x[None, box[1]] - center[0], self.y[box[0], None] - center[1]
        inverse = portable(np.linalg.inv, axes)
        depth, normal = (_meet_horn if is_horn else _meet_ellipsoid)(solid, inverse, dx, dy)
        normal /= lengths(normal) + np.float32(1e-9)
        place = None
        if with_place:
            offset = np.stack(np.broadcast_arrays(dx, dy, np.where(np.isfinite(depth), depth, 0)))
            place = transform(inverse, offset)
        return Hit(box, depth + center[2], normal, place)


def _meet_ellipsoid(solid: Solid, inverse: Array, dx: Array, dy: Array) -> tuple[Array, Array]:
    form = transform(inverse.T, inverse)
    linear = form[0, 2] * dx + form[1, 2] * dy
    rest = (form[0, 0] * dx * dx - 1) + (form[1, 1] * dy * dy) + 2 * form[0, 1] * dx * dy
    root = linear * linear - form[2, 2] * rest
    inside = root > 0
    z = (np.sqrt(np.maximum(root, 0)) - linear) / form[2, 2]
    normal = np.stack([form[i, 0] * dx + form[i, 1] * dy + form[i, 2] * z for i in range(3)])
    return np.where(inside, z, -np.inf).astype(np.float32), normal


def _meet_horn(solid: Solid, inverse: Array, dx: Array, dy: Array) -> tuple[Array, Array]:
    """Solve x² + z² = (1 − t)(1 − y)² + t(1 − y) with roundness t along each ray, for 0 ≤ y ≤ 1."""
    t = np.float32(solid.roundness or 0.0)
    signs = np.array([1, t - 1, 1], np.float32)
    slope = (2 - t) * inverse[1]
    form = transform(inverse.T, signs[:, None] * inverse)
    a = form[2, 2] if abs(form[2, 2]) > 1e-6 else np.float32(1e-6)
    b = 2 * (form[0, 2] * dx + form[1, 2] * dy) + slope[2]
    c = form[0, 0] * dx * dx + form[1, 1] * dy * dy + 2 * form[0, 1] * dx * dy
    c = c + slope[0] * dx + slope[1] * dy - 1
    root = b * b - 4 * a * c
    half = np.sqrt(np.maximum(root, 0))
    best = np.full(half.shape, -np.inf, np.float32)
    for z in ((half - b) / (2 * a), (-half - b) / (2 * a)):
        height = inverse[1, 0] * dx + inverse[1, 1] * dy + inverse[1, 2] * z
        best = np.where((root > 0) & (height >= -0.02) & (height <= 1) & (z > best), z, best)
    z = np.where(np.isfinite(best), best, 0)
    normal = np.stack(
        [2 * (form[i, 0] * dx + form[i, 1] * dy + form[i, 2] * z) + slope[i] for i in range(3)]
    )
    return best.astype(np.float32), normal


@dataclass(frozen=True)
class Surface:
    """The visible skin in a canvas: depth, normal, and each region's share of each pixel."""

    depth: Array
    normal: Array
    shares: list[Array]
    mask: NDArray[np.bool_]


def skin(canvas: Canvas, figure: Figure) -> Surface:
    """Return where all of a figure's hairy solids are met; neighbors flow into each other."""
    nearest = np.full(canvas.shape, -np.inf, np.float32)
    hits: list[tuple[int, Hit]] = []
    for index, region in enumerate(figure.regions):
        for solid in region.solids:
            hit = canvas.cast(solid)
            if hit is not None:
                hits.append((index, hit))
                np.maximum(nearest[hit.box], hit.depth, out=nearest[hit.box])
    mask = np.isfinite(nearest)
    nearest[~mask] = 0
    total = np.full(canvas.shape, 1e-6, np.float32)
    normal = np.zeros((3, *canvas.shape), np.float32)
    shares = [np.zeros(canvas.shape, np.float32) for _ in figure.regions]
    for index, hit in hits:
        weight = portable(np.exp, np.minimum(hit.depth - nearest[hit.box], 0) / np.float32(BLEND))
        total[hit.box] += weight
        shares[index][hit.box] += weight
        normal[(slice(None), *hit.box)] += weight * hit.normal
    for share in shares:
        share /= total
    normal /= lengths(normal) + np.float32(1e-6)
    return Surface(nearest, normal, shares, mask)
