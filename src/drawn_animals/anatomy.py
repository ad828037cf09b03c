"""The parts that many animals share: trunk, legs, tail, ears, eyes, nose, mouth, whiskers."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from drawn_animals.coats import Coat, Color
from drawn_animals.figure import Detail, Figure, Region, ellipsoid
from drawn_animals.poses import Build, Leg, Skeleton, pose
from drawn_animals.space import Frame, axes_along, cross, lengths, turn, unit

Rng = np.random.Generator
Species = Callable[[Rng, float], Figure]
"""From a generator and the viewer's azimuth (degrees, 0 is in front) to a figure."""

WHITE: Color = (0.93, 0.91, 0.86)
CREAM: Color = (0.86, 0.76, 0.60)
BLACK: Color = (0.075, 0.07, 0.075)
NOSE: Color = (0.05, 0.045, 0.05)
PINK: Color = (0.80, 0.52, 0.50)
DARK_EYE: Color = (0.16, 0.09, 0.05)
ROUND_PUPIL = (0.62, 0.62)


def vary(rng: Rng, color: Color, amount: float = 0.03) -> Color:
    """Return a color a little lighter or darker, warmer or cooler."""
    shift = rng.normal(0, amount) + rng.normal(0, amount / 3, 3)
    r, g, b = np.clip(np.array(color) + shift, 0.03, 0.96)
    return float(r), float(g), float(b)


def trunk(figure: Figure, bones: Skeleton, build: Build, coat: Coat, hair: float) -> Region:
    """Add chest, belly, rump and neck."""
    region = figure.region(bones.trunk, coat, (0, -0.5, -1), hair)
    girths = np.array([build.rump, build.belly, build.chest])
    for z in np.linspace(-0.55, 0.5, 8):
        wide, high = (float(np.interp(z, (-0.55, 0.0, 0.5), girths[:, i])) for i in range(2))
        region.blob((0, -0.05 * (1 - abs(z)), z), (wide, high, 0.55))
    start, end = bones.trunk.at((0, 0.12, 0.6)), bones.head.at((0, -0.15, -0.35))
    for share, width in ((0.0, 0.85), (0.5, 0.78), (1.0, 0.72)):
        center = start + share * (end - start)
        thick = width * min(build.chest[0], 1.15 * build.head)
        region.solids.append(
            ellipsoid(Frame(center, np.eye(3, dtype=np.float32)), (0, 0, 0), (thick,) * 3)
        )
    return region


def legs(
    figure: Figure,
    bones: Skeleton,
    build: Build,
    front: Coat,
    hind: Coat,
    hair: float,
    *,
    hoofs: bool = False,
) -> None:
    """Add four legs with paws or hoofs.

    In a coat's coordinates, y is 0 at the trunk and −1 at the foot.
    """
    for leg in bones.legs:
        length = float(lengths(leg.foot - leg.top))
        frame = Frame(leg.top, axes_along(leg.top - leg.foot), length)
        region = figure.region(frame, front if leg.front else hind, (0, -1, 0.1), hair)
        upper = build.thickness * (1.25 if leg.front else 1.6)
        region.bone(leg.top, leg.knee, upper)
        region.bone(leg.knee, leg.foot, build.thickness)
        if hoofs:
            solid = ellipsoid(
                Frame(leg.foot, frame.axes), (0, -0.06, 0), (build.thickness * 1.05,) * 3
            )
            figure.details.append(Detail(solid, (0.12, 0.10, 0.09), 0.1))
        else:
            _paw(region, leg, build.thickness)


def _paw(region: Region, leg: Leg, size: float) -> None:
    towards = unit(leg.toes)
    axes = (
        np.stack([cross((0, 1, 0), towards), (0, 1, 0), towards], axis=1)
        if towards[1] < 0.8
        else turn()
    )
    frame = Frame(leg.foot + towards * size * 0.45, axes.astype(np.float32), size)
    region.solids.append(
        ellipsoid(frame, (0, -0.05, 0), (1.15, 0.75 if towards[1] < 0.8 else 1.5, 1.3))
    )
    for x in (-0.62, 0.0, 0.62):
        region.solids.append(
            ellipsoid(frame, (x, -0.15, 0.95 if towards[1] < 0.8 else 0.3), (0.4, 0.45, 0.5))
        )


def tail(
    figure: Figure,
    bones: Skeleton,
    coats: list[Coat],
    thickness: tuple[float, ...],
    hair: float,
    tip: Coat | None = None,
) -> None:
    """Add a tail; the coats take turns along it, the thickness is given at equal steps."""
    points = bones.tail
    if not points:
        return
    frame, flow = Frame(points[0], turn()), points[-1] - points[0]
    rings = [figure.region(frame, coat, flow, hair) for coat in coats]
    end_ring = figure.region(frame, tip or coats[0], flow, hair)
    at = np.linspace(0, 1, len(thickness))
    for i, (start, end) in enumerate(itertools.pairwise(points)):
        radius = float(np.interp((i + 0.5) / (len(points) - 1), at, thickness))
        ring = end_ring if tip and i >= len(points) - 4 else rings[i % len(rings)]
        ring.bone(start, end, radius)


def eyes(
    figure: Figure,
    center: tuple[float, float, float],
    radii: tuple[float, float, float],
    color: Color,
    pupil: tuple[float, float] | None = ROUND_PUPIL,
    *,
    roll: float = 0.0,
    yaw: float = 18.0,
) -> None:
    """Add a pair of eyes in the coordinates of the head."""
    x, y, z = center
    for side in (1, -1):
        solid = ellipsoid(figure.head, (side * x, y, z), radii, turn(side * yaw, 0, side * roll))
        figure.details.append(Detail(solid, color, 1.0, pupil))


def nose(
    figure: Figure,
    center: tuple[float, float, float],
    radii: tuple[float, float, float],
    color: Color,
) -> None:
    """Add the bare tip of a nose."""
    figure.details.append(Detail(ellipsoid(figure.head, center, radii), color, 0.5))


def mouth(
    figure: Figure, top: tuple[float, float, float], width: float, drop: float, back: float
) -> None:
    """Add a closed mouth: a line down from the nose, then one to each side."""
    line = Region(figure.head, Coat(NOSE), (0, -1, 0), 0)
    x, y, z = top
    fork = figure.head.at((x, y - drop, z - 0.02))
    line.bone(figure.head.at(top), fork, 0.014 * figure.head.scale)
    for side in (1, -1):
        middle = figure.head.at((side * width * 0.5, y - drop * 1.35, z - back * 0.3))
        end = figure.head.at((side * width, y - drop * 0.75, z - back))
        line.bone(fork, middle, 0.018 * figure.head.scale)
        line.bone(middle, end, 0.018 * figure.head.scale)
    figure.details.extend(Detail(solid, (0.10, 0.06, 0.06)) for solid in line.solids)


def ears(
    figure: Figure,
    coat: Coat,
    base: tuple[float, float, float],
    radii: tuple[float, float, float],
    hair: float,
    *,
    roll: float,
    yaw: float = 0.0,
    pitch: float = 0.0,
    roundness: float | None = None,
) -> None:
    """Add a pair of ears: ellipsoids, or horns where `roundness` is given.

    In a coat's coordinates, x is outward, y up the ear, z out of its opening, in ear heights.
    """
    for side in (1, -1):
        axes = turn(side * yaw, pitch, -side * roll)
        frame = figure.head.inside((side * base[0], base[1], base[2]), axes, radii[1])
        region = figure.region(frame, coat, (0, 1, 0), hair)
        size = (radii[0] / radii[1], 1.0, radii[2] / radii[1])
        if roundness is None:
            region.blob((0, 0, 0), size)
        else:
            region.horn((0, 0, 0), size, roundness=roundness)


def whiskers(figure: Figure, rng: Rng, root: tuple[float, float, float], length: float) -> None:
    """Add four whiskers on each side."""
    x, y, z = root
    for side in (1, -1):
        for row in np.linspace(-1, 1, 4):
            start = (side * x, y + 0.06 * row, z)
            reach = length * rng.uniform(0.8, 1.1)
            bend = (side * (x + reach * 0.55), y + 0.16 * row + 0.10, z + 0.05)
            tip = (side * (x + reach), y + 0.30 * row - 0.08, z - 0.25)
            figure.whiskers.append(
                (figure.head.at(start), figure.head.at(bend), figure.head.at(tip))
            )


def choose_pose(rng: Rng, build: Build, azimuth: float) -> Skeleton:
    """Return a skeleton in one of the poses that the build allows."""
    return pose(build, str(rng.choice(build.poses)), azimuth, rng)


def snout(face: Region, length: float, width: float, height: float, drop: float = 0.25) -> None:
    """Add a muzzle that narrows towards the nose; in units of the head."""
    for share in (0.0, 0.5, 1.0):
        narrow = 1 - 0.28 * share
        center = (0, -drop - 0.06 * share, 0.55 + (length - 0.2) * share)
        face.blob(center, (width * narrow, height * narrow, 0.34))


def tongue(figure: Figure, center: tuple[float, float, float]) -> None:
    """Add a tongue that hangs out."""
    solid = ellipsoid(figure.head, center, (0.13, 0.24, 0.07), turn(0, -12))
    figure.details.append(Detail(solid, (0.86, 0.42, 0.45), 0.3))
