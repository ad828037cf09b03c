"""Parts and features that many animals share, in the coordinates of the head."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from drawn_animals.coats import Color
from drawn_animals.figure import Bone, Feature, Part
from drawn_animals.space import Point, Rng

T = TypeVar("T")
Whisker = tuple[Point, Point, Point]
"""Root, bend and tip."""

WHITE: Color = (0.93, 0.91, 0.86)
BLACK: Color = (0.075, 0.07, 0.075)
PINK: Color = (0.80, 0.52, 0.50)
NOSE: Color = (0.05, 0.045, 0.05)
LIPS: Color = (0.10, 0.06, 0.06)
DARK_EYE: Color = (0.16, 0.09, 0.05)
ROUND_PUPIL = (0.62, 0.62)


def one_of(rng: Rng, options: Sequence[T]) -> T:
    """Return one of the options at random."""
    return options[int(rng.integers(len(options)))]


def vary(rng: Rng, color: Color, amount: float = 0.03) -> Color:
    """Return a color a little lighter or darker, warmer or cooler."""
    shift = rng.normal(0, amount) + rng.normal(0, amount / 3, 3)
    r, g, b = np.clip(np.array(color) + shift, 0.03, 0.96)
    return float(r), float(g), float(b)


def pair(center: Point, radii: Point, roll: float = 0.0) -> Part:
    """Return an ellipsoid on the left and its mirror image on the right."""
    return Part(center, radii, roll=roll, paired=True)


def snout(length: float, width: float, height: float) -> tuple[Part, ...]:
    """Return a muzzle that narrows toward the nose."""
    return tuple(
        Part(
            (0, -0.25 - 0.06 * share, 0.55 + (length - 0.2) * share),
            (width * (1 - 0.28 * share), height * (1 - 0.28 * share), 0.34),
        )
        for share in (0.0, 0.5, 1.0)
    )


def eyes(
    center: Point,
    radii: Point,
    color: Color = DARK_EYE,
    pupil: tuple[float, float] | None = ROUND_PUPIL,
    *,
    roll: float = 0.0,
    yaw: float = 18.0,
) -> Feature:
    """Return a pair of eyes."""
    return Feature(Part(center, radii, yaw=yaw, roll=roll, paired=True), color, 1.0, pupil)


def nose(center: Point, radii: Point, color: Color = NOSE) -> Feature:
    """Return the bare tip of a nose."""
    return Feature(Part(center, radii), color, 0.5)


def nostrils(center: Point, radii: Point, color: Color) -> Feature:
    """Return a pair of wide nostrils."""
    return Feature(pair(center, radii), color, 0.5)


def mouth(top: Point, width: float, drop: float, back: float) -> tuple[Feature, ...]:
    """Return a closed mouth: a line down from the nose, then one to each side."""
    x, y, z = top
    fork = (x, y - drop, z - 0.02)
    lines = [Bone(top, fork, 0.014)]
    for side in (1, -1):
        middle = (side * width * 0.5, y - drop * 1.35, z - back * 0.3)
        end = (side * width, y - drop * 0.75, z - back)
        lines += [Bone(fork, middle, 0.018), Bone(middle, end, 0.018)]
    return tuple(Feature(line, LIPS) for line in lines)


def whiskers(rng: Rng, root: Point, length: float) -> tuple[Whisker, ...]:
    """Return four whiskers on each side."""
    x, y, z = root
    result = []
    for side in (1, -1):
        for row in np.linspace(-1, 1, 4):
            reach = length * rng.uniform(0.8, 1.1)
            start = (side * x, y + 0.06 * row, z)
            bend = (side * (x + reach * 0.55), y + 0.16 * row + 0.10, z + 0.05)
            result.append((start, bend, (side * (x + reach), y + 0.30 * row - 0.08, z - 0.25)))
    return tuple(result)
