"""How a four-legged animal holds itself: where its trunk, head, legs and tail are.

The world unit is half the length of the trunk; the ground is at y = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drawn_animals.space import WORLD, Array, Frame, turn, vector

POSES = ("stand", "walk", "sit", "slump", "lie")


@dataclass(frozen=True)
class Build:
    """The proportions of a species."""

    head: float = 0.5
    """Half-width of the head."""
    chest: tuple[float, float] = (0.42, 0.48)
    """Half-width, half-height."""
    belly: tuple[float, float] = (0.42, 0.45)
    rump: tuple[float, float] = (0.42, 0.46)
    leg: float = 0.8
    """Length from the trunk's underside to the ground."""
    thickness: float = 0.15
    """Radius of the legs."""
    neck_up: float = 0.3
    neck_ahead: float = 0.35
    tail: float = 0.0
    """Length; 0 for none or a stump."""
    poses: tuple[str, ...] = POSES


@dataclass(frozen=True)
class Leg:
    """A leg's joints in the world: where it leaves the trunk, its knee, its foot."""

    top: Array
    knee: Array
    foot: Array
    front: bool
    toes: Array
    """The direction in which the paw points."""


@dataclass(frozen=True)
class Skeleton:
    """A pose."""

    trunk: Frame
    """z from the hips (−1) to the shoulders (+1), y to the back."""
    head: Frame
    """Its unit is half the head's width; z points out of the nose."""
    legs: tuple[Leg, ...]
    tail: tuple[Array, ...]


def pose(build: Build, name: str, azimuth: float, rng: np.random.Generator) -> Skeleton:
    """Return a skeleton in the named pose; its head turns to a viewer at `azimuth` (degrees)."""
    make = {"stand": _stand, "walk": _walk, "sit": _sit, "slump": _slump, "lie": _lie}[name]
    trunk, legs = make(build, rng)
    lowest, highest = (0.2, 1.0) if name == "lie" else (0.7, 1.15)
    neck = vector((0, build.neck_up * rng.uniform(lowest, highest), build.neck_ahead))
    if name == "slump":
        neck = vector((0, build.head * 0.55, 0.16))
    gaze = np.clip(azimuth * rng.uniform(0.45, 1.0) + rng.normal(0, 8), -75, 75)
    axes = turn(gaze, rng.normal(-2, 8), rng.normal(0, 7))
    middle = trunk.at((0, 0.1, 0.85)) + neck
    middle[1] = max(middle[1], build.head * 0.85)
    return Skeleton(trunk, Frame(middle, axes, build.head), legs, _tail(build, trunk, name, rng))


Stance = tuple[Frame, tuple[Leg, ...]]
"""Trunk and legs."""


def _stand(build: Build, rng: np.random.Generator) -> Stance:
    return _upright(build, rng, stride=0.06)


def _walk(build: Build, rng: np.random.Generator) -> Stance:
    return _upright(build, rng, stride=0.32 * build.leg)


def _upright(build: Build, rng: np.random.Generator, stride: float) -> Stance:
    height = build.leg + build.belly[1] * 0.75
    trunk = WORLD.inside((0, height, 0), turn(0, rng.normal(0, 2)))
    legs = []
    for side in (1, -1):
        for front in (True, False):
            half_width = (build.chest if front else build.rump)[0]
            top = trunk.at(
                (side * (half_width - build.thickness * 0.8), -0.15, 0.62 if front else -0.66)
            )
            step = rng.uniform(0.6, 1) * stride * (side if front else -side)
            foot = vector((top[0] * 0.95, build.thickness * 0.6, top[2] + step))
            lift = 0.35 * max(step - 0.06, 0)
            knee = (top + foot) / 2 + vector((0, 0, -0.03 if front else 0.16)) * build.leg
            legs.append(
                Leg(top, knee, foot + vector((0, lift, 0)), front=front, toes=vector((0, 0, 1)))
            )
    return trunk, tuple(legs)


def _sit(build: Build, rng: np.random.Generator) -> Stance:
    steep = rng.uniform(50, 64)
    trunk = WORLD.inside((0, 0, 0), turn(0, steep))
    lift = build.rump[1] * 0.95 - trunk.at((0, 0, -0.62))[1]
    trunk = WORLD.inside((0, lift, 0), turn(0, steep))
    legs = []
    for side in (1, -1):
        top = trunk.at((side * (build.chest[0] - build.thickness * 0.6), -0.2, 0.55))
        foot = vector(
            (side * max(abs(top[0]) * 0.75, build.thickness), build.thickness * 0.6, top[2] + 0.02)
        )
        knee = (top + foot) / 2 + vector((0, 0, -0.04))
        legs.append(Leg(top, knee, foot, front=True, toes=vector((0, 0, 1))))
        hip = trunk.at((side * build.rump[0] * 0.8, 0.0, -0.55))
        foot = vector((side * (build.rump[0] + 0.1), build.thickness * 0.6, hip[2] + 0.62))
        knee = vector((side * (build.rump[0] + 0.08), build.rump[1] * 0.95, hip[2] + 0.42))
        legs.append(Leg(hip, knee, foot, front=False, toes=vector((side * 0.25, 0, 1))))
    return trunk, tuple(legs)


def _slump(build: Build, rng: np.random.Generator) -> Stance:
    steep = rng.uniform(74, 86)
    trunk = WORLD.inside((0, 0, 0), turn(rng.normal(0, 4), steep))
    lift = build.rump[1] * 0.8 - trunk.at((0, 0, -0.66))[1]
    trunk = WORLD.inside((0, lift, 0), turn(0, steep))
    legs = []
    for side in (1, -1):
        reach, height = rng.uniform(0.35, 0.75), rng.uniform(0.15, 1.0)
        top = trunk.at((side * build.chest[0] * 0.88, -0.05, 0.58))
        foot = top + vector((side * rng.uniform(-0.3, 0.12), -0.75 + 0.6 * height, reach))
        knee = (top + foot) / 2 + vector((side * 0.16, -0.16, 0.0))
        legs.append(Leg(top, knee, foot, front=True, toes=vector((-side * 0.3, 0.3, 1))))
        hip = trunk.at((side * build.rump[0] * 0.62, -0.1, -0.66))
        foot = vector(
            (side * rng.uniform(0.55, 0.9), build.thickness * 1.1, hip[2] + rng.uniform(0.75, 1.0))
        )
        knee = (hip + foot) / 2 + vector((side * 0.08, 0.12, 0))
        legs.append(Leg(hip, knee, foot, front=False, toes=vector((side * 0.25, 1, 0.15))))
    return trunk, tuple(legs)


def _lie(build: Build, rng: np.random.Generator) -> Stance:
    trunk = WORLD.inside((0, build.belly[1] * 0.9, 0), turn(0, rng.uniform(0, 10)))
    legs = []
    for side in (1, -1):
        top = trunk.at((side * (build.chest[0] - build.thickness * 0.5), -0.15, 0.6))
        elbow = vector((side * build.chest[0], build.thickness, top[2] + 0.1))
        reach = min(build.leg, 0.7) * rng.uniform(0.75, 1.0)
        foot = vector(
            (
                side * build.chest[0] * rng.uniform(0.6, 1.0),
                build.thickness * 0.7,
                top[2] + 0.15 + reach,
            )
        )
        legs.append(Leg(top, elbow, foot, front=True, toes=vector((0, 0, 1))))
        hip = trunk.at((side * build.rump[0] * 0.85, -0.05, -0.6))
        knee = vector((side * (build.rump[0] + 0.1), build.rump[1] * 0.6, hip[2] + 0.45))
        foot = vector((side * (build.rump[0] + 0.12), build.thickness * 0.6, hip[2] + 0.62))
        legs.append(Leg(hip, knee, foot, front=False, toes=vector((side * 0.2, 0, 1))))
    return trunk, tuple(legs)


def _tail(build: Build, trunk: Frame, name: str, rng: np.random.Generator) -> tuple[Array, ...]:
    """Return points along the tail: in the air when upright, else around the body on the ground."""
    if build.tail == 0:
        return ()
    root = trunk.at((0, 0.2, -1.0))
    side = rng.choice((-1, 1))
    share = np.linspace(0, 1, 9)
    if name in ("stand", "walk"):
        rise = rng.uniform(-0.8, 1.3)
        angle = np.radians(-20 + 60 * rise * share + 25 * np.sin(3 * share) * side)
        step = np.stack([0.35 * side * share, np.sin(angle), -np.cos(angle)], 1)
    else:
        angle = np.radians(170 * share * rng.uniform(0.75, 1.05))
        step = np.stack([side * np.sin(angle), -0.6 * (share < 0.3), -np.cos(angle)], 1)
    points = root + np.cumsum(step * build.tail / len(share), axis=0)
    points[:, 1] = np.maximum(points[:, 1], 0.1)
    return tuple(vector(point) for point in [root, *points])
