"""Points, directions and frames in three dimensions: x to the animal's left, y up, z ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Point = Sequence[float] | Array


def vector(point: Point) -> Array:
    """Returns `point` as a (3,) float32 array."""
    return np.asarray(point, dtype=np.float32)


def unit(direction: Point) -> Array:
    """Returns `direction` with length 1; a zero vector stays zero."""
    v = vector(direction)
    return v / max(float(np.linalg.norm(v)), 1e-9)


def turn(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Array:
    """Returns the (3, 3) rotation that rolls, then looks up by `pitch`, then left by `yaw` (degrees)."""
    y, p, r = np.radians([yaw, -pitch, roll])
    around_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    around_x = [[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]]
    around_z = [[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]]
    return (np.array(around_y) @ np.array(around_x) @ np.array(around_z)).astype(np.float32)


def axes_along(direction: Point) -> Array:
    """Returns a (3, 3) rotation whose y axis points along `direction`."""
    y = unit(direction)
    x = np.cross(y, (0, 0, 1) if abs(y[2]) < 0.9 else (1, 0, 0))
    x = unit(x)
    return np.stack([x, y, np.cross(x, y)], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Frame:
    """A place to build in: where its origin lies, how its axes (columns) are turned, how long its unit is."""

    origin: Array
    axes: Array
    scale: float = 1.0

    def at(self, point: Point) -> Array:
        """Returns the world position of a point given in this frame."""
        return self.origin + self.scale * (self.axes @ vector(point))

    def towards(self, direction: Point) -> Array:
        """Returns the world direction of a direction given in this frame."""
        return self.axes @ vector(direction)

    def inside(self, origin: Point, axes: Array | None = None, scale: float = 1.0) -> Frame:
        """Returns a frame that is placed and turned relative to this one."""
        turned = self.axes if axes is None else self.axes @ axes
        return Frame(self.at(origin), turned, self.scale * scale)


WORLD = Frame(np.zeros(3, np.float32), np.eye(3, dtype=np.float32))
