"""What an animal is made of: solids for its flesh, regions for its coat, features for its face."""

from dataclasses import dataclass, field

from drawn_animals.coats import Coat, Color
from drawn_animals.space import WORLD, Array, Frame, Point, axes_along, lengths, turn, vector


@dataclass(frozen=True)
class Solid:
    """An ellipsoid, or a horn with a point that is sharp (`roundness` 0) or dome-like (1).

    The columns of `shape` are its half-axes in the world. A horn has its base at `center` and its
    tip at `center` plus the second column.
    """

    center: Array
    shape: Array
    roundness: float | None = None


@dataclass(frozen=True)
class Part:
    """An ellipsoid, or a horn where `roundness` is given, in the coordinates of some frame.

    A horn rises along y; its `radii` are half-width, height and half-thickness. Angles are those of
    `turn`. A `paired` part has its mirror image on the other side of the body.
    """

    center: Point
    radii: Point
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    roundness: float | None = None
    paired: bool = False

    def solids(self, frame: Frame) -> list[Solid]:
        """Return this part, and its mirror image if it has one, in the world."""
        x, y, z = self.center
        placed = [
            frame.inside((side * x, y, z), turn(side * self.yaw, self.pitch, side * self.roll))
            for side in ((1, -1) if self.paired else (1,))
        ]
        return [
            Solid(own.origin, own.axes * (own.scale * vector(self.radii)), self.roundness)
            for own in placed
        ]


@dataclass(frozen=True)
class Bone:
    """An ellipsoid that reaches a little over its ends, in the coordinates of some frame."""

    start: Point
    end: Point
    radius: float

    def solids(self, frame: Frame) -> list[Solid]:
        """Return this bone in the world."""
        start, end, radius = frame.at(self.start), frame.at(self.end), frame.scale * self.radius
        half = float(lengths(end - start)) / 2 + 0.7 * radius
        return [Solid((start + end) / 2, axes_along(end - start) * vector((radius, half, radius)))]


@dataclass(frozen=True)
class Feature:
    """A hard, smooth thing on the surface: an eye, a nose, a hoof, a beak."""

    part: Part | Bone
    color: Color
    gloss: float = 0.0
    pupil: tuple[float, float] | None = None
    """Half-width and half-height of the pupil as shares of the eye; None where there is none."""


@dataclass
class Region:
    """Solids that share one coat, painted in the coordinates of one frame.

    `flow` is the direction in which the hair lies, `hair` its length in world units.
    """

    frame: Frame
    coat: Coat
    flow: Point
    hair: float
    solids: list[Solid] = field(default_factory=list)

    def add(self, *parts: Part | Bone, frame: Frame | None = None) -> None:
        """Add parts that are given in the region's own coordinates or those of another frame."""
        for part in parts:
            self.solids += part.solids(frame or self.frame)

    def bone(self, start: Point, end: Point, radius: float) -> None:
        """Add a bone between two points of the world."""
        self.add(Bone(start, end, radius), frame=WORLD)


@dataclass
class Figure:
    """An animal in its pose, ready to be lit and photographed. The ground is at y = 0."""

    head: Frame
    regions: list[Region] = field(default_factory=list)
    features: list[tuple[Feature, Solid]] = field(default_factory=list)
    whiskers: list[tuple[Array, Array, Array]] = field(default_factory=list)
    """Each a quadratic curve: root, bend, tip."""
    woolly: bool = False

    def region(self, frame: Frame, coat: Coat, flow: Point, hair: float) -> Region:
        """Return a new, empty region of this figure."""
        region = Region(frame, coat, flow, hair)
        self.regions.append(region)
        return region

    def add(self, *features: Feature, frame: Frame | None = None) -> None:
        """Add features that are given in the coordinates of the head or of another frame."""
        for feature in features:
            self.features += [(feature, s) for s in feature.part.solids(frame or self.head)]

    def solids(self) -> list[Solid]:
        """Return all solids with hair on them."""
        return [solid for region in self.regions for solid in region.solids]
