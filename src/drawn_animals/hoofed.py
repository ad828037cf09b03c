"""Cows, horses, zebras, sheep and pigs."""

from drawn_animals import shapes
from drawn_animals.anatomy import Individual, Patch, quadruped
from drawn_animals.coats import Coat, beyond, patches, spot, stripes
from drawn_animals.figure import Part
from drawn_animals.parts import PINK, WHITE, one_of, vary
from drawn_animals.space import Rng, unit, vector

COW_COLORS = ((0.08, 0.075, 0.08), (0.40, 0.23, 0.14))
HORSE_COLORS = ((0.38, 0.21, 0.11), (0.15, 0.10, 0.08), (0.62, 0.50, 0.38))
HORNS = Part((0.55, 0.7, 0), (0.16, 0.7, 0.16), roll=-50, roundness=0.3, paired=True)
CURLS = tuple(
    Part((x, y, 0.15), (0.36, 0.34, 0.4))
    for x, y in ((-0.4, 0.75), (0, 0.9), (0.4, 0.75), (-0.2, 0.6), (0.2, 0.6))
)


def _bow(rng: Rng) -> float:
    return rng.uniform(-48, -28)


def _horse_ears(coat: Coat) -> Coat:
    return coat.with_paint(spot((0, 0, 0.3), (0.12, 0.7, 0.4)), (0.25, 0.2, 0.18))


@quadruped(shapes.COW)
def cow(rng: Rng) -> Individual:
    """A cow: black or brown patches on white, a pink nose, horns."""
    bow = _bow(rng)
    dark = Coat(vary(rng, one_of(rng, COW_COLORS), 0.015))
    pied = Coat(WHITE).with_paint(patches(rng, 0.5, 0.0, 0.08), dark.base)
    head = dark.with_paint(spot((0, 0.3, 0.9), (0.30, 1.0, 0.9)), WHITE)
    head = head.with_paint(beyond((0, 0, 1), 1.55), PINK)
    horns = Patch(Coat((0.82, 0.76, 0.62)), 0.005, (HORNS,))
    return Individual(pied, pied, head, ears=dark, tail=(dark,), bow=bow, horns=horns)


@quadruped(shapes.HORSE)
def horse(rng: Rng) -> Individual:
    """A horse: brown, with a mane, a blaze and white socks."""
    bow = _bow(rng)
    coat = Coat(vary(rng, one_of(rng, HORSE_COLORS), 0.015))
    return Individual(
        trunk=coat,
        legs=coat.with_paint(beyond((0, -1, 0), 0.78), WHITE),
        head=coat.with_paint(spot((0, 0.4, 1.1), (0.14, 0.5, 0.8)), WHITE),
        ears=_horse_ears(coat),
        tail=(coat,),
        mane=coat.base,
        bow=bow,
    )


@quadruped(shapes.HORSE)
def zebra(rng: Rng) -> Individual:
    """A zebra: striped all over, with a dark nose and a mane that stands up."""
    bow = _bow(rng)
    white, dark = Coat(WHITE), (0.08, 0.07, 0.07)
    trunk = white.with_paint(stripes(rng, (0, 0.1, 1), 3.2, 0.48, 0.15), dark)
    legs = white.with_paint(stripes(rng, (0, 1, 0), 5.0, 0.45, 0.05), dark)
    head = white.with_paint(stripes(rng, (0.25, 0.5, 0.8), 2.0, 0.46, 0.08), dark)
    head = head.with_paint(beyond((0, 0, 1), 1.75), dark)
    ears = _horse_ears(white)
    return Individual(trunk, legs, head, ears, tail=(Coat(dark),), mane=dark, bow=bow)


@quadruped(shapes.SHEEP)
def sheep(rng: Rng) -> Individual:
    """A sheep: a woolly ball on dark legs."""
    wool = Coat(vary(rng, (0.88, 0.84, 0.74)))
    skin = Coat(vary(rng, (0.14, 0.12, 0.11) if rng.random() < 0.6 else (0.80, 0.70, 0.58)))
    places = [unit(rng.normal(size=3)) * vector((0.52, 0.50, 0.95)) for _ in range(46)]
    fleece = tuple(Part(place, (0.17, 0.17, 0.17)) for place in places)
    cap = Patch(wool, 0.03, CURLS)
    return Individual(wool, skin, skin, ears=skin, fleece=fleece, patches=(cap,))


@quadruped(shapes.PIG)
def pig(rng: Rng) -> Individual:
    """A pig: pink, disc-shaped snout, folded ears."""
    pink = Coat(vary(rng, (0.88, 0.62, 0.58)))
    spotted = rng.random() < 0.5
    trunk = pink.with_paint(patches(rng, 0.5, 0.3), (0.12, 0.10, 0.10)) if spotted else pink
    return Individual(trunk, legs=pink, head=pink, ears=Coat((0.84, 0.54, 0.52)))
