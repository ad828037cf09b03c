"""Four-legged animals: what a species has in common, what each animal has of its own, and both."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from drawn_animals.coats import Coat, Color
from drawn_animals.figure import Bone, Feature, Figure, Part, Region
from drawn_animals.parts import Whisker, one_of
from drawn_animals.poses import Build, Leg, Skeleton, pose
from drawn_animals.space import (
    WORLD,
    Frame,
    Point,
    Rng,
    axes_along,
    cross,
    lengths,
    transform,
    turn,
    unit,
)

Species = Callable[[Rng, float], Figure]
"""From a generator and the viewer's azimuth (degrees, 0 is in front) to a figure."""

HOOF: Color = (0.12, 0.10, 0.09)


@dataclass(frozen=True)
class Ears:
    """A pair of ears: ellipsoids, or horns where `roundness` is given; angles are outward."""

    center: tuple[float, float, float]
    radii: tuple[float, float, float]
    roll: float
    yaw: float = 0.0
    pitch: float = 0.0
    roundness: float | None = None


@dataclass(frozen=True)
class Shape:
    """What all animals of a species have in common."""

    build: Build
    poses: str
    """Separated by spaces; one that is named twice is taken twice as often."""
    hair: tuple[float, float, float, float, float]
    """Lengths on trunk, legs, face, ears and tail, in units of `Individual.hair`."""
    face: tuple[Part | Bone, ...]
    ears: Ears
    features: tuple[Feature, ...]
    """Later ones are drawn over earlier ones."""
    tail: tuple[float, ...] = ()
    """Radii at equal steps."""
    flow: Point = (0, 0.2, -1)
    """Of the hair on the face."""
    hoofed: bool = False
    plumpness: tuple[float, float] | None = None
    """Lowest and highest factor by which the girth of an animal differs from that of the build."""
    head: tuple[float, float] | None = None
    leg: tuple[float, float] | None = None
    """As `plumpness`, for the size of the head and the length of the legs."""


@dataclass(frozen=True)
class Patch:
    """Parts of the head, or of the trunk, under a coat of their own: horns, a scut."""

    coat: Coat
    hair: float
    parts: tuple[Part | Bone, ...]
    flow: Point = (0, 1, 0)
    on_trunk: bool = False


@dataclass(frozen=True)
class Individual:
    """What one animal of a species has of its own, its coats above all."""

    trunk: Coat
    legs: Coat
    """y is 0 at the trunk and −1 at the foot."""
    head: Coat
    ears: Coat
    """x is outward, y up the ear, z out of its opening, in ear heights."""
    tail: tuple[Coat, ...] = ()
    """They take turns along it."""
    tip: Coat | None = None
    hind_legs: Coat | None = None
    """Where they differ from the front legs."""
    mane: Color | None = None
    hair: float = 1.0
    """Length in world units of what `Shape.hair` calls 1."""
    ear_roll: float | None = None
    bow: float | None = None
    """By how many degrees a long neck holds the head up (down: negative); None for a short neck."""
    face: tuple[Part | Bone, ...] = ()
    features: tuple[Feature, ...] = ()
    whiskers: tuple[Whisker, ...] = ()
    fleece: tuple[Part, ...] = ()
    patches: tuple[Patch, ...] = ()
    """Below the face; `horns` are on top of it."""
    horns: Patch | None = None


def quadruped(shape: Shape) -> Callable[[Callable[[Rng], Individual]], Species]:
    """Make a species of a shape and of the function that chooses the rest."""

    def species_of(choose: Callable[[Rng], Individual]) -> Species:
        def species(rng: Rng, azimuth: float) -> Figure:
            ranges = (shape.plumpness, shape.head, shape.leg)
            build = shape.build.scaled(*(rng.uniform(*r) if r else 1.0 for r in ranges))
            skeleton = pose(build, one_of(rng, shape.poses.split()), azimuth, rng)
            return assemble(shape, choose(rng), build, skeleton)

        return species

    return species_of


def assemble(shape: Shape, own: Individual, build: Build, skeleton: Skeleton) -> Figure:
    """Return an animal as it holds itself."""
    if own.bow is not None:
        axes = transform(skeleton.head.axes, turn(0, own.bow))
        skeleton = replace(skeleton, head=replace(skeleton.head, axes=axes))
    head = skeleton.head
    figure = Figure(head, woolly=bool(own.fleece))
    on_trunk, on_legs, on_face, on_ears, on_tail = (length * own.hair for length in shape.hair)
    trunk = figure.region(skeleton.trunk, own.trunk, (0, -0.5, -1), on_trunk)
    _add_trunk(trunk, build, skeleton, long_neck=own.bow is not None)
    trunk.add(*own.fleece)
    for leg in skeleton.legs:
        coat = own.legs if leg.front else own.hind_legs or own.legs
        _add_leg(figure, leg, build, coat, on_legs, hoofed=shape.hoofed)
    if own.tail:
        _add_tail(figure, skeleton, shape, own, on_tail)
    if own.mane:
        _add_mane(figure, own.mane, skeleton)
    face = Patch(own.head, on_face, (*shape.face, *own.face), shape.flow)
    for patch in (*own.patches, face, *([own.horns] if own.horns else [])):
        frame = skeleton.trunk if patch.on_trunk else head
        figure.region(frame, patch.coat, patch.flow, patch.hair).add(*patch.parts)
    _add_ears(figure, shape.ears, own, on_ears)
    figure.add(*shape.features, *own.features)
    figure.whiskers += [(head.at(a), head.at(b), head.at(c)) for a, b, c in own.whiskers]
    return figure


def _add_trunk(region: Region, build: Build, skeleton: Skeleton, *, long_neck: bool) -> None:
    """Add chest, belly, rump and neck."""
    girths = np.array([build.rump, build.belly, build.chest])
    for z in np.linspace(-0.55, 0.5, 8):
        wide, high = (float(np.interp(z, (-0.55, 0.0, 0.5), girths[:, i])) for i in range(2))
        region.add(Part((0, -0.05 * (1 - abs(z)), z), (wide, high, 0.55)))
    trunk, head = skeleton.trunk, skeleton.head
    start, end = trunk.at((0, 0.12, 0.6)), head.at((0, -0.15, -0.35))
    for share, width in ((0.0, 0.85), (0.5, 0.78), (1.0, 0.72)):
        thick = width * min(build.chest[0], 1.15 * build.head)
        region.add(Part(start + share * (end - start), (thick,) * 3), frame=WORLD)
    if long_neck:
        region.bone(trunk.at((0, 0.0, 0.7)), head.at((0, -0.1, -0.2)), 0.22)


def _add_leg(
    figure: Figure, leg: Leg, build: Build, coat: Coat, hair: float, *, hoofed: bool
) -> None:
    length, thick = float(lengths(leg.foot - leg.top)), build.thickness
    frame = Frame(leg.top, axes_along(leg.top - leg.foot), length)
    region = figure.region(frame, coat, (0, -1, 0.1), hair)
    region.bone(leg.top, leg.knee, thick * (1.25 if leg.front else 1.6))
    region.bone(leg.knee, leg.foot, thick)
    if hoofed:
        hoof = Feature(Part((0, -0.06, 0), (thick * 1.05,) * 3), HOOF, 0.1)
        figure.add(hoof, frame=Frame(leg.foot, frame.axes))
        return
    toward = unit(leg.toes)
    flat = toward[1] < 0.8
    axes = np.stack([cross((0, 1, 0), toward), (0, 1, 0), toward], 1) if flat else turn()
    paw = Frame(leg.foot + toward * thick * 0.45, axes.astype(np.float32), thick)
    region.add(Part((0, -0.05, 0), (1.15, 0.75 if flat else 1.5, 1.3)), frame=paw)
    for x in (-0.62, 0.0, 0.62):
        region.add(Part((x, -0.15, 0.95 if flat else 0.3), (0.4, 0.45, 0.5)), frame=paw)


def _add_tail(
    figure: Figure, skeleton: Skeleton, shape: Shape, own: Individual, hair: float
) -> None:
    points = skeleton.tail
    frame, flow = Frame(points[0], turn()), points[-1] - points[0]
    rings = [figure.region(frame, coat, flow, hair) for coat in own.tail] * len(points)
    if own.tip:
        rings[len(points) - 4 :] = [figure.region(frame, own.tip, flow, hair)] * 4
    steps = np.linspace(0, 1, len(shape.tail))
    for i, (start, end) in enumerate(itertools.pairwise(points)):
        radius = float(np.interp((i + 0.5) / (len(points) - 1), steps, shape.tail))
        rings[i].bone(start, end, radius)


def _add_mane(figure: Figure, color: Color, skeleton: Skeleton) -> None:
    region = figure.region(skeleton.trunk, Coat(color), (0, 1, -0.4), 0.05)
    start, end = skeleton.trunk.at((0, 0.42, 0.62)), skeleton.head.at((0, 0.95, -0.15))
    for share in np.linspace(0, 1, 6):
        tuft = Frame(start + share * (end - start), turn())
        region.add(Part((0, 0.02, -0.06), (0.05, 0.17, 0.17)), frame=tuft)


def _add_ears(figure: Figure, ears: Ears, own: Individual, hair: float) -> None:
    (x, y, z), (width, height, thickness) = ears.center, ears.radii
    roll = ears.roll if own.ear_roll is None else own.ear_roll
    for side in (1, -1):
        axes = turn(side * ears.yaw, ears.pitch, -side * roll)
        frame = figure.head.inside((side * x, y, z), axes, height)
        region = figure.region(frame, own.ears, (0, 1, 0), hair)
        size = (width / height, 1.0, thickness / height)
        region.add(Part((0, 0, 0), size, roundness=ears.roundness))
