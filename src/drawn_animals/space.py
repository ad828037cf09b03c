"""Points, directions and frames in three dimensions: x to the animal's left, y up, z ahead."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Array = NDArray[Any]
Point = Sequence[float] | Array


def vector(point: Point) -> Array:
    """Return `point` as a (3,) float32 array."""
    return np.asarray(point, dtype=np.float32)


def unit(direction: Point) -> Array:
    """Return `direction` with length 1; a zero vector stays zero."""
    v = vector(direction)
    return v / max(math.hypot(*v.tolist()), 1e-9)


def dot(direction: Point, vectors: Array) -> Array:
    """Return the dot products (…) of one direction with (3, …) vectors.

    Written out, since a linear-algebra library would add up in an order that depends on the
    processor and the number of threads.
    """
    a, b, c = (np.float32(part) for part in direction)
    x, y, z = vectors
    products: Array = a * x + b * y + c * z
    return products


def transform(matrix: Array, vectors: Array) -> Array:
    """Return (n, …): the (n, 3) matrix times (3, …) vectors, written out as in `dot`."""
    x, y, z = vectors
    a, b, c = np.asarray(matrix, np.float32).T.reshape(3, -1, *(1,) * (vectors.ndim - 1))
    products: Array = a * x + b * y + c * z
    return products


def lengths(vectors: Array) -> Array:
    """Return the lengths (…) of (3, …) vectors."""
    x, y, z = vectors
    result: Array = np.sqrt(x * x + y * y + z * z)
    return result


def portable(function: Callable[..., Array], *operands: Array | float) -> Array:
    """Return `function` of the operands, computed in float64 and rounded to float32.

    NumPy computes exp, sin, power and the like by other code on other processors, and in float32
    the last bits tell. Those of float64 are gone after the rounding.
    """
    result = function(*(np.asarray(operand, np.float64) for operand in operands))
    return result.astype(np.float32)


def turn(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Array:
    """Return the (3, 3) rotation that rolls, then looks up by `pitch`, then turns left by `yaw`.

    All angles are in degrees.
    """
    y, p, r = np.radians([yaw, -pitch, roll])
    around_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    around_x = [[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]]
    around_z = [[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]]
    return (np.array(around_y) @ np.array(around_x) @ np.array(around_z)).astype(np.float32)


def cross(first: Point, second: Point) -> Array:
    """Return the (3,) direction at right angles to both."""
    (a, b, c), (x, y, z) = first, second
    return vector((b * z - c * y, c * x - a * z, a * y - b * x))


def axes_along(direction: Point) -> Array:
    """Return a (3, 3) rotation whose y axis points along `direction`."""
    y = unit(direction)
    x = cross(y, (0, 0, 1) if abs(y[2]) < 0.9 else (1, 0, 0))
    x = unit(x)
    return np.stack([x, y, cross(x, y)], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Frame:
    """A place to build in: its origin, its turned axes (columns), and the length of its unit."""

    origin: Array
    axes: Array
    scale: float = 1.0

    def at(self, point: Point) -> Array:
        """Return the world position of a point given in this frame."""
        return self.origin + self.scale * transform(self.axes, vector(point))

    def toward(self, direction: Point) -> Array:
        """Return the world direction of a direction given in this frame."""
        return transform(self.axes, vector(direction))

    def inside(self, origin: Point, axes: Array | None = None, scale: float = 1.0) -> Self:
        """Return a frame that is placed and turned relative to this one."""
        turned = self.axes if axes is None else transform(self.axes, axes)
        return replace(self, origin=self.at(origin), axes=turned, scale=self.scale * scale)


WORLD = Frame(np.zeros(3, np.float32), np.eye(3, dtype=np.float32))
