"""Penguins, owls, ducks and songbirds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from drawn_animals.coats import Coat, Color, beyond, patches, spot, stripes
from drawn_animals.figure import Bone, Feature, Figure, Part
from drawn_animals.parts import WHITE, eyes, one_of, vary
from drawn_animals.space import WORLD, Frame, Point, Rng, turn, vector

ORANGE: Color = (0.92, 0.55, 0.12)
SIDE_EYES = eyes((0.68, 0.22, 0.58), (0.13, 0.13, 0.10), (0.25, 0.12, 0.05), (0.7, 0.7), yaw=52)
OWL_EYES = eyes((0.40, 0.10, 0.66), (0.30, 0.30, 0.12), (0.92, 0.62, 0.10), (0.5, 0.5), yaw=14)
EAR_TUFTS = Part((0.55, 0.6, 0.2), (0.22, 0.6, 0.14), roll=-25, roundness=0.3, paired=True)
BACKS_AND_BREASTS: tuple[tuple[Color, Color], ...] = (
    ((0.25, 0.40, 0.68), (0.90, 0.70, 0.35)),
    ((0.42, 0.35, 0.28), (0.85, 0.36, 0.15)),
    ((0.10, 0.10, 0.11), (0.92, 0.91, 0.88)),
    ((0.45, 0.52, 0.22), (0.90, 0.82, 0.30)),
)

Plumage = tuple[Coat, Coat, Coat]
"""The coats of body, wings and head."""


@dataclass(frozen=True)
class Bird:
    """A species of birds; `Bird(rng, azimuth)` is a figure of one."""

    plumage: Callable[[Rng], Plumage]
    height: float
    """Of the middle of the body over the ground."""
    pitch: float
    """Of the body, in degrees; 90 is upright."""
    radii: tuple[float, float]
    """Of the body: across and along."""
    head: tuple[Point, float]
    """Its place in the coordinates of the body, and its half-width."""
    beak: Part
    skull: Point = (1, 0.96, 0.95)
    neck: float = 0.9
    """Radius in units of the head."""
    wing: float = 0.10
    """Half the thickness."""
    toes: float = 0.15
    """How far ahead of the hips."""
    bare: Color = ORANGE
    """Of beak and feet."""
    eyes: Feature = SIDE_EYES
    tail: tuple[Part, ...] = (Part((0, 0.08, -1.0), (0.20, 0.06, 0.42)),)
    tufts: tuple[Part, ...] = ()

    def __call__(self, rng: Rng, azimuth: float) -> Figure:
        """Return a bird whose head turns to a viewer at `azimuth` (degrees)."""
        body = Frame(vector((0, self.height, 0)), turn(0, self.pitch + rng.normal(0, 3)))
        yaw = float(np.clip(azimuth * rng.uniform(0.3, 1.0), -80, 80))
        place, size = self.head
        head = Frame(body.at(place), turn(yaw, rng.normal(0, 6), rng.normal(0, 5)), size)
        figure = Figure(head)
        width, length = self.radii
        on_body, on_wings, on_head = self.plumage(rng)
        belly = figure.region(body, on_body, (0, 0, -1), 0.03)
        belly.add(Part((0, 0, 0), (width, width * 0.95, length)))
        belly.add(Part((0, -0.05, 0.45), (width * 0.78, width * 0.78, 0.5)))
        belly.bone(body.at((0, 0.05, 0.6)), head.at((0, -0.3, -0.1)), head.scale * self.neck)
        wing = Part((width * 0.88, 0.05, -0.1), (self.wing, 0.30, 0.72), yaw=-4, paired=True)
        figure.region(body, on_wings, (0, 0, -1), 0.04).add(wing, *self.tail)
        figure.region(head, on_head, (0, 0.3, -1), 0.02).add(Part((0, 0, 0), self.skull))
        figure.add(Feature(self.beak, self.bare, 0.3), self.eyes)
        if self.tufts:
            figure.region(head, on_wings, (0, 1, 0), 0.03).add(*self.tufts)
        for side in (1, -1):
            hip = (side * 0.22, max(self.height - width, 0.2), 0)
            foot = vector((side * 0.22, 0.06, self.toes))
            toes = Part((0, -0.02, 0.1), (0.17, 0.05, 0.24))
            figure.add(Feature(Bone(hip, foot, 0.05), self.bare), frame=WORLD)
            figure.add(Feature(toes, self.bare), frame=Frame(foot, turn()))
        return figure


def _penguin(rng: Rng) -> Plumage:
    dark = Coat(vary(rng, (0.09, 0.09, 0.11), 0.01))
    cheeks = spot((0.75, -0.25, 0.1), (0.4, 0.45, 0.5), mirrored=True)
    belly = spot((0, -0.5, 0), (0.36, 0.5, 1.0))
    return dark.with_paint(belly, WHITE), dark, dark.with_paint(cheeks, (0.95, 0.72, 0.2))


def _owl(rng: Rng) -> Plumage:
    brown, pale = Coat(vary(rng, (0.46, 0.34, 0.23))), Coat(vary(rng, (0.82, 0.72, 0.56)))
    discs = spot((0.4, 0.08, 0.8), (0.48, 0.48, 0.6), mirrored=True)
    body = pale.with_paint(stripes(rng, (0.3, 0, 1), 4.0, 0.4, 0.3), brown.base)
    wings = brown.with_paint(patches(rng, 2.0, 0.3), pale.base)
    return body, wings, brown.with_paint(discs, pale.base)


def _duck(rng: Rng) -> Plumage:
    if rng.random() < 0.5:
        plain = Coat(vary(rng, one_of(rng, (WHITE, (0.93, 0.80, 0.30)))))
        return plain, plain, plain
    body = Coat(vary(rng, (0.62, 0.60, 0.57)))
    body = body.with_paint(beyond((0, 0, 1), 0.45), (0.35, 0.20, 0.13))
    head = Coat((0.08, 0.32, 0.18)).with_paint(beyond((0, -1, 0), 0.75), WHITE)
    return body, Coat((0.48, 0.42, 0.36)), head


def _songbird(rng: Rng) -> Plumage:
    back, breast = (vary(rng, color) for color in one_of(rng, BACKS_AND_BREASTS))
    coat, throat = Coat(back), spot((0, -0.6, 0.5), (0.7, 0.55, 0.8))
    body = coat.with_paint(beyond((0, -1, 0.4), 0.15), breast)
    return body, coat, coat.with_paint(throat, breast)


# fmt: off
BIRDS = {
    #                           height pitch radii        head                        beak
    "penguin":  Bird(_penguin,  1.00,  84,  (0.46, 0.95), ((0,  0.02, 1.02), 0.30),
                     Part((0, -0.05, 0.80), (0.20, 0.75, 0.18), pitch=-84, roundness=0.25),
                     tail=()),
    "owl":      Bird(_owl,      0.85,  80,  (0.52, 0.95), ((0, -0.05, 0.80), 0.48),
                     Part((0, -0.05, 0.70), (0.14, 0.38, 0.14), pitch=-140, roundness=0.25),
                     skull=(1, 0.85, 0.8), wing=0.14, toes=0.3, eyes=OWL_EYES, tufts=(EAR_TUFTS,)),
    "duck":     Bird(_duck,     0.62,   8,  (0.50, 0.95), ((0,  0.85, 0.92), 0.30),
                     Part((0, -0.15, 0.75), (0.34, 0.85, 0.14), pitch=-98, roundness=0.6),
                     neck=0.62),
    "songbird": Bird(_songbird, 0.62,  38,  (0.46, 0.80), ((0,  0.30, 0.82), 0.36),
                     Part((0,  0.00, 0.82), (0.16, 0.50, 0.15), pitch=-90, roundness=0.25),
                     bare=(0.30, 0.25, 0.20)),
}
# fmt: on
