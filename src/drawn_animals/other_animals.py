"""Animals that are neither giant pandas nor cats, black-and-white ones among them."""

from __future__ import annotations

import itertools

from drawn_animals.anatomy import (
    BLACK,
    DARK_EYE,
    NOSE,
    PINK,
    WHITE,
    Rng,
    Species,
    choose_pose,
    ears,
    eyes,
    legs,
    mouth,
    nose,
    snout,
    tail,
    tongue,
    trunk,
    vary,
    whiskers,
)
from drawn_animals.birds import bird
from drawn_animals.coats import Coat, Color, between, beyond, both, dimmed, patches, spot
from drawn_animals.figure import Figure
from drawn_animals.hoofed import cow, horse, pig, sheep, zebra
from drawn_animals.poses import Build
from drawn_animals.space import turn


def bear(rng: Rng, azimuth: float) -> Figure:
    """A brown, black or polar bear: one color, long muzzle, small ears."""
    plump = rng.uniform(0.9, 1.1)
    build = Build(
        head=0.44,
        chest=(0.52 * plump, 0.60 * plump),
        belly=(0.58 * plump, 0.60 * plump),
        rump=(0.56 * plump, 0.58 * plump),
        leg=0.52,
        thickness=0.20,
        neck_up=0.10,
        neck_ahead=0.50,
        poses=("stand", "walk", "walk", "slump", "lie", "sit"),
    )
    bones = choose_pose(rng, build, azimuth)
    kinds = ((0.40, 0.26, 0.16), (0.58, 0.42, 0.26), (0.12, 0.10, 0.10), (0.93, 0.90, 0.80))
    coat = Coat(vary(rng, kinds[int(rng.integers(len(kinds)))]))
    pale: Color = vary(rng, (0.66, 0.52, 0.36) if coat.base[0] < 0.8 else coat.base, 0.02)
    figure = Figure(bones.head)
    trunk(figure, bones, build, coat, 0.07)
    legs(figure, bones, build, coat, coat, 0.05)
    head = coat.with_paint(spot((0, -0.32, 1.1), (0.42, 0.36, 0.55), softness=0.5), pale)
    face = figure.region(figure.head, head, (0, 0.15, -1), 0.045)
    face.blob((0, 0.08, 0), (0.92, 0.82, 0.86))
    face.pair((0.42, -0.22, 0.1), (0.48, 0.44, 0.5))
    face.blob((0, 0.12, 0.45), (0.42, 0.35, 0.4))
    snout(face, 0.85, 0.40, 0.33)
    ears(
        figure,
        coat.with_paint(spot((0, 0, 0.8), (0.6, 0.6, 0.6), softness=0.6), pale),
        (0.68, 0.74, -0.05),
        (0.24, 0.24, 0.12),
        0.04,
        roll=36,
        yaw=10,
    )
    eyes(figure, (0.36, 0.10, 0.76), (0.085, 0.085, 0.07), DARK_EYE)
    nose(figure, (0, -0.20, 1.44), (0.17, 0.13, 0.10), NOSE)
    mouth(figure, (0, -0.30, 1.44), 0.22, 0.10, 0.22)
    return figure


def dog(rng: Rng, azimuth: float) -> Figure:
    """A dog: long muzzle, hanging ears, often with its tongue out."""
    build = Build(
        head=0.40 * rng.uniform(0.95, 1.1),
        chest=(0.36, 0.46),
        belly=(0.32, 0.38),
        rump=(0.34, 0.40),
        leg=rng.uniform(0.55, 0.95),
        thickness=0.125,
        neck_up=0.36,
        neck_ahead=0.30,
        tail=0.9,
        poses=("stand", "walk", "sit", "sit", "lie"),
    )
    bones = choose_pose(rng, build, azimuth)
    kind = str(rng.choice(("golden", "brown", "black", "spotted", "collie", "beagle")))
    base: Color = {
        "golden": (0.80, 0.60, 0.36),
        "brown": (0.42, 0.27, 0.17),
        "black": (0.10, 0.09, 0.09),
        "spotted": WHITE,
        "collie": (0.09, 0.085, 0.09),
        "beagle": (0.68, 0.44, 0.24),
    }[kind]
    coat = Coat(vary(rng, base))
    body, head, leg = coat, coat, coat
    if kind == "spotted":
        body = head = leg = coat.with_paint(patches(rng, 2.0, 0.62, 0.1), (0.08, 0.08, 0.08))
    elif kind in ("collie", "beagle"):
        body = coat.with_paint(beyond((0, -0.5, 1), 0.45, 0.15), WHITE)
        if kind == "beagle":
            body = body.with_paint(
                both(beyond((0, 1, 0), 0.05), between((0, 0, 1), -0.9, 0.5)), (0.12, 0.10, 0.09)
            )
        blaze = spot((0, 0.1, 0.9), (0.17, 0.8, 0.6))
        head = coat.with_paint(blaze, WHITE).with_paint(
            spot((0, -0.35, 1.1), (0.42, 0.36, 0.6)), WHITE
        )
        leg = coat.with_paint(beyond((0, -1, 0), 0.45), WHITE)
    hair = rng.uniform(0.025, 0.06)
    figure = Figure(bones.head)
    trunk(figure, bones, build, body, hair)
    legs(figure, bones, build, leg, leg, hair * 0.7)
    tail(figure, bones, [coat], (0.09, 0.10, 0.04), hair * 1.5)
    face = figure.region(figure.head, head, (0, 0.2, -1), hair * 0.6)
    face.blob((0, 0.08, 0), (0.84, 0.80, 0.85))
    face.pair((0.34, -0.22, 0.2), (0.40, 0.38, 0.45))
    snout(face, rng.uniform(0.8, 1.05), 0.36, 0.30)
    flap = Coat(dimmed(coat.base, 0.85)) if kind != "spotted" else Coat((0.10, 0.09, 0.09))
    ears(figure, flap, (0.80, 0.08, -0.02), (0.15, 0.56, 0.34), hair * 0.7, roll=-10, yaw=6)
    eyes(figure, (0.34, 0.14, 0.76), (0.115, 0.115, 0.08), (0.34, 0.19, 0.09))
    face_length = 1.40
    nose(figure, (0, -0.17, face_length), (0.15, 0.115, 0.12), NOSE)
    mouth(figure, (0, -0.27, face_length), 0.20, 0.10, 0.20)
    if rng.random() < 0.55:
        tongue(figure, (0, -0.62, 1.20))
    return figure


def fox(rng: Rng, azimuth: float) -> Figure:
    """A red fox: narrow muzzle, white cheeks and chest, black stockings, a white-tipped brush."""
    build = Build(
        head=0.36,
        chest=(0.30, 0.36),
        belly=(0.29, 0.32),
        rump=(0.31, 0.34),
        leg=0.66,
        thickness=0.085,
        neck_up=0.24,
        neck_ahead=0.34,
        tail=1.5,
        poses=("stand", "walk", "sit", "lie"),
    )
    bones = choose_pose(rng, build, azimuth)
    red, white, black = vary(rng, (0.80, 0.40, 0.15)), WHITE, (0.10, 0.08, 0.08)
    figure = Figure(bones.head)
    trunk(figure, bones, build, Coat(red, ((beyond((0, -1, 0.5), 0.45), white),)), 0.055)
    stocking = Coat(red, ((beyond((0, -1, 0), 0.45), black),))
    legs(figure, bones, build, stocking, stocking, 0.03)
    tail(figure, bones, [Coat(red)], (0.08, 0.19, 0.20, 0.16, 0.05), 0.07, tip=Coat(white))
    head = Coat(red, ((spot((0.42, -0.38, 0.55), (0.42, 0.30, 0.7), 25, mirrored=True), white),))
    face = figure.region(figure.head, head, (0, 0.2, -1), 0.035)
    face.blob((0, 0.08, 0), (0.86, 0.74, 0.80))
    face.pair((0.52, -0.24, 0.12), (0.46, 0.30, 0.42), roll=-25)
    face.horn((0, -0.22, 0.35), (0.50, 1.15, 0.36), turn(0, 90 + 4 - 180), roundness=0.35)
    ears(
        figure,
        Coat(
            red,
            (
                (spot((0, 0.25, 0.35), (0.24, 0.6, 0.35), softness=0.5), (0.90, 0.82, 0.75)),
                (beyond((0, 0, -1), 0.02), black),
            ),
        ),
        (0.52, 0.48, 0.0),
        (0.34, 0.90, 0.18),
        0.03,
        roll=18,
        yaw=15,
        roundness=0.3,
    )
    eyes(figure, (0.34, 0.08, 0.70), (0.12, 0.095, 0.07), (0.75, 0.48, 0.12), (0.4, 0.8), roll=22)
    nose(figure, (0, -0.26, 1.43), (0.11, 0.09, 0.10), NOSE)
    return figure


def rabbit(rng: Rng, azimuth: float) -> Figure:
    """A rabbit: long ears, round body, hardly a tail."""
    build = Build(
        head=0.48,
        chest=(0.42, 0.44),
        belly=(0.50, 0.50),
        rump=(0.54, 0.54),
        leg=0.32,
        thickness=0.13,
        neck_up=0.34,
        neck_ahead=0.22,
        poses=("sit", "lie", "lie"),
    )
    bones = choose_pose(rng, build, azimuth)
    kinds = ((0.58, 0.48, 0.38), WHITE, (0.46, 0.45, 0.46), (0.10, 0.09, 0.09), (0.70, 0.48, 0.30))
    coat = Coat(vary(rng, kinds[int(rng.integers(len(kinds)))]))
    body = coat
    if rng.random() < 0.4:
        body = Coat(WHITE, ((patches(rng, 0.6, 0.0), coat.base),))
    figure = Figure(bones.head)
    trunk(figure, bones, build, body.with_paint(beyond((0, -1, 0.3), 0.45), WHITE), 0.05)
    legs(figure, bones, build, coat, coat, 0.035)
    scut = figure.region(bones.trunk, Coat(WHITE), (0, 0.3, -1), 0.06)
    scut.blob((0, 0.05, -1.12), (0.16, 0.16, 0.16))
    face = figure.region(
        figure.head,
        coat.with_paint(spot((0, -0.5, 0.9), (0.3, 0.24, 0.4)), WHITE),
        (0, 0.2, -1),
        0.035,
    )
    face.blob((0, 0.05, 0), (0.74, 0.78, 0.95))
    face.pair((0.32, -0.28, 0.4), (0.36, 0.34, 0.42))
    face.pair((0.12, -0.32, 0.86), (0.17, 0.16, 0.18))
    inner = spot((0, 0, 0.3), (0.13, 0.75, 0.4), softness=0.4)
    ears(
        figure,
        coat.with_paint(inner, (0.86, 0.62, 0.60)),
        (0.30, 1.35, -0.25),
        (0.21, 0.88, 0.10),
        0.025,
        roll=rng.uniform(2, 18),
        yaw=15,
        pitch=8,
    )
    eyes(figure, (0.56, 0.12, 0.56), (0.15, 0.17, 0.08), DARK_EYE, (0.8, 0.8), yaw=48)
    nose(figure, (0, -0.19, 1.03), (0.08, 0.05, 0.05), PINK)
    mouth(figure, (0, -0.23, 1.04), 0.12, 0.12, 0.06)
    whiskers(figure, rng, (0.2, -0.3, 0.95), 0.6)
    return figure


def raccoon(rng: Rng, azimuth: float) -> Figure:
    """A raccoon: gray, black mask, ringed tail."""
    build = Build(
        head=0.42,
        chest=(0.38, 0.40),
        belly=(0.46, 0.46),
        rump=(0.46, 0.46),
        leg=0.42,
        thickness=0.11,
        neck_up=0.18,
        neck_ahead=0.34,
        tail=1.15,
        poses=("stand", "walk", "sit", "slump", "lie"),
    )
    bones = choose_pose(rng, build, azimuth)
    gray, black = vary(rng, (0.50, 0.47, 0.43)), vary(rng, (0.12, 0.10, 0.10), 0.01)
    figure = Figure(bones.head)
    trunk(figure, bones, build, Coat(gray), 0.07)
    legs(figure, bones, build, Coat(black), Coat(gray, ((beyond((0, -1, 0), 0.6), black),)), 0.03)
    tail(figure, bones, [Coat(gray), Coat(black)], (0.14, 0.17, 0.13, 0.06), 0.06)
    head = Coat(
        gray,
        (
            (spot((0, -0.1, 0.6), (0.95, 0.50, 0.8)), WHITE),
            (spot((0.42, -0.04, 0.6), (0.50, 0.20, 0.7), 24, mirrored=True), black),
            (spot((0, 0.35, 0.9), (0.10, 0.6, 0.6)), black),
        ),
    )
    face = figure.region(figure.head, head, (0, 0.2, -1), 0.04)
    face.blob((0, 0.05, 0), (0.90, 0.76, 0.80))
    face.pair((0.52, -0.22, 0.12), (0.46, 0.34, 0.42), roll=-22)
    face.horn((0, -0.2, 0.4), (0.42, 0.95, 0.34), turn(0, -86), roundness=0.5)
    ears(
        figure,
        Coat(gray, ((spot((0, 0, 0.9), (0.6, 0.7, 0.8), softness=0.4), WHITE),)),
        (0.62, 0.66, 0.0),
        (0.24, 0.30, 0.12),
        0.03,
        roll=30,
        yaw=10,
    )
    eyes(figure, (0.34, 0.02, 0.74), (0.095, 0.095, 0.07), DARK_EYE)
    nose(figure, (0, -0.22, 1.32), (0.12, 0.10, 0.09), NOSE)
    return figure


def red_panda(rng: Rng, azimuth: float) -> Figure:
    """A red panda: rust-red, black below, white face marks, ringed tail."""
    build = Build(
        head=0.46,
        chest=(0.38, 0.40),
        belly=(0.44, 0.44),
        rump=(0.44, 0.44),
        leg=0.38,
        thickness=0.14,
        neck_up=0.18,
        neck_ahead=0.34,
        tail=1.5,
        poses=("stand", "walk", "slump", "lie"),
    )
    bones = choose_pose(rng, build, azimuth)
    red, black = vary(rng, (0.66, 0.28, 0.12)), vary(rng, (0.13, 0.08, 0.07), 0.01)
    figure = Figure(bones.head)
    trunk(figure, bones, build, Coat(red, ((beyond((0, -1, 0.1), 0.25), black),)), 0.07)
    legs(figure, bones, build, Coat(black), Coat(black), 0.05)
    tail(figure, bones, [Coat(red), Coat((0.80, 0.52, 0.30))], (0.16, 0.20, 0.17, 0.1), 0.06)
    head = Coat(
        red,
        (
            (spot((0.62, -0.22, 0.5), (0.36, 0.26, 0.8), 30, mirrored=True), WHITE),
            (spot((0.32, 0.36, 0.75), (0.14, 0.13, 0.4), mirrored=True), WHITE),
            (spot((0, -0.30, 0.95), (0.34, 0.28, 0.5)), WHITE),
            (spot((0.40, -0.26, 0.72), (0.09, 0.34, 0.5), 14, mirrored=True), red),
        ),
    )
    face = figure.region(figure.head, head, (0, 0.2, -1), 0.045)
    face.blob((0, 0.04, 0), (0.98, 0.78, 0.80))
    face.pair((0.55, -0.22, 0.12), (0.46, 0.38, 0.44))
    snout(face, 0.45, 0.32, 0.26)
    ears(
        figure,
        Coat(
            WHITE,
            (
                (spot((0, 0.05, 0.5), (0.34, 0.6, 0.6), softness=0.4), (0.30, 0.14, 0.10)),
                (beyond((0, 0, -1), 0.05), red),
            ),
        ),
        (0.66, 0.52, 0.0),
        (0.36, 0.58, 0.16),
        0.05,
        roll=32,
        yaw=15,
        roundness=0.6,
    )
    eyes(figure, (0.36, 0.08, 0.76), (0.09, 0.09, 0.07), DARK_EYE)
    nose(figure, (0, -0.20, 1.04), (0.13, 0.09, 0.08), NOSE)
    mouth(figure, (0, -0.28, 1.04), 0.16, 0.08, 0.1)
    return figure


def koala(rng: Rng, azimuth: float) -> Figure:
    """A koala: gray, wide fluffy ears, a large dark nose."""
    build = Build(
        head=0.54,
        chest=(0.44, 0.44),
        belly=(0.52, 0.50),
        rump=(0.50, 0.48),
        leg=0.4,
        thickness=0.16,
        neck_up=0.2,
        neck_ahead=0.35,
        poses=("slump", "slump", "sit"),
    )
    bones = choose_pose(rng, build, azimuth)
    gray = Coat(vary(rng, (0.56, 0.55, 0.56)))
    figure = Figure(bones.head)
    trunk(figure, bones, build, gray.with_paint(beyond((0, -1, 0.2), 0.32), WHITE), 0.06)
    legs(figure, bones, build, gray, gray, 0.045)
    face = figure.region(
        figure.head,
        gray.with_paint(spot((0, -0.75, 0.5), (0.5, 0.3, 0.6)), WHITE),
        (0, 0.2, -1),
        0.05,
    )
    face.blob((0, 0, 0), (0.90, 0.84, 0.80))
    face.pair((0.4, -0.3, 0.2), (0.46, 0.40, 0.45))
    ears(
        figure,
        Coat(
            gray.base, ((spot((0, -0.1, 0.6), (0.6, 0.65, 0.6), softness=0.7), (0.92, 0.86, 0.84)),)
        ),
        (0.95, 0.52, -0.05),
        (0.46, 0.46, 0.20),
        0.10,
        roll=40,
        yaw=10,
    )
    eyes(figure, (0.38, 0.12, 0.70), (0.085, 0.095, 0.06), (0.35, 0.20, 0.10), (0.5, 0.7))
    nose(figure, (0, -0.08, 0.84), (0.19, 0.32, 0.16), (0.14, 0.12, 0.13))
    mouth(figure, (0, -0.40, 0.84), 0.2, 0.08, 0.1)
    return figure


def badger(rng: Rng, azimuth: float) -> Figure:
    """A badger: gray back, black limbs, a white face with two black stripes."""
    build = Build(
        head=0.38,
        chest=(0.44, 0.40),
        belly=(0.52, 0.44),
        rump=(0.48, 0.42),
        leg=0.26,
        thickness=0.13,
        neck_up=0.02,
        neck_ahead=0.48,
        tail=0.4,
        poses=("stand", "walk", "lie"),
    )
    bones = choose_pose(rng, build, azimuth)
    gray, black = Coat(vary(rng, (0.52, 0.50, 0.47))), Coat(vary(rng, BLACK, 0.012))
    figure = Figure(bones.head)
    trunk(figure, bones, build, gray.with_paint(beyond((0, -1, 0), 0.15), black.base), 0.08)
    legs(figure, bones, build, black, black, 0.04)
    tail(figure, bones, [gray], (0.1, 0.09, 0.05), 0.07)
    stripe = spot((0.44, 0.2, 0.5), (0.20, 0.55, 1.3), mirrored=True)
    face = figure.region(figure.head, Coat(WHITE, ((stripe, black.base),)), (0, 0.2, -1), 0.025)
    face.blob((0, 0, 0), (0.82, 0.70, 0.85))
    face.horn((0, -0.12, 0.25), (0.62, 1.35, 0.46), turn(0, -86), roundness=0.6)
    ears(
        figure,
        black.with_paint(beyond((0, 1, 0), 0.4), WHITE),
        (0.66, 0.48, -0.1),
        (0.18, 0.18, 0.10),
        0.02,
        roll=35,
    )
    eyes(figure, (0.34, 0.16, 0.78), (0.07, 0.07, 0.06), DARK_EYE)
    nose(figure, (0, -0.16, 1.56), (0.15, 0.11, 0.10), NOSE)
    return figure


def elephant(rng: Rng, azimuth: float) -> Figure:
    """An elephant: gray, trunk, fan-like ears."""
    build = Build(
        head=0.42,
        chest=(0.56, 0.62),
        belly=(0.62, 0.64),
        rump=(0.58, 0.62),
        leg=0.62,
        thickness=0.19,
        neck_up=0.34,
        neck_ahead=0.36,
        tail=0.6,
        poses=("stand", "walk"),
    )
    bones = choose_pose(rng, build, azimuth)
    gray = Coat(vary(rng, (0.48, 0.46, 0.45)))
    figure = Figure(bones.head)
    trunk(figure, bones, build, gray, 0.008)
    legs(figure, bones, build, gray, gray, 0.006)
    tail(figure, bones, [gray], (0.05, 0.035, 0.05), 0.02)
    face = figure.region(figure.head, gray, (0, 0.2, -1), 0.006)
    face.blob((0, 0.05, 0), (0.88, 1.0, 0.86))
    face.pair((0.35, 0.5, 0.1), (0.5, 0.5, 0.55))
    curl = rng.uniform(-0.6, 1.0)
    points = [
        figure.head.at((0, -0.25 - 0.42 * i, 0.75 + 0.12 * i + 0.05 * curl * i * i))
        for i in range(6)
    ]
    for i, (start, end) in enumerate(itertools.pairwise(points)):
        face.bone(start, end, figure.head.scale * (0.40 - 0.05 * i))
    tusks = figure.region(figure.head, Coat((0.90, 0.86, 0.74)), (0, 1, 0), 0.003)
    for side in (1, -1):
        tusks.horn(
            (side * 0.42, -0.45, 0.65), (0.12, 1.0, 0.12), turn(side * 12, -118), roundness=0.4
        )
    ears(figure, gray, (1.25, 0.1, -0.25), (0.62, 0.92, 0.10), 0.006, roll=6, yaw=-22)
    eyes(figure, (0.58, 0.18, 0.64), (0.08, 0.075, 0.06), DARK_EYE, yaw=40)
    return figure


OTHERS: tuple[Species, ...] = (
    *(dog, dog, dog, bear, bear, fox, rabbit, raccoon, red_panda, koala, badger, elephant),
    *(cow, horse, zebra, zebra, sheep, pig, bird, bird),
)
"""Each as often as it occurs here."""


def other(rng: Rng, azimuth: float) -> Figure:
    """An animal that is neither a giant panda nor a cat."""
    return OTHERS[int(rng.integers(len(OTHERS)))](rng, azimuth)
