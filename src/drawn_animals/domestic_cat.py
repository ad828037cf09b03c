"""The domestic cat, in its many coats."""

from __future__ import annotations

from drawn_animals.anatomy import (
    PINK,
    WHITE,
    Rng,
    choose_pose,
    ears,
    eyes,
    legs,
    mouth,
    nose,
    tail,
    trunk,
    vary,
    whiskers,
)
from drawn_animals.coats import Coat, Color, beyond, blended, both, faint, patches, spot, stripes
from drawn_animals.figure import Figure
from drawn_animals.poses import Build

CAT_COATS = ("tabby", "ginger", "black", "white", "gray", "siamese", "tuxedo", "cow", "calico")


def cat_coats(rng: Rng, kind: str) -> dict[str, Coat]:
    """Return the coats of a cat's trunk, head, front and hind legs, tail and ears."""
    if kind in ("tabby", "ginger"):
        return _striped(rng, kind)
    if kind == "siamese":
        return _pointed(rng)
    if kind in ("tuxedo", "cow", "calico"):
        return _pied(rng, kind)
    base = vary(
        rng, {"black": (0.09, 0.085, 0.09), "white": WHITE, "gray": (0.46, 0.48, 0.52)}[kind]
    )
    coat = Coat(base)
    return dict.fromkeys(("trunk", "head", "front", "hind", "tail", "ears"), coat)


def _striped(rng: Rng, kind: str) -> dict[str, Coat]:
    base, dark = {
        "tabby": ((0.56, 0.49, 0.41), (0.20, 0.16, 0.13)),
        "ginger": ((0.86, 0.58, 0.32), (0.66, 0.36, 0.16)),
    }[kind]
    if kind == "tabby" and rng.random() < 0.5:
        base, dark = (0.60, 0.61, 0.62), (0.22, 0.22, 0.24)
    base, dark = vary(rng, base), vary(rng, dark, 0.02)
    pale = blended(base, WHITE, 0.65)
    white = rng.random() < 0.5
    trunk_coat = Coat(
        base,
        ((stripes(rng, (0, 0.15, 1), 2.3, 0.42, 0.35), dark), (beyond((0, -1, 0.2), 0.30), pale)),
    )
    forehead = both(stripes(rng, (1, 0.2, 0), 1.7, 0.4, 0.12), beyond((0, 1, 0), 0.2))
    cheeks = both(stripes(rng, (0.25, 1, 0), 2.0, 0.38, 0.2), beyond((0, 0, -1), -0.35))
    muzzle: Color = WHITE if white else pale
    head = Coat(
        base, ((forehead, dark), (cheeks, dark), (spot((0, -0.42, 0.8), (0.5, 0.36, 0.6)), muzzle))
    )
    rings = Coat(
        base, ((both(stripes(rng, (0, 1, 0), 3.2, 0.4, 0.15), beyond((0, 1, 0), -0.8)), dark),)
    )
    if white:
        rings = rings.with_paint(beyond((0, -1, 0), 0.75), WHITE)
        trunk_coat = trunk_coat.with_paint(spot((0, -0.45, 0.9), (0.3, 0.45, 0.6)), WHITE)
    banded = Coat(base, ((stripes(rng, (0.3, 0.3, 0.9), 3.0, 0.45, 0.1), dark),))
    return {
        "trunk": trunk_coat,
        "head": head,
        "front": rings,
        "hind": rings,
        "tail": banded,
        "ears": Coat(base),
    }


def _pointed(rng: Rng) -> dict[str, Coat]:
    base, dark = vary(rng, (0.85, 0.78, 0.68)), vary(rng, (0.24, 0.17, 0.14), 0.02)
    head = Coat(base, ((spot((0, -0.12, 0.75), (0.5, 0.55, 0.6), softness=0.8), dark),))
    leg = Coat(base, ((beyond((0, -1, 0), 0.6, 0.5), dark),))
    return {
        "trunk": Coat(base),
        "head": head,
        "front": leg,
        "hind": leg,
        "tail": Coat(dark),
        "ears": Coat(dark),
    }


def _pied(rng: Rng, kind: str) -> dict[str, Coat]:
    dark, white = Coat(vary(rng, (0.09, 0.085, 0.09), 0.02)), vary(rng, WHITE)
    if kind == "tuxedo":
        body = dark.with_paint(spot((0, -0.5, 0.75), (0.32, 0.5, 0.6)), white)
        blaze = spot((0, -0.1, 0.9), (0.12, 0.55, 0.5))
        head = dark.with_paint(blaze, white).with_paint(
            spot((0, -0.45, 0.8), (0.42, 0.34, 0.6)), white
        )
        sock = dark.with_paint(beyond((0, -1, 0), rng.uniform(0.55, 0.8)), white)
        return {
            "trunk": body,
            "head": head,
            "front": sock,
            "hind": sock,
            "tail": dark,
            "ears": dark,
        }
    marks = Coat(white, ((patches(rng, 0.55, -0.1), dark.base),))
    if kind == "calico":
        marks = marks.with_paint(patches(rng, 0.5, 0.25), (0.80, 0.50, 0.25))
    cap = Coat(
        white,
        (
            (
                both(
                    spot((0.5, 0.6, 0.2), (0.5, 0.75, 1.2), 10, mirrored=True),
                    beyond((0, 1, 0), -0.2),
                ),
                dark.base,
            ),
        ),
    )
    return {"trunk": marks, "head": cap, "front": marks, "hind": marks, "tail": dark, "ears": dark}


def cat(rng: Rng, azimuth: float) -> Figure:
    """A domestic cat: pointed ears, almond eyes, whiskers, a small nose and a long tail."""
    build = Build(
        head=0.40 * rng.uniform(0.95, 1.1),
        chest=(0.31, 0.36),
        belly=(0.33, 0.35),
        rump=(0.35, 0.38),
        leg=0.62,
        thickness=0.105,
        neck_up=0.30,
        neck_ahead=0.24,
        tail=1.5,
        poses=("stand", "walk", "sit", "sit", "sit", "lie", "lie"),
    )
    bones = choose_pose(rng, build, azimuth)
    kind = str(rng.choice(CAT_COATS))
    coats = cat_coats(rng, kind)
    hair = rng.uniform(0.02, 0.045)
    figure = Figure(bones.head)
    trunk(figure, bones, build, coats["trunk"], hair)
    legs(figure, bones, build, coats["front"], coats["hind"], hair * 0.8)
    tail(figure, bones, [coats["tail"]], (0.10, 0.095, 0.08), hair * 1.2)
    face = figure.region(figure.head, coats["head"], (0, 0.2, -1), hair * 0.8)
    face.blob((0, 0.06, 0), (0.95, 0.80, 0.82))
    face.pair((0.46, -0.25, 0.22), (0.42, 0.36, 0.44))
    face.pair((0.19, -0.34, 0.77), (0.26, 0.20, 0.23))
    face.blob((0, -0.18, 0.66), (0.18, 0.26, 0.24))
    face.blob((0, -0.50, 0.60), (0.18, 0.14, 0.18))
    inner = spot((0, 0.15, 0.3), (0.30, 0.62, 0.35), softness=0.5)
    pink = faint(inner, 0.85)
    ears(
        figure,
        coats["ears"].with_paint(pink, (0.78, 0.56, 0.52)),
        (0.58, 0.50, 0.02),
        (0.39, 0.82, 0.22),
        hair * 0.6,
        roll=rng.uniform(14, 24),
        yaw=20,
        roundness=0.22,
    )
    iris = (0.30, 0.50, 0.82) if kind == "siamese" else _cat_iris(rng)
    slit = (rng.uniform(0.14, 0.5), 0.86)
    lids, tilt = (0.05, 0.04, 0.04), 11
    eyes(figure, (0.40, 0.06, 0.68), (0.24, 0.185, 0.10), lids, None, roll=tilt, yaw=24)
    eyes(figure, (0.405, 0.06, 0.705), (0.20, 0.155, 0.105), iris, slit, roll=tilt, yaw=24)
    pink_nose = PINK if kind not in ("black", "gray") or rng.random() < 0.3 else (0.16, 0.13, 0.13)
    nose(figure, (0, -0.19, 0.90), (0.095, 0.065, 0.05), pink_nose)
    mouth(figure, (0, -0.24, 0.95), 0.20, 0.11, 0.04)
    whiskers(figure, rng, (0.24, -0.34, 0.88), 0.95)
    return figure


def _cat_iris(rng: Rng) -> Color:
    greens = ((0.62, 0.72, 0.25), (0.45, 0.66, 0.35), (0.85, 0.66, 0.20), (0.80, 0.48, 0.15))
    return vary(rng, greens[int(rng.integers(len(greens)))], 0.04)
