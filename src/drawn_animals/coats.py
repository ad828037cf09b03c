"""Coats: a base color and what is painted over it, as functions of the place on the body."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from drawn_animals.space import Array, Point, Rng, dot, portable, transform, turn, vector

Color = tuple[float, float, float]
Cover = Callable[[Array], Array]
"""From (3, N) places to (N,) shares in [0, 1] of how much of the paint is there."""


@dataclass(frozen=True)
class Coat:
    """A base color and paints laid over it in order."""

    base: Color
    paints: tuple[tuple[Cover, Color], ...] = ()

    def with_paint(self, cover: Cover, color: Color) -> Self:
        """Return this coat with one more paint on top."""
        return replace(self, paints=(*self.paints, (cover, color)))

    def colors(self, places: Array) -> Array:
        """Return the (3, N) colors at (3, N) places."""
        rgb = np.empty_like(places)
        rgb[:] = vector(self.base)[:, None]
        for cover, color in self.paints:
            rgb += cover(places) * (vector(color)[:, None] - rgb)
        return rgb


def dimmed(color: Color, factor: float) -> Color:
    """Return a color made darker (`factor` below 1) or lighter."""
    r, g, b = (min(channel * factor, 1.0) for channel in color)
    return r, g, b


def blended(first: Color, second: Color, share: float) -> Color:
    """Return a color between two, with a `share` of the second."""
    r, g, b = (a + share * (z - a) for a, z in zip(first, second, strict=True))
    return r, g, b


def ramp(value: Array, edge: float, softness: float) -> Array:
    """Return 0 below `edge`, 1 above it, linear over `softness` around it."""
    share: Array = np.clip((value - edge) / softness + 0.5, 0, 1)
    return share


def spot(
    center: Point,
    radii: Point,
    roll: float = 0.0,
    softness: float = 0.25,
    *,
    mirrored: bool = False,
) -> Cover:
    """Cover an ellipsoid; `mirrored` also covers its mirror image on the other side of the body."""
    to_unit = (turn(roll=roll) / vector(radii)).T

    def cover(places: Array) -> Array:
        x, y, z = places
        if mirrored:
            x = np.abs(x) if center[0] >= 0 else -np.abs(x)
        offset = np.stack([x - center[0], y - center[1], z - center[2]])
        x, y, z = transform(to_unit, offset)
        return ramp(-np.sqrt(x * x + y * y + z * z), -1, softness)

    return cover


def beyond(direction: Point, edge: float, softness: float = 0.2) -> Cover:
    """Cover everything further along `direction` than `edge`."""
    return lambda places: ramp(dot(direction, places), edge, softness)


def between(direction: Point, low: float, high: float, softness: float = 0.15) -> Cover:
    """Cover a band across `direction`."""

    def cover(places: Array) -> Array:
        value = dot(direction, places)
        return ramp(value, low, softness) * ramp(-value, -high, softness)

    return cover


def waves(rng: Rng, frequency: float, count: int = 4) -> Callable[[Array], Array]:
    """Return a smooth random function of the place, about −1 to 1, `frequency` waves a unit."""
    directions = rng.normal(size=(count, 3)).astype(np.float32)
    directions *= frequency * 2 * np.pi / np.linalg.norm(directions, axis=1, keepdims=True)
    phases = rng.uniform(0, 2 * np.pi, (count, 1)).astype(np.float32)
    return lambda places: (
        portable(np.sin, transform(directions, places) + phases).sum(0) * np.float32(1.4 / count)
    )


def stripes(
    rng: Rng,
    direction: Point,
    frequency: float,
    share: float = 0.45,
    wobble: float = 0.5,
) -> Cover:
    """Cover wavy stripes across `direction`, `frequency` a unit, over a `share` of the place."""
    along = vector(direction) * np.float32(2 * np.pi * frequency)
    bend = waves(rng, frequency / 4)
    phase = rng.uniform(0, 2 * np.pi)
    edge = float(np.cos(np.pi * share))

    def cover(places: Array) -> Array:
        angle = dot(along, places) + phase + 2 * np.pi * wobble * bend(places)
        return ramp(portable(np.cos, angle), edge, 0.7)

    return cover


def patches(rng: Rng, frequency: float, edge: float = 0.1, softness: float = 0.15) -> Cover:
    """Cover irregular patches."""
    field = waves(rng, frequency, count=5)
    return lambda places: ramp(field(places), edge, softness)


def both(first: Cover, second: Cover) -> Cover:
    """Cover what both cover."""
    return lambda places: first(places) * second(places)


def faint(cover: Cover, share: float) -> Cover:
    """Cover the same with less paint."""
    return lambda places: cover(places) * np.float32(share)
