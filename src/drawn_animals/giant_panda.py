"""The giant panda."""

from __future__ import annotations

from drawn_animals.anatomy import (
    BLACK,
    DARK_EYE,
    NOSE,
    WHITE,
    Rng,
    choose_pose,
    ears,
    eyes,
    legs,
    mouth,
    nose,
    trunk,
    vary,
)
from drawn_animals.coats import Coat, between, spot
from drawn_animals.figure import Figure
from drawn_animals.poses import Build


def panda(rng: Rng, azimuth: float) -> Figure:
    """A giant panda: round white head, black ears, eye patches, limbs and shoulder band."""
    plump = rng.uniform(0.92, 1.1)
    build = Build(
        head=0.56 * rng.uniform(0.94, 1.08),
        chest=(0.56 * plump, 0.56 * plump),
        belly=(0.64 * plump, 0.62 * plump),
        rump=(0.60 * plump, 0.58 * plump),
        leg=0.42,
        thickness=0.215,
        neck_up=0.16,
        neck_ahead=0.48,
        poses=("stand", "walk", "slump", "slump", "slump", "sit", "lie"),
    )
    bones = choose_pose(rng, build, azimuth)
    white, black = Coat(vary(rng, WHITE, 0.02)), Coat(vary(rng, BLACK, 0.012))
    figure = Figure(bones.head)
    band = between((0, 0.12, 1), 0.30, 0.78, 0.08)
    trunk(figure, bones, build, white.with_paint(band, black.base), 0.075)
    legs(figure, bones, build, black, black, 0.05)
    droop, size = rng.uniform(30, 44), rng.uniform(0.92, 1.12)
    patch = (0.185 * size, 0.275 * size, 0.5)
    eye_patches = spot((0.40, 0.02, 0.75), patch, droop, 0.3, mirrored=True)
    head = white.with_paint(eye_patches, black.base)
    face = figure.region(figure.head, head, (0, 0.15, -1), 0.05)
    face.blob((0, 0.04, 0), (1.0, 0.86, 0.86))
    face.pair((0.62, -0.24, 0.10), (0.50, 0.46, 0.52))
    face.blob((0, -0.34, 0.68), (0.41, 0.32, 0.48))
    face.blob((0, 0.25, 0.45), (0.5, 0.40, 0.4))
    ears(figure, black, (0.74, 0.80, -0.10), (0.39, 0.37, 0.17), 0.05, roll=38, yaw=12)
    eyes(figure, (0.365, 0.065, 0.775), (0.085, 0.09, 0.07), DARK_EYE)
    nose(figure, (0, -0.22, 1.13), (0.17, 0.115, 0.09), NOSE)
    mouth(figure, (0, -0.32, 1.15), 0.24, 0.12, 0.10)
    stump = figure.region(bones.trunk, white, (0, -1, -0.5), 0.06)
    stump.blob((0, 0.1, -1.08), (0.16, 0.14, 0.16))
    return figure
