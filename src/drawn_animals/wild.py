"""Pandas, bears, foxes, raccoons, red pandas, koalas, badgers and elephants."""

from drawn_animals import shapes
from drawn_animals.anatomy import Individual, Patch, quadruped
from drawn_animals.coats import Coat, between, beyond, spot
from drawn_animals.figure import Bone, Part
from drawn_animals.parts import BLACK, WHITE, one_of, vary
from drawn_animals.space import Rng

BEAR_COLORS = ((0.40, 0.26, 0.16), (0.58, 0.42, 0.26), (0.12, 0.10, 0.10), (0.93, 0.90, 0.80))
STUMP = Part((0, 0.1, -1.08), (0.16, 0.14, 0.16))
TUSKS = Part((0.42, -0.45, 0.65), (0.12, 1.0, 0.12), 12, -118, roundness=0.4, paired=True)


@quadruped(shapes.PANDA)
def panda(rng: Rng) -> Individual:
    """A giant panda: round white head, black ears, eye patches, limbs and shoulder band."""
    white, black = Coat(vary(rng, WHITE, 0.02)), Coat(vary(rng, BLACK, 0.012))
    band = between((0, 0.12, 1), 0.30, 0.78, 0.08)
    droop, size = rng.uniform(30, 44), rng.uniform(0.92, 1.12)
    radii = (0.185 * size, 0.275 * size, 0.5)
    eye_patches = spot((0.40, 0.02, 0.75), radii, droop, 0.3, mirrored=True)
    return Individual(
        trunk=white.with_paint(band, black.base),
        legs=black,
        head=white.with_paint(eye_patches, black.base),
        ears=black,
        patches=(Patch(white, 0.06, (STUMP,), (0, -1, -0.5), on_trunk=True),),
    )


@quadruped(shapes.BEAR)
def bear(rng: Rng) -> Individual:
    """A brown, black or polar bear: one color, long muzzle, small ears."""
    coat = Coat(vary(rng, one_of(rng, BEAR_COLORS)))
    pale = vary(rng, (0.66, 0.52, 0.36) if coat.base[0] < 0.8 else coat.base, 0.02)
    muzzle = spot((0, -0.32, 1.1), (0.42, 0.36, 0.55), softness=0.5)
    inner_ear = spot((0, 0, 0.8), (0.6, 0.6, 0.6), softness=0.6)
    ears = coat.with_paint(inner_ear, pale)
    return Individual(coat, coat, coat.with_paint(muzzle, pale), ears)


@quadruped(shapes.FOX)
def fox(rng: Rng) -> Individual:
    """A red fox: narrow muzzle, white cheeks and chest, black stockings, a white-tipped brush."""
    red, black = Coat(vary(rng, (0.80, 0.40, 0.15))), (0.10, 0.08, 0.08)
    cheeks = spot((0.42, -0.38, 0.55), (0.42, 0.30, 0.7), 25, mirrored=True)
    inner_ear = spot((0, 0.25, 0.35), (0.24, 0.6, 0.35), softness=0.5)
    ears = red.with_paint(inner_ear, (0.90, 0.82, 0.75))
    return Individual(
        trunk=red.with_paint(beyond((0, -1, 0.5), 0.45), WHITE),
        legs=red.with_paint(beyond((0, -1, 0), 0.45), black),
        head=red.with_paint(cheeks, WHITE),
        ears=ears.with_paint(beyond((0, 0, -1), 0.02), black),
        tail=(red,),
        tip=Coat(WHITE),
    )


@quadruped(shapes.RACCOON)
def raccoon(rng: Rng) -> Individual:
    """A raccoon: gray, black mask, ringed tail."""
    gray, black = Coat(vary(rng, (0.50, 0.47, 0.43))), Coat(vary(rng, (0.12, 0.10, 0.10), 0.01))
    mask = spot((0.42, -0.04, 0.6), (0.50, 0.20, 0.7), 24, mirrored=True)
    head = gray.with_paint(spot((0, -0.1, 0.6), (0.95, 0.50, 0.8)), WHITE)
    head = head.with_paint(mask, black.base)
    return Individual(
        trunk=gray,
        legs=black,
        hind_legs=gray.with_paint(beyond((0, -1, 0), 0.6), black.base),
        head=head.with_paint(spot((0, 0.35, 0.9), (0.10, 0.6, 0.6)), black.base),
        ears=gray.with_paint(spot((0, 0, 0.9), (0.6, 0.7, 0.8), softness=0.4), WHITE),
        tail=(gray, black),
    )


@quadruped(shapes.RED_PANDA)
def red_panda(rng: Rng) -> Individual:
    """A red panda: rust-red, black below, white face marks, ringed tail."""
    red, black = Coat(vary(rng, (0.66, 0.28, 0.12))), Coat(vary(rng, (0.13, 0.08, 0.07), 0.01))
    inner_ear = spot((0, 0.05, 0.5), (0.34, 0.6, 0.6), softness=0.4)
    marks = (
        (spot((0.62, -0.22, 0.5), (0.36, 0.26, 0.8), 30, mirrored=True), WHITE),
        (spot((0.32, 0.36, 0.75), (0.14, 0.13, 0.4), mirrored=True), WHITE),
        (spot((0, -0.30, 0.95), (0.34, 0.28, 0.5)), WHITE),
        (spot((0.40, -0.26, 0.72), (0.09, 0.34, 0.5), 14, mirrored=True), red.base),
    )
    return Individual(
        trunk=red.with_paint(beyond((0, -1, 0.1), 0.25), black.base),
        legs=black,
        head=Coat(red.base, marks),
        ears=Coat(WHITE, ((inner_ear, (0.30, 0.14, 0.10)), (beyond((0, 0, -1), 0.05), red.base))),
        tail=(red, Coat((0.80, 0.52, 0.30))),
    )


@quadruped(shapes.KOALA)
def koala(rng: Rng) -> Individual:
    """A koala: gray, wide fluffy ears, a large dark nose."""
    gray = Coat(vary(rng, (0.56, 0.55, 0.56)))
    chin = spot((0, -0.75, 0.5), (0.5, 0.3, 0.6))
    inner_ear = spot((0, -0.1, 0.6), (0.6, 0.65, 0.6), softness=0.7)
    return Individual(
        trunk=gray.with_paint(beyond((0, -1, 0.2), 0.32), WHITE),
        legs=gray,
        head=gray.with_paint(chin, WHITE),
        ears=gray.with_paint(inner_ear, (0.92, 0.86, 0.84)),
    )


@quadruped(shapes.BADGER)
def badger(rng: Rng) -> Individual:
    """A badger: gray back, black limbs, a white face with two black stripes."""
    gray, black = Coat(vary(rng, (0.52, 0.50, 0.47))), Coat(vary(rng, BLACK, 0.012))
    stripes = spot((0.44, 0.2, 0.5), (0.20, 0.55, 1.3), mirrored=True)
    return Individual(
        trunk=gray.with_paint(beyond((0, -1, 0), 0.15), black.base),
        legs=black,
        head=Coat(WHITE).with_paint(stripes, black.base),
        ears=black.with_paint(beyond((0, 1, 0), 0.4), WHITE),
        tail=(gray,),
    )


@quadruped(shapes.ELEPHANT)
def elephant(rng: Rng) -> Individual:
    """An elephant: gray, trunk, fan-like ears."""
    gray = Coat(vary(rng, (0.48, 0.46, 0.45)))
    curl = rng.uniform(-0.6, 1.0)
    nose = [(0, -0.25 - 0.42 * i, 0.75 + 0.12 * i + 0.05 * curl * i * i) for i in range(6)]
    proboscis = tuple(Bone(nose[i], nose[i + 1], 0.40 - 0.05 * i) for i in range(5))
    ivory = Patch(Coat((0.90, 0.86, 0.74)), 0.003, (TUSKS,))
    return Individual(gray, gray, gray, gray, tail=(gray,), face=proboscis, horns=ivory)
