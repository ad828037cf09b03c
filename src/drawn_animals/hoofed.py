"""Cows, horses, zebras, sheep and pigs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from drawn_animals.anatomy import (
    DARK_EYE,
    PINK,
    WHITE,
    Rng,
    choose_pose,
    ears,
    eyes,
    legs,
    nose,
    tail,
    trunk,
    vary,
)
from drawn_animals.coats import Coat, Color, beyond, patches, spot, stripes
from drawn_animals.figure import Detail, Figure, Region, ellipsoid
from drawn_animals.poses import Build, Skeleton
from drawn_animals.space import Frame, transform, turn, unit, vector

LEAN = Build(
    head=0.27,
    chest=(0.36, 0.46),
    belly=(0.38, 0.44),
    rump=(0.38, 0.46),
    leg=1.0,
    thickness=0.10,
    neck_up=0.55,
    neck_ahead=0.42,
    tail=0.9,
    poses=("stand", "walk", "walk"),
)
"""A horse or a zebra."""

BULKY = Build(
    head=0.31,
    chest=(0.42, 0.50),
    belly=(0.48, 0.52),
    rump=(0.44, 0.48),
    leg=0.8,
    thickness=0.10,
    neck_up=0.16,
    neck_ahead=0.5,
    tail=0.9,
    poses=("stand", "walk", "walk"),
)
"""A cow."""


def cow(rng: Rng, azimuth: float) -> Figure:
    """A cow: black or brown patches on white, a pink nose, horns."""
    bones = _grazer_bones(rng, BULKY, azimuth)
    colors: tuple[Color, ...] = ((0.08, 0.075, 0.08), (0.40, 0.23, 0.14))
    dark = vary(rng, colors[int(rng.integers(len(colors)))], 0.015)
    pied = Coat(WHITE, ((patches(rng, 0.5, 0.0, 0.08), dark),))
    blaze, tip = spot((0, 0.3, 0.9), (0.30, 1.0, 0.9)), beyond((0, 0, 1), 1.55)
    figure = _grazer_body(bones, BULKY, pied, pied, Coat(dark))
    face = _long_face(figure, Coat(dark, ((blaze, WHITE), (tip, PINK))), 0.95)
    face.blob((0, -0.25, 1.85), (0.62, 0.48, 0.30))
    horns = figure.region(figure.head, Coat((0.82, 0.76, 0.62)), (0, 1, 0), 0.005)
    for side in (1, -1):
        tilt = turn(0, 0, -side * 50)
        horns.horn((side * 0.55, 0.7, 0), (0.16, 0.7, 0.16), tilt, roundness=0.3)
    ears(figure, Coat(dark), (1.15, 0.35, 0.05), (0.18, 0.46, 0.14), 0.02, roll=98)
    return figure


def horse(rng: Rng, azimuth: float) -> Figure:
    """A horse: brown, with a mane, a blaze and white socks."""
    bones = _grazer_bones(rng, LEAN, azimuth)
    colors: tuple[Color, ...] = ((0.38, 0.21, 0.11), (0.15, 0.10, 0.08), (0.62, 0.50, 0.38))
    coat = Coat(vary(rng, colors[int(rng.integers(len(colors)))], 0.015))
    socks = coat.with_paint(beyond((0, -1, 0), 0.78), WHITE)
    figure = _grazer_body(bones, LEAN, coat, socks, coat)
    _mane(figure, bones, coat.base)
    _long_face(figure, coat.with_paint(spot((0, 0.4, 1.1), (0.14, 0.5, 0.8)), WHITE), 0.78)
    _upright_ears(figure, coat)
    return figure


def zebra(rng: Rng, azimuth: float) -> Figure:
    """A zebra: striped all over, with a dark nose and a mane that stands up."""
    bones = _grazer_bones(rng, LEAN, azimuth)
    dark: Color = (0.08, 0.07, 0.07)
    body = Coat(WHITE, ((stripes(rng, (0, 0.1, 1), 3.2, 0.48, 0.15), dark),))
    leg = Coat(WHITE, ((stripes(rng, (0, 1, 0), 5.0, 0.45, 0.05), dark),))
    head = Coat(WHITE, ((stripes(rng, (0.25, 0.5, 0.8), 2.0, 0.46, 0.08), dark),))
    figure = _grazer_body(bones, LEAN, body, leg, Coat(dark))
    _mane(figure, bones, dark)
    _long_face(figure, head.with_paint(beyond((0, 0, 1), 1.75), dark), 0.78)
    _upright_ears(figure, Coat(WHITE))
    return figure


def _grazer_bones(rng: Rng, build: Build, azimuth: float) -> Skeleton:
    """Return a pose with the long face held down."""
    bones = choose_pose(rng, build, azimuth)
    bowed = transform(bones.head.axes, turn(0, rng.uniform(-48, -28)))
    return replace(bones, head=replace(bones.head, axes=bowed))


def _grazer_body(bones: Skeleton, build: Build, body: Coat, leg: Coat, tuft: Coat) -> Figure:
    figure = Figure(bones.head)
    skin = trunk(figure, bones, build, body, 0.018)
    skin.bone(bones.trunk.at((0, 0.0, 0.7)), bones.head.at((0, -0.1, -0.2)), 0.22)
    legs(figure, bones, build, leg, leg, 0.015, hoofs=True)
    tail(figure, bones, [tuft], (0.04, 0.03, 0.08), 0.04)
    return figure


def _long_face(figure: Figure, coat: Coat, half_width: float) -> Region:
    face = figure.region(figure.head, coat, (0, 0.2, -1), 0.015)
    face.blob((0, 0, 0), (half_width, 0.9, 0.95))
    for share in (0.0, 0.33, 0.67, 1.0):
        radii = (half_width * (0.8 - 0.12 * share), 0.70 - 0.12 * share, 0.5)
        face.blob((0, -0.15 - 0.1 * share, 0.5 + 1.2 * share), radii)
    socket = (half_width * 0.76, 0.22, 0.62)
    eyes(figure, socket, (0.13, 0.14, 0.10), DARK_EYE, (0.8, 0.6), yaw=58)
    for side in (1, -1):
        nose(figure, (side * 0.26, -0.12, 2.07), (0.08, 0.11, 0.07), (0.10, 0.07, 0.07))
    return face


def _upright_ears(figure: Figure, coat: Coat) -> None:
    inside = coat.with_paint(spot((0, 0, 0.3), (0.12, 0.7, 0.4)), (0.25, 0.2, 0.18))
    size = (0.20, 0.70, 0.16)
    ears(figure, inside, (0.45, 0.75, -0.1), size, 0.02, roll=10, yaw=20, roundness=0.5)


def _mane(figure: Figure, bones: Skeleton, color: Color) -> None:
    region = figure.region(bones.trunk, Coat(color), (0, 1, -0.4), 0.05)
    start, end = bones.trunk.at((0, 0.42, 0.62)), bones.head.at((0, 0.95, -0.15))
    for share in np.linspace(0, 1, 6):
        center = start + share * (end - start)
        region.solids.append(ellipsoid(Frame(center, turn()), (0, 0.02, -0.06), (0.05, 0.17, 0.17)))


def sheep(rng: Rng, azimuth: float) -> Figure:
    """A sheep: a woolly ball on dark legs."""
    build = Build(
        head=0.27,
        chest=(0.52, 0.54),
        belly=(0.60, 0.58),
        rump=(0.54, 0.54),
        leg=0.5,
        thickness=0.075,
        neck_up=0.22,
        neck_ahead=0.42,
        poses=("stand", "walk", "lie"),
    )
    bones = choose_pose(rng, build, azimuth)
    wool = Coat(vary(rng, (0.88, 0.84, 0.74)))
    dark = Coat(
        vary(rng, (0.14, 0.12, 0.11)) if rng.random() < 0.6 else vary(rng, (0.80, 0.70, 0.58))
    )
    figure = Figure(bones.head, woolly=True)
    fleece = trunk(figure, bones, build, wool, 0.08)
    for _ in range(46):
        direction = unit(rng.normal(size=3))
        place = direction * vector((0.52, 0.50, 0.95))
        fleece.blob(place, (0.17, 0.17, 0.17))
    legs(figure, bones, build, dark, dark, 0.01, hoofs=True)
    cap = figure.region(figure.head, wool, (0, 1, 0), 0.03)
    for x, y in ((-0.4, 0.75), (0, 0.9), (0.4, 0.75), (-0.2, 0.6), (0.2, 0.6)):
        cap.blob((x, y, 0.15), (0.36, 0.34, 0.4))
    face = figure.region(figure.head, dark, (0, 0.2, -1), 0.012)
    face.blob((0, 0, 0), (0.80, 0.95, 0.85))
    face.blob((0, -0.35, 0.55), (0.58, 0.60, 0.7), turn(0, -30))
    face.blob((0, -0.65, 0.95), (0.46, 0.38, 0.4))
    ears(figure, dark, (1.15, 0.25, 0.0), (0.18, 0.46, 0.12), 0.01, roll=108)
    eyes(figure, (0.56, 0.12, 0.62), (0.15, 0.13, 0.1), (0.75, 0.62, 0.25), (0.75, 0.3), yaw=40)
    for side in (1, -1):
        nose(figure, (side * 0.14, -0.55, 1.32), (0.06, 0.09, 0.05), (0.05, 0.04, 0.04))
    return figure


def pig(rng: Rng, azimuth: float) -> Figure:
    """A pig: pink, disc-shaped snout, folded ears."""
    build = Build(
        head=0.40,
        chest=(0.50, 0.50),
        belly=(0.58, 0.56),
        rump=(0.54, 0.52),
        leg=0.36,
        thickness=0.12,
        neck_up=0.05,
        neck_ahead=0.48,
        tail=0.0,
        poses=("stand", "walk", "lie", "sit"),
    )
    bones = choose_pose(rng, build, azimuth)
    pink = Coat(vary(rng, (0.88, 0.62, 0.58)))
    body = (
        pink.with_paint(patches(rng, 0.5, 0.3), (0.12, 0.10, 0.10)) if rng.random() < 0.5 else pink
    )
    figure = Figure(bones.head)
    trunk(figure, bones, build, body, 0.012)
    legs(figure, bones, build, pink, pink, 0.01, hoofs=True)
    face = figure.region(figure.head, pink, (0, 0.2, -1), 0.01)
    face.blob((0, 0, 0), (0.90, 0.86, 0.85))
    face.pair((0.46, -0.3, 0.15), (0.44, 0.42, 0.5))
    face.blob((0, -0.18, 0.8), (0.40, 0.36, 0.5))
    disc = (0.86, 0.52, 0.52)
    figure.details.append(
        Detail(ellipsoid(figure.head, (0, -0.18, 1.27), (0.38, 0.32, 0.12)), disc, 0.25)
    )
    for side in (1, -1):
        nose(figure, (side * 0.14, -0.17, 1.37), (0.075, 0.12, 0.05), (0.25, 0.10, 0.11))
    ears(
        figure,
        Coat((0.84, 0.54, 0.52)),
        (0.58, 0.62, 0.25),
        (0.34, 0.62, 0.12),
        0.01,
        roll=28,
        pitch=-55,
        roundness=0.4,
    )
    eyes(figure, (0.42, 0.16, 0.72), (0.085, 0.085, 0.06), DARK_EYE)
    return figure
