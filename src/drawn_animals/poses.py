"""How a four-legged animal holds itself: where its trunk, head, legs and tail are.

The world unit is half the length of the trunk; the ground is at y = 0.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from drawn_animals.space import WORLD, Array, Frame, Point, Rng, turn, vector


@dataclass(frozen=True)
class Build:
    """The proportions of a species."""

    head: float
    """Half-width of the head."""
    chest: tuple[float, float]
    """Half-width, half-height."""
    belly: tuple[float, float]
    rump: tuple[float, float]
    leg: float
    """Length from the trunk's underside to the ground."""
    thickness: float
    """Radius of the legs."""
    neck: tuple[float, float]
    """How far the head is above and ahead of the shoulders."""
    tail: float = 0.0
    """Length; 0 for none or a stump."""

    def scaled(self, plumpness: float = 1.0, head: float = 1.0, leg: float = 1.0) -> Self:
        """Return these proportions with another girth, and another size of head and legs."""
        chest, belly, rump = (
            (wide * plumpness, high * plumpness)
            for wide, high in (self.chest, self.belly, self.rump)
        )
        head, leg = self.head * head, self.leg * leg
        return replace(self, head=head, chest=chest, belly=belly, rump=rump, leg=leg)


@dataclass(frozen=True)
class Leg:
    """A leg's joints in the world: where it leaves the trunk, its knee, its foot."""

    top: Array
    knee: Array
    foot: Array
    toes: Point = (0, 0, 1)
    """The direction in which the paw points."""
    front: bool = True


Stance = tuple[Frame, list[Leg]]
"""Trunk and legs."""


@dataclass(frozen=True)
class Skeleton:
    """A pose."""

    trunk: Frame
    """z from the hips (−1) to the shoulders (+1), y to the back."""
    head: Frame
    """Its unit is half the head's width; z points out of the nose."""
    legs: tuple[Leg, ...]
    tail: tuple[Array, ...]


def pose(build: Build, name: str, azimuth: float, rng: Rng) -> Skeleton:
    """Return a skeleton that does what `name` says: stand, walk, sit, slump or lie.

    Its head turns to a viewer at `azimuth` (degrees).
    """
    trunk, legs = _STANCES[name](build, rng)
    lowest, highest = (0.2, 1.0) if name == "lie" else (0.7, 1.15)
    up, ahead = build.neck
    neck = vector((0, up * rng.uniform(lowest, highest), ahead))
    if name == "slump":
        neck = vector((0, build.head * 0.55, 0.16))
    gaze = np.clip(azimuth * rng.uniform(0.45, 1.0) + rng.normal(0, 8), -75, 75)
    axes = turn(gaze, rng.normal(-2, 8), rng.normal(0, 7))
    middle = trunk.at((0, 0.1, 0.85)) + neck
    middle[1] = max(middle[1], build.head * 0.85)
    tail = _tail(build, trunk, rng, lifted=name in ("stand", "walk")) if build.tail else ()
    return Skeleton(trunk, Frame(middle, axes, build.head), tuple(legs), tail)


def _stand(build: Build, rng: Rng, stride: float = 0.06) -> Stance:
    height = build.leg + build.belly[1] * 0.75
    trunk = WORLD.inside((0, height, 0), turn(0, rng.normal(0, 2)))
    legs = []
    for side in (1, -1):
        for front in (True, False):
            half_width = (build.chest if front else build.rump)[0] - build.thickness * 0.8
            top = trunk.at((side * half_width, -0.15, 0.62 if front else -0.66))
            step = rng.uniform(0.6, 1) * stride * (side if front else -side)
            foot = vector((top[0] * 0.95, build.thickness * 0.6, top[2] + step))
            knee = (top + foot) / 2 + vector((0, 0, -0.03 if front else 0.16)) * build.leg
            lift = 0.35 * max(step - 0.06, 0)
            legs.append(Leg(top, knee, foot + vector((0, lift, 0)), front=front))
    return trunk, legs


def _walk(build: Build, rng: Rng) -> Stance:
    return _stand(build, rng, stride=0.32 * build.leg)


def _sit(build: Build, rng: Rng) -> Stance:
    trunk = _rear_up(rng.uniform(50, 64), -0.62, build.rump[1] * 0.95)
    (chest, _), (rump, high), thick = build.chest, build.rump, build.thickness
    legs = []
    for side in (1, -1):
        top = trunk.at((side * (chest - thick * 0.6), -0.2, 0.55))
        foot = vector((side * max(abs(top[0]) * 0.75, thick), thick * 0.6, top[2] + 0.02))
        legs.append(Leg(top, (top + foot) / 2 + vector((0, 0, -0.04)), foot))
        hip = trunk.at((side * rump * 0.8, 0.0, -0.55))
        foot = vector((side * (rump + 0.1), thick * 0.6, hip[2] + 0.62))
        knee = vector((side * (rump + 0.08), high * 0.95, hip[2] + 0.42))
        legs.append(Leg(hip, knee, foot, (side * 0.25, 0, 1), front=False))
    return trunk, legs


def _slump(build: Build, rng: Rng) -> Stance:
    steep, _ = rng.uniform(74, 86), rng.normal()  # without the second, all pictures would change
    trunk = _rear_up(steep, -0.66, build.rump[1] * 0.8)
    legs = []
    for side in (1, -1):
        reach, height = rng.uniform(0.35, 0.75), rng.uniform(0.15, 1.0)
        top = trunk.at((side * build.chest[0] * 0.88, -0.05, 0.58))
        foot = top + vector((side * rng.uniform(-0.3, 0.12), -0.75 + 0.6 * height, reach))
        knee = (top + foot) / 2 + vector((side * 0.16, -0.16, 0.0))
        legs.append(Leg(top, knee, foot, (-side * 0.3, 0.3, 1)))
        hip = trunk.at((side * build.rump[0] * 0.62, -0.1, -0.66))
        x, z = side * rng.uniform(0.55, 0.9), hip[2] + rng.uniform(0.75, 1.0)
        foot = vector((x, build.thickness * 1.1, z))
        knee = (hip + foot) / 2 + vector((side * 0.08, 0.12, 0))
        legs.append(Leg(hip, knee, foot, (side * 0.25, 1, 0.15), front=False))
    return trunk, legs


def _lie(build: Build, rng: Rng) -> Stance:
    trunk = WORLD.inside((0, build.belly[1] * 0.9, 0), turn(0, rng.uniform(0, 10)))
    (chest, _), (rump, high), thick = build.chest, build.rump, build.thickness
    legs = []
    for side in (1, -1):
        top = trunk.at((side * (chest - thick * 0.5), -0.15, 0.6))
        elbow = vector((side * chest, thick, top[2] + 0.1))
        reach = min(build.leg, 0.7) * rng.uniform(0.75, 1.0)
        x, z = side * chest * rng.uniform(0.6, 1.0), top[2] + 0.15 + reach
        legs.append(Leg(top, elbow, vector((x, thick * 0.7, z))))
        hip = trunk.at((side * rump * 0.85, -0.05, -0.6))
        knee = vector((side * (rump + 0.1), high * 0.6, hip[2] + 0.45))
        foot = vector((side * (rump + 0.12), thick * 0.6, hip[2] + 0.62))
        legs.append(Leg(hip, knee, foot, (side * 0.2, 0, 1), front=False))
    return trunk, legs


def _rear_up(steep: float, seat: float, height: float) -> Frame:
    """Return a trunk raised by `steep` degrees, its point `seat` at this height."""
    axes = turn(0, steep)
    lift = height - WORLD.inside((0, 0, 0), axes).at((0, 0, seat))[1]
    return WORLD.inside((0, lift, 0), axes)


_STANCES = {"stand": _stand, "walk": _walk, "sit": _sit, "slump": _slump, "lie": _lie}


def _tail(build: Build, trunk: Frame, rng: Rng, *, lifted: bool) -> tuple[Array, ...]:
    """Return points along the tail: in the air, or around the body on the ground."""
    root = trunk.at((0, 0.2, -1.0))
    side = rng.choice((-1, 1))
    share = np.linspace(0, 1, 9)
    if lifted:
        rise = rng.uniform(-0.8, 1.3)
        angle = np.radians(-20 + 60 * rise * share + 25 * np.sin(3 * share) * side)
        step = np.stack([0.35 * side * share, np.sin(angle), -np.cos(angle)], 1)
    else:
        angle = np.radians(170 * share * rng.uniform(0.75, 1.05))
        step = np.stack([side * np.sin(angle), -0.6 * (share < 0.3), -np.cos(angle)], 1)
    points = root + np.cumsum(step * build.tail / len(share), axis=0)
    points[:, 1] = np.maximum(points[:, 1], 0.1)
    return tuple(vector(point) for point in [root, *points])
