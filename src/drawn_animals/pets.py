"""Cats, dogs and rabbits, in their many coats."""

from collections.abc import Callable
from functools import partial

from drawn_animals import shapes
from drawn_animals.anatomy import Individual, Patch, quadruped
from drawn_animals.coats import (
    Coat,
    Color,
    between,
    beyond,
    blended,
    both,
    dimmed,
    faint,
    patches,
    spot,
    stripes,
)
from drawn_animals.figure import Feature, Part
from drawn_animals.parts import PINK, WHITE, eyes, mouth, nose, one_of, snout, vary, whiskers
from drawn_animals.space import Rng

SOOT: Color = (0.09, 0.085, 0.09)
COAL: Color = (0.10, 0.09, 0.09)
CAT_EYES = ((0.62, 0.72, 0.25), (0.45, 0.66, 0.35), (0.85, 0.66, 0.20), (0.80, 0.48, 0.15))
DOG_COLORS: dict[str, Color] = {
    "golden": (0.80, 0.60, 0.36),
    "brown": (0.42, 0.27, 0.17),
    "black": COAL,
    "spotted": WHITE,
    "collie": SOOT,
    "beagle": (0.68, 0.44, 0.24),
}
RABBIT_COLORS = ((0.58, 0.48, 0.38), WHITE, (0.46, 0.45, 0.46), COAL, (0.70, 0.48, 0.30))
SCUT = Part((0, 0.05, -1.12), (0.16, 0.16, 0.16))
TONGUE = Feature(Part((0, -0.62, 1.20), (0.13, 0.24, 0.07), pitch=-12), (0.86, 0.42, 0.45), 0.3)

CatCoats = tuple[Coat, Coat, Coat, Coat, Coat]
"""Of trunk, legs, head, ears and tail."""


@quadruped(shapes.CAT)
def cat(rng: Rng) -> Individual:
    """A domestic cat: pointed ears, almond eyes, whiskers, a small nose and a long tail."""
    kind = one_of(rng, tuple(CAT_COATS))
    trunk, legs, head, ears, tail = CAT_COATS[kind](rng)
    inner_ear = faint(spot((0, 0.15, 0.3), (0.30, 0.62, 0.35), softness=0.5), 0.85)
    return Individual(
        trunk,
        legs,
        head,
        ears.with_paint(inner_ear, (0.78, 0.56, 0.52)),
        tail=(tail,),
        hair=rng.uniform(0.02, 0.045),
        ear_roll=rng.uniform(14, 24),
        features=_cat_features(rng, kind),
        whiskers=whiskers(rng, (0.24, -0.34, 0.88), 0.95),
    )


def _cat_features(rng: Rng, kind: str) -> tuple[Feature, ...]:
    iris = (0.30, 0.50, 0.82) if kind == "siamese" else vary(rng, one_of(rng, CAT_EYES), 0.04)
    slit = (rng.uniform(0.14, 0.5), 0.86)
    pink = kind not in ("black", "gray") or rng.random() < 0.3
    return (
        eyes((0.405, 0.06, 0.705), (0.20, 0.155, 0.105), iris, slit, roll=11, yaw=24),
        nose((0, -0.19, 0.90), (0.095, 0.065, 0.05), PINK if pink else (0.16, 0.13, 0.13)),
        *mouth((0, -0.24, 0.95), 0.20, 0.11, 0.04),
    )


def _plain(color: Color, rng: Rng) -> CatCoats:
    coat = Coat(vary(rng, color))
    return coat, coat, coat, coat, coat


def _tabby(rng: Rng) -> CatCoats:
    if rng.random() < 0.5:
        return _striped((0.60, 0.61, 0.62), (0.22, 0.22, 0.24), rng)
    return _striped((0.56, 0.49, 0.41), (0.20, 0.16, 0.13), rng)


def _striped(base: Color, dark: Color, rng: Rng) -> CatCoats:
    coat, dark = Coat(vary(rng, base)), vary(rng, dark, 0.02)
    pale = blended(coat.base, WHITE, 0.65)
    white = rng.random() < 0.5
    trunk = coat.with_paint(stripes(rng, (0, 0.15, 1), 2.3, 0.42, 0.35), dark)
    trunk = trunk.with_paint(beyond((0, -1, 0.2), 0.30), pale)
    forehead = both(stripes(rng, (1, 0.2, 0), 1.7, 0.4, 0.12), beyond((0, 1, 0), 0.2))
    cheeks = both(stripes(rng, (0.25, 1, 0), 2.0, 0.38, 0.2), beyond((0, 0, -1), -0.35))
    muzzle = spot((0, -0.42, 0.8), (0.5, 0.36, 0.6))
    head = coat.with_paint(forehead, dark).with_paint(cheeks, dark)
    head = head.with_paint(muzzle, WHITE if white else pale)
    rings = both(stripes(rng, (0, 1, 0), 3.2, 0.4, 0.15), beyond((0, 1, 0), -0.8))
    legs = coat.with_paint(rings, dark)
    if white:
        legs = legs.with_paint(beyond((0, -1, 0), 0.75), WHITE)
        trunk = trunk.with_paint(spot((0, -0.45, 0.9), (0.3, 0.45, 0.6)), WHITE)
    tail = coat.with_paint(stripes(rng, (0.3, 0.3, 0.9), 3.0, 0.45, 0.1), dark)
    return trunk, legs, head, coat, tail


def _siamese(rng: Rng) -> CatCoats:
    coat, dark = Coat(vary(rng, (0.85, 0.78, 0.68))), Coat(vary(rng, (0.24, 0.17, 0.14), 0.02))
    mask = spot((0, -0.12, 0.75), (0.5, 0.55, 0.6), softness=0.8)
    legs = coat.with_paint(beyond((0, -1, 0), 0.6, 0.5), dark.base)
    return coat, legs, coat.with_paint(mask, dark.base), dark, dark


def _tuxedo(rng: Rng) -> CatCoats:
    dark, white = Coat(vary(rng, SOOT, 0.02)), vary(rng, WHITE)
    trunk = dark.with_paint(spot((0, -0.5, 0.75), (0.32, 0.5, 0.6)), white)
    head = dark.with_paint(spot((0, -0.1, 0.9), (0.12, 0.55, 0.5)), white)
    head = head.with_paint(spot((0, -0.45, 0.8), (0.42, 0.34, 0.6)), white)
    socks = dark.with_paint(beyond((0, -1, 0), rng.uniform(0.55, 0.8)), white)
    return trunk, socks, head, dark, dark


def _cow(rng: Rng) -> CatCoats:
    dark, white = Coat(vary(rng, SOOT, 0.02)), Coat(vary(rng, WHITE))
    marks = white.with_paint(patches(rng, 0.55, -0.1), dark.base)
    cap = spot((0.5, 0.6, 0.2), (0.5, 0.75, 1.2), 10, mirrored=True)
    head = white.with_paint(both(cap, beyond((0, 1, 0), -0.2)), dark.base)
    return marks, marks, head, dark, dark


def _calico(rng: Rng) -> CatCoats:
    marks, _, head, ears, tail = _cow(rng)
    marks = marks.with_paint(patches(rng, 0.5, 0.25), (0.80, 0.50, 0.25))
    return marks, marks, head, ears, tail


CAT_COATS: dict[str, Callable[[Rng], CatCoats]] = {
    "tabby": _tabby,
    "ginger": partial(_striped, (0.86, 0.58, 0.32), (0.66, 0.36, 0.16)),
    "black": partial(_plain, SOOT),
    "white": partial(_plain, WHITE),
    "gray": partial(_plain, (0.46, 0.48, 0.52)),
    "siamese": _siamese,
    "tuxedo": _tuxedo,
    "cow": _cow,
    "calico": _calico,
}


@quadruped(shapes.DOG)
def dog(rng: Rng) -> Individual:
    """A dog: long muzzle, hanging ears, often with its tongue out."""
    kind = one_of(rng, tuple(DOG_COLORS))
    coat = Coat(vary(rng, DOG_COLORS[kind]))
    trunk, legs, head = _dog_coats(rng, kind, coat)
    return Individual(
        trunk,
        legs,
        head,
        ears=Coat(COAL if kind == "spotted" else dimmed(coat.base, 0.85)),
        tail=(coat,),
        hair=rng.uniform(0.025, 0.06),
        face=snout(rng.uniform(0.8, 1.05), 0.36, 0.30),
        features=(TONGUE,) if rng.random() < 0.55 else (),
    )


def _dog_coats(rng: Rng, kind: str, coat: Coat) -> tuple[Coat, Coat, Coat]:
    """Return the coats of trunk, legs and head."""
    if kind == "spotted":
        coat = coat.with_paint(patches(rng, 2.0, 0.62, 0.1), (0.08, 0.08, 0.08))
    if kind not in ("collie", "beagle"):
        return coat, coat, coat
    trunk = coat.with_paint(beyond((0, -0.5, 1), 0.45, 0.15), WHITE)
    if kind == "beagle":
        saddle = both(beyond((0, 1, 0), 0.05), between((0, 0, 1), -0.9, 0.5))
        trunk = trunk.with_paint(saddle, (0.12, 0.10, 0.09))
    head = coat.with_paint(spot((0, 0.1, 0.9), (0.17, 0.8, 0.6)), WHITE)
    head = head.with_paint(spot((0, -0.35, 1.1), (0.42, 0.36, 0.6)), WHITE)
    return trunk, coat.with_paint(beyond((0, -1, 0), 0.45), WHITE), head


@quadruped(shapes.RABBIT)
def rabbit(rng: Rng) -> Individual:
    """A rabbit: long ears, round body, hardly a tail."""
    coat, white = Coat(vary(rng, one_of(rng, RABBIT_COLORS))), Coat(WHITE)
    spotted = rng.random() < 0.4
    trunk = white.with_paint(patches(rng, 0.6, 0.0), coat.base) if spotted else coat
    inner_ear = spot((0, 0, 0.3), (0.13, 0.75, 0.4), softness=0.4)
    return Individual(
        trunk=trunk.with_paint(beyond((0, -1, 0.3), 0.45), WHITE),
        legs=coat,
        head=coat.with_paint(spot((0, -0.5, 0.9), (0.3, 0.24, 0.4)), WHITE),
        ears=coat.with_paint(inner_ear, (0.86, 0.62, 0.60)),
        ear_roll=rng.uniform(2, 18),
        whiskers=whiskers(rng, (0.2, -0.3, 0.95), 0.6),
        patches=(Patch(white, 0.06, (SCUT,), (0, 0.3, -1), on_trunk=True),),
    )
