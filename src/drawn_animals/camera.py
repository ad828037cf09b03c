"""The camera: which pixel shows which point of the world."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from drawn_animals.figure import Solid
from drawn_animals.space import Array, lengths, transform, vector


@dataclass(frozen=True)
class Camera:
    """Looks at `target` from `distance` away.

    `rotation` takes the world to the view (x right, y up, z to us). `scale` is pixels per world
    unit at the target, which appears at pixel `center` (x, y).
    """

    rotation: Array
    target: Array
    distance: float
    scale: float
    center: tuple[float, float]

    def view(self, point: Array) -> tuple[Array, float]:
        """Return a world point in view space after perspective, and its magnification."""
        x, y, z = transform(self.rotation, point - self.target)
        zoom = self.distance / max(self.distance - z, 0.2 * self.distance)
        return vector((x * zoom, y * zoom, z)), float(zoom)

    def pixel(self, point: Array) -> tuple[float, float]:
        """Return the pixel (x, y) at which a world point appears."""
        (x, y, _), _ = self.view(point)
        return self.center[0] + self.scale * float(x), self.center[1] - self.scale * float(y)

    def scaled(self, factor: float) -> Self:
        """Return this camera with a picture `factor` times as large."""
        x, y = self.center
        return replace(self, scale=self.scale * factor, center=(x * factor, y * factor))

    def world(self, x: Array, y: Array, z: Array) -> Array:
        """Return the (3, N) world points that are visible at view coordinates x, y and depth z."""
        shrink = 1 - z / np.float32(self.distance)
        place: Array = transform(self.rotation.T, np.stack([x * shrink, y * shrink, z]))
        return place + self.target[:, None]

    def bounds(self, solids: list[Solid]) -> tuple[float, float, float, float]:
        """Return left, top, right, bottom in px of all solids together."""
        boxes = []
        for solid in solids:
            (center_x, center_y, _), zoom = self.view(solid.center)
            axes = transform(self.rotation, solid.shape) * zoom * self.scale
            x, y = self.center[0] + self.scale * center_x, self.center[1] - self.scale * center_y
            wide, high, _ = lengths(axes.T)
            boxes.append((x - wide, y - high, x + wide, y + high))
        low, high = np.min(boxes, 0), np.max(boxes, 0)
        return float(low[0]), float(low[1]), float(high[2]), float(high[3])
