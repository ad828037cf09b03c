"""What an animal is made of: solids for its flesh, regions for its coat, details for its face."""

from __future__ import annotations

from dataclasses import dataclass, field

from drawn_animals.coats import Coat, Color
from drawn_animals.space import Array, Frame, Point, axes_along, lengths, transform, turn, vector


@dataclass(frozen=True)
class Solid:
    """An ellipsoid, or a horn with a point that is sharp (`roundness` 0) or dome-like (1).

    The columns of `shape` are its half-axes in the world. A horn has its base at `center` and its
    tip at `center` plus the second column.
    """

    center: Array
    shape: Array
    roundness: float | None = None

    @property
    def is_horn(self) -> bool:
        """Return whether this is a horn."""
        return self.roundness is not None


@dataclass(frozen=True)
class Detail:
    """A hard, smooth thing on the surface: an eye, a nose, a claw, a beak."""

    solid: Solid
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

    def blob(self, center: Point, radii: Point, tilt: Array | None = None) -> None:
        """Add an ellipsoid."""
        self.solids.append(ellipsoid(self.frame, center, radii, tilt))

    def pair(self, center: Point, radii: Point, *, roll: float = 0.0, yaw: float = 0.0) -> None:
        """Add an ellipsoid on the left and its mirror image on the right."""
        x, y, z = center
        self.blob((x, y, z), radii, turn(yaw, 0, roll))
        self.blob((-x, y, z), radii, turn(-yaw, 0, -roll))

    def horn(
        self, base: Point, radii: Point, tilt: Array | None = None, roundness: float = 0.2
    ) -> None:
        """Add a horn that rises along y; `radii` are its half-width, height and half-thickness."""
        solid = ellipsoid(self.frame, base, radii, tilt)
        self.solids.append(Solid(solid.center, solid.shape, roundness))

    def bone(self, start: Array, end: Array, thickness: float) -> None:
        """Add an ellipsoid that reaches a little over both of its world points."""
        along = end - start
        half = float(lengths(along)) / 2 + 0.7 * thickness
        shape = axes_along(along) * vector((thickness, half, thickness))
        self.solids.append(Solid((start + end) / 2, shape))


def ellipsoid(frame: Frame, center: Point, radii: Point, tilt: Array | None = None) -> Solid:
    """Return an ellipsoid given in the coordinates of `frame`."""
    axes = frame.axes if tilt is None else transform(frame.axes, tilt)
    return Solid(frame.at(center), axes * (frame.scale * vector(radii)))


@dataclass
class Figure:
    """An animal in its pose, ready to be lit and photographed. The ground is at y = 0."""

    head: Frame
    regions: list[Region] = field(default_factory=list)
    details: list[Detail] = field(default_factory=list)
    whiskers: list[tuple[Array, Array, Array]] = field(default_factory=list)
    """Each a quadratic curve: root, bend, tip."""
    woolly: bool = False

    def region(self, frame: Frame, coat: Coat, flow: Point, hair: float) -> Region:
        """Return a new, empty region of this figure."""
        region = Region(frame, coat, flow, hair)
        self.regions.append(region)
        return region

    def solids(self) -> list[Solid]:
        """Return all solids with hair on them."""
        return [solid for region in self.regions for solid in region.solids]
