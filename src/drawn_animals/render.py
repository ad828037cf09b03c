"""From a figure to pixels: rays meet quadrics, hair grows, light falls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import gaussian_filter, uniform_filter

from drawn_animals.figure import Detail, Figure, Solid
from drawn_animals.space import Array, dot, lengths, portable, transform, unit, vector

BLEND = 0.035
"""How softly touching solids flow into each other, in world units."""

ANGLES, TILE_PX = 16, 256
"""Directions of hair in the half-circle, and the side of each one's tile of noise."""
HAIR_PX, CURL_PX = 3.0, 1.2
"""How far noise is combed to become hair, or wool."""
STRANDS, RELIEF = 0.2, 0.2
"""How much hairs differ in brightness, and in how they face the light."""


@dataclass(frozen=True)
class Light:
    """A key light from a `direction` in view space, and light from above and below."""

    direction: Array
    key: Array
    sky: Array
    ground: Array


@dataclass(frozen=True)
class Camera:
    """Looks at `target` from `distance` away.

    `rotation` takes the world to the view (x right, y up, z to us). `scale` is pixels per world
    unit at the target, which appears at pixel `center` (x, y).
    """

    rotation: Array
    target: Array
    distance: float
    scale: float
    center: tuple[float, float]

    def view(self, point: Array) -> tuple[Array, float]:
        """Return a world point in view space after perspective, and its magnification."""
        x, y, z = transform(self.rotation, point - self.target)
        zoom = self.distance / max(self.distance - z, 0.2 * self.distance)
        return vector((x * zoom, y * zoom, z)), float(zoom)

    def pixel(self, point: Array) -> tuple[float, float]:
        """Return the pixel (x, y) at which a world point appears."""
        (x, y, _), _ = self.view(point)
        return self.center[0] + self.scale * float(x), self.center[1] - self.scale * float(y)

    def scaled(self, factor: float) -> Camera:
        """Return this camera with a picture `factor` times as large."""
        x, y = self.center
        return replace(self, scale=self.scale * factor, center=(x * factor, y * factor))

    def world(self, x: Array, y: Array, z: Array) -> Array:
        """Return the (3, N) world points that are seen at view coordinates x, y and depth z."""
        shrink = 1 - z / np.float32(self.distance)
        seen = np.stack([x * shrink, y * shrink, z])
        place: Array = transform(self.rotation.T, seen) + self.target[:, None]
        return place


Box = tuple[slice, slice]


@dataclass(frozen=True)
class Hit:
    """What the rays through a box of pixels meet on one solid."""

    box: Box
    depth: Array
    """(h, w), −inf where they miss."""
    normal: Array
    """(3, h, w), unit length where they hit."""
    place: Array | None = None
    """(3, h, w) in units of the solid's half-axes; details only."""


class Canvas:
    """A window of pixels, with the view coordinates of each of their centers."""

    def __init__(self, camera: Camera, left: int, top: int, width: int, height: int) -> None:
        self.camera, self.left, self.top = camera, left, top
        self.shape = (height, width)
        cx, cy = camera.center
        self.x = ((np.arange(left, left + width) + 0.5 - cx) / camera.scale).astype(np.float32)
        self.y = (-(np.arange(top, top + height) + 0.5 - cy) / camera.scale).astype(np.float32)

    def box(self, x: float, y: float, half_width: float, half_height: float) -> Box | None:
        """Return the pixels around a place in view coordinates; None if they are off the canvas."""
        left, right = np.searchsorted(self.x, (x - half_width, x + half_width))
        top, bottom = np.searchsorted(-self.y, (-y - half_height, -y + half_height))
        if right <= left or bottom <= top:
            return None
        return slice(int(top), int(bottom)), slice(int(left), int(right))

    def cast(self, solid: Solid, *, with_place: bool = False) -> Hit | None:
        """Return where the rays through this canvas meet a solid; None if it lies outside."""
        center, zoom = self.camera.view(solid.center)
        axes = transform(self.camera.rotation, solid.shape) * vector((zoom, zoom, 1))[:, None]
        half_x, half_y, _ = np.abs(axes).sum(1) if solid.is_horn else lengths(axes.T)
        box = self.box(center[0], center[1], half_x, half_y)
        if box is None:
            return None
        dx, dy = self.x[None, box[1]] - center[0], self.y[box[0], None] - center[1]
        inverse = portable(np.linalg.inv, axes)
        depth, normal = (_meet_horn if solid.is_horn else _meet_ellipsoid)(solid, inverse, dx, dy)
        normal /= lengths(normal) + np.float32(1e-9)
        place = None
        if with_place:
            offset = np.stack(np.broadcast_arrays(dx, dy, np.where(np.isfinite(depth), depth, 0)))
            place = transform(inverse, offset)
        return Hit(box, depth + center[2], normal, place)


def _meet_ellipsoid(solid: Solid, inverse: Array, dx: Array, dy: Array) -> tuple[Array, Array]:
    form = transform(inverse.T, inverse)
    linear = form[0, 2] * dx + form[1, 2] * dy
    rest = (form[0, 0] * dx * dx - 1) + (form[1, 1] * dy * dy) + 2 * form[0, 1] * dx * dy
    root = linear * linear - form[2, 2] * rest
    inside = root > 0
    z = (np.sqrt(np.maximum(root, 0)) - linear) / form[2, 2]
    normal = np.stack([form[i, 0] * dx + form[i, 1] * dy + form[i, 2] * z for i in range(3)])
    return np.where(inside, z, -np.inf).astype(np.float32), normal


def _meet_horn(solid: Solid, inverse: Array, dx: Array, dy: Array) -> tuple[Array, Array]:
    """Solve x² + z² = (1 − t)(1 − y)² + t(1 − y) with roundness t along each ray, for 0 ≤ y ≤ 1."""
    t = np.float32(solid.roundness or 0.0)
    signs = np.array([1, t - 1, 1], np.float32)
    slope = (2 - t) * inverse[1]
    form = transform(inverse.T, signs[:, None] * inverse)
    a = form[2, 2] if abs(form[2, 2]) > 1e-6 else np.float32(1e-6)
    b = 2 * (form[0, 2] * dx + form[1, 2] * dy) + slope[2]
    c = (
        form[0, 0] * dx * dx
        + form[1, 1] * dy * dy
        + 2 * form[0, 1] * dx * dy
        + slope[0] * dx
        + slope[1] * dy
        - 1
    )
    root = b * b - 4 * a * c
    half = np.sqrt(np.maximum(root, 0))
    best = np.full(half.shape, -np.inf, np.float32)
    for z in ((half - b) / (2 * a), (-half - b) / (2 * a)):
        height = inverse[1, 0] * dx + inverse[1, 1] * dy + inverse[1, 2] * z
        best = np.where((root > 0) & (height >= -0.02) & (height <= 1) & (z > best), z, best)
    z = np.where(np.isfinite(best), best, 0)
    normal = np.stack(
        [2 * (form[i, 0] * dx + form[i, 1] * dy + form[i, 2] * z) + slope[i] for i in range(3)]
    )
    return best.astype(np.float32), normal


@dataclass(frozen=True)
class Surface:
    """The visible skin in a canvas: depth, normal, and each region's share of each pixel."""

    depth: Array
    normal: Array
    shares: list[Array]
    mask: NDArray[np.bool_]


def skin(canvas: Canvas, figure: Figure) -> Surface:
    """Cast all of a figure's hairy solids and lets neighbors flow into each other."""
    nearest = np.full(canvas.shape, -np.inf, np.float32)
    hits: list[tuple[int, Hit]] = []
    for index, region in enumerate(figure.regions):
        for solid in region.solids:
            hit = canvas.cast(solid)
            if hit is not None:
                hits.append((index, hit))
                np.maximum(nearest[hit.box], hit.depth, out=nearest[hit.box])
    mask = np.isfinite(nearest)
    nearest[~mask] = 0
    total = np.full(canvas.shape, 1e-6, np.float32)
    normal = np.zeros((3, *canvas.shape), np.float32)
    shares = [np.zeros(canvas.shape, np.float32) for _ in figure.regions]
    for index, hit in hits:
        weight = portable(np.exp, np.minimum(hit.depth - nearest[hit.box], 0) / np.float32(BLEND))
        total[hit.box] += weight
        shares[index][hit.box] += weight
        normal[(slice(None), *hit.box)] += weight * hit.normal
    for share in shares:
        share /= total
    normal /= lengths(normal) + np.float32(1e-6)
    return Surface(nearest, normal, shares, mask)


@lru_cache(maxsize=2)
def hair_tiles(length_px: float) -> Array:
    """Return (ANGLES, TILE_PX, TILE_PX) noise in [0, 1], combed in each direction."""
    rng = np.random.Generator(np.random.PCG64(7))
    noise = np.fft.rfft2(rng.normal(size=(TILE_PX, TILE_PX)))
    fy, fx = np.meshgrid(np.fft.fftfreq(TILE_PX), np.fft.rfftfreq(TILE_PX), indexing="ij")
    tiles = []
    for angle in np.arange(ANGLES) * np.pi / ANGLES:
        along, across = (
            fx * np.cos(angle) + fy * np.sin(angle),
            fy * np.cos(angle) - fx * np.sin(angle),
        )
        comb = np.exp(-2 * np.pi**2 * ((length_px * along) ** 2 + (0.8 * across) ** 2))
        tile = np.fft.irfft2(noise * comb, (TILE_PX, TILE_PX))
        tiles.append(tile / tile.std())
    return np.clip(0.5 + 0.22 * np.array(tiles), 0, 1).astype(np.float32)


def comb_hair(
    canvas: Canvas, figure: Figure, surface: Surface, rng: np.random.Generator
) -> tuple[Array, Array, Array, Array]:
    """Return the hair's brightness in [0, 1], its screen direction (x, y) and its length in px."""
    flow = np.zeros((3, *canvas.shape), np.float32)
    length = np.zeros(canvas.shape, np.float32)
    for region, share in zip(figure.regions, surface.shares, strict=True):
        lying = transform(canvas.camera.rotation, unit(region.frame.towards(region.flow)))
        flow += lying[:, None, None] * share
        length += np.float32(region.hair * canvas.camera.scale) * share
    lift = 0.75 - sum(flow[i] * surface.normal[i] for i in range(3))
    along_x, along_y = (uniform_filter(flow[i] + lift * surface.normal[i], 7) for i in range(2))
    angle = portable(np.arctan2, -along_y, along_x)
    bins = np.rint(angle * np.float32(ANGLES / np.pi)).astype(np.intp) % ANGLES
    oy, ox = rng.integers(0, TILE_PX, 2)
    rows = (np.arange(canvas.shape[0]) + oy) % TILE_PX
    columns = (np.arange(canvas.shape[1]) + ox) % TILE_PX
    tiles = hair_tiles(CURL_PX if figure.woolly else HAIR_PX)
    streak = tiles.reshape(-1)[(bins * TILE_PX + rows[:, None]) * TILE_PX + columns]
    size = np.sqrt(along_x * along_x + along_y * along_y) + np.float32(1e-3)
    return streak, along_x / size, along_y / size, length


def paint(canvas: Canvas, figure: Figure, surface: Surface, streak: Array) -> Array:
    """Return the (3, h, w) colors of the coat; hair carries each color a little over its edge."""
    rgb = np.zeros((3, *canvas.shape), np.float32)
    x, y = np.broadcast_to(canvas.x, canvas.shape), np.broadcast_to(canvas.y[:, None], canvas.shape)
    for region, share in zip(figure.regions, surface.shares, strict=True):
        index = np.flatnonzero(share > 0.02)
        if index.size == 0:
            continue
        world = canvas.camera.world(x.flat[index], y.flat[index], surface.depth.flat[index])
        frame = region.frame
        places = transform(frame.axes.T, world - frame.origin[:, None]) / np.float32(frame.scale)
        reach = region.hair / frame.scale * (streak.flat[index] - 0.5)
        places -= unit(region.flow)[:, None] * reach
        colors = region.coat.colors(places) * share.flat[index]
        for channel in range(3):
            rgb[channel].reshape(-1)[index] += colors[channel]
    return rgb


def shade(surface: Surface, rgb: Array, streak: Array, light: Light, scale: float) -> Array:
    """Return the colors under the light, with darker folds and a soft sheen at the rim."""
    _, ny, nz = surface.normal
    facing = dot(light.direction, surface.normal) + (streak - 0.5) * RELIEF
    key = np.clip((facing + 0.35) / 1.35, 0, 1)
    up = 0.5 + 0.5 * ny
    folds = np.ones_like(key)
    filled = np.where(surface.mask, surface.depth, surface.depth.min())
    for width, strength in ((0.05, 2.2), (0.17, 0.6)):
        folds *= 1 - np.clip((smooth(filled, width * scale) - filled) * strength, 0, 0.45)
    sheen = (1 - np.clip(nz, 0, 1)) ** 2 * np.float32(0.10) * (0.4 + up)
    strands = 1 + (streak - 0.5) * STRANDS
    lit = np.empty_like(rgb)
    for channel in range(3):
        ambient = light.ground[channel] + (light.sky[channel] - light.ground[channel]) * up
        lit[channel] = (rgb[channel] * strands + 0.03 * streak + sheen) * (
            ambient * folds + light.key[channel] * key * (0.5 + 0.5 * folds)
        )
    return lit


def smooth(values: Array, radius_px: float) -> Array:
    """Return (h, w) values under a broad blur, computed on a coarser grid."""
    height, width = values.shape
    step = max(1, int(radius_px / 2.5))
    coarse = gaussian_filter(
        values[step // 2 :: step, step // 2 :: step], radius_px / step, truncate=2
    )
    fine = Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(fine)


def outline(surface: Surface, length: Array, streak: Array) -> Array:
    """Return the (h, w) opacity: ends of hairs at the edge instead of a smooth line."""
    width = float(np.clip(np.median(length[surface.mask]) if surface.mask.any() else 1, 1, 9))
    side = int(width) | 1
    inner = uniform_filter(uniform_filter(surface.mask.astype(np.float32), side), side)
    cover = ((inner - 0.5) * 2.2 - 1.1 * (streak - 0.25)) * width * 0.9 + 0.3
    opacity: Array = np.clip(cover, 0, 1) * surface.mask
    return opacity


def ruffle(
    rgb: Array,
    mask: NDArray[np.bool_],
    streak: Array,
    along_x: Array,
    along_y: Array,
    length: Array,
) -> Array:
    """Return the picture with each pixel fetched from a little further along its hair."""
    height, width = rgb.shape[1:]
    shift = np.clip(length, 0, 9) * (streak - 0.5)
    rows = np.clip(np.arange(height)[:, None] + (shift * along_y).astype(np.intp), 0, height - 1)
    columns = np.clip(np.arange(width) - (shift * along_x).astype(np.intp), 0, width - 1)
    index = rows * width + columns
    index = np.where(
        mask.reshape(-1)[index], index, np.arange(height * width).reshape(height, width)
    )
    return np.stack([channel.reshape(-1)[index] for channel in rgb])


def add_detail(
    canvas: Canvas, detail: Detail, surface: Surface, light: Light, rgb: Array, alpha: Array
) -> None:
    """Paint an eye, a nose or the like over the fur, where it is not hidden."""
    hit = canvas.cast(detail.solid, with_place=True)
    if hit is None or hit.place is None:
        return
    shown = hit.depth > np.where(surface.mask, surface.depth, -np.inf)[hit.box] - 0.004
    shown &= np.isfinite(hit.depth)
    if not shown.any():
        return
    x, y, _ = hit.place
    color = np.broadcast_to(vector(detail.color)[:, None, None], hit.normal.shape).copy()
    if detail.pupil is not None:
        radius = np.sqrt(x * x + y * y)
        color *= (1.15 - 0.45 * np.clip(y, -1, 1)) * (0.75 + 0.35 * radius)
        pupil = (x / detail.pupil[0]) ** 2 + (y / detail.pupil[1]) ** 2
        color *= np.clip((pupil - 1) * 3 + 0.5, 0.02, 1) * np.clip((0.93 - radius) * 9, 0.06, 1)
    facing = dot(light.direction, hit.normal)
    lit = color * (
        light.sky[:, None, None] + light.key[:, None, None] * np.clip((facing + 0.3) / 1.3, 0, 1)
    )
    half = unit(light.direction + vector((0, 0, 1.2)))
    shine = np.clip(dot(half, hit.normal), 0, 1)
    glow = portable(np.power, shine, 8)
    lit += detail.gloss * np.clip((shine - 0.955) * 40, 0, 1) + 0.12 * detail.gloss * glow
    target = rgb[(slice(None), *hit.box)]
    np.copyto(target, lit, where=shown)
    alpha[hit.box][shown] = 1


def whisker_mask(figure: Figure, camera: Camera, size: tuple[int, int], stroke: int) -> Image.Image:
    """Return a mask, `size` (w, h) in px, on which the whiskers are drawn."""
    mask = Image.new("L", size)
    pen = ImageDraw.Draw(mask)
    steps = np.linspace(0, 1, 7)[:, None]
    for root, bend, tip in figure.whiskers:
        curve = (1 - steps) ** 2 * root + 2 * steps * (1 - steps) * bend + steps**2 * tip
        pen.line(
            [camera.pixel(point.astype(np.float32)) for point in curve], fill=200, width=stroke
        )
    return mask


def ground_shadow(
    figure: Figure, camera: Camera, light_world: Array, size: tuple[int, int]
) -> Array:
    """Return the figure's (h, w) shadow on the ground, 0 to 1; `size` is (w, h) in px."""
    mask = Image.new("L", size)
    contact = Image.new("L", size)
    slant = light_world[[0, 2]] / max(float(light_world[1]), 0.45)
    squash = float(camera.rotation[2, 1])
    for solid in figure.solids():
        radius = float(lengths(lengths(solid.shape)) / np.sqrt(3)) * camera.scale
        height = float(solid.center[1])
        foot = vector((solid.center[0] - slant[0] * height, 0, solid.center[2] - slant[1] * height))
        _ellipse(mask, camera.pixel(foot), radius, radius * max(squash, 0.08))
        if height * camera.scale < 2.2 * radius:
            foot = vector((solid.center[0], 0, solid.center[2]))
            _ellipse(contact, camera.pixel(foot), radius * 1.1, radius * max(squash, 0.12))
    soft = mask.filter(ImageFilter.GaussianBlur(0.12 * camera.scale))
    tight = contact.filter(ImageFilter.GaussianBlur(0.06 * camera.scale))
    both = np.asarray(soft, np.float32) * 0.55 + np.asarray(tight, np.float32) * 0.6
    return np.minimum(both / 255, 0.85)


def _ellipse(
    mask: Image.Image, center: tuple[float, float], half_width: float, half_height: float
) -> None:
    x, y = center
    box = (x - half_width, y - half_height, x + half_width, y + half_height)
    ImageDraw.Draw(mask).ellipse(box, fill=255)


def render(
    figure: Figure, camera: Camera, light: Light, size: tuple[int, int], rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw a figure on nothing.

    Returns its (3, h, w) colors, premultiplied, and (h, w) opacity; `size` is (w, h) in px.
    """
    width, height = size
    canvas = _canvas_around(figure, camera, size)
    surface = skin(canvas, figure)
    streak, along_x, along_y, length = comb_hair(canvas, figure, surface, rng)
    rgb = shade(surface, paint(canvas, figure, surface, streak), streak, light, camera.scale)
    rgb = ruffle(rgb, surface.mask, streak, along_x, along_y, length)
    alpha = outline(surface, length, streak)
    for detail in figure.details:
        add_detail(canvas, detail, surface, light, rgb, alpha)
    color_all = np.zeros((3, height, width), np.float32)
    alpha_all = np.zeros((height, width), np.float32)
    rows, columns = canvas.shape
    box = slice(canvas.top, canvas.top + rows), slice(canvas.left, canvas.left + columns)
    color_all[(slice(None), *box)] = rgb * alpha
    alpha_all[box] = alpha
    if figure.whiskers:
        mask = whisker_mask(figure, camera, size, max(1, round(camera.scale / 110)))
        line = np.asarray(mask, np.float32) / 255 * 0.8
        color_all += line * (0.85 * (light.sky + light.key)[:, None, None].clip(0, 1) - color_all)
        alpha_all += line * (1 - alpha_all)
    return color_all, alpha_all


def _canvas_around(figure: Figure, camera: Camera, size: tuple[int, int]) -> Canvas:
    width, height = size
    left, top, right, bottom = bounds(figure.solids(), camera)
    left, top = max(int(left) - 8, 0), max(int(top) - 8, 0)
    right, bottom = min(int(right) + 8, width), min(int(bottom) + 8, height)
    return Canvas(camera, left, top, max(right - left, 1), max(bottom - top, 1))


def bounds(solids: list[Solid], camera: Camera) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom in px of all solids together."""
    boxes = []
    for solid in solids:
        center, zoom = camera.view(solid.center)
        axes = transform(camera.rotation, solid.shape) * zoom * camera.scale
        half = lengths(axes.T)
        x, y = (
            camera.center[0] + camera.scale * center[0],
            camera.center[1] - camera.scale * center[1],
        )
        boxes.append((x - half[0], y - half[1], x + half[0], y + half[1]))
    low, high = np.min(boxes, 0), np.max(boxes, 0)
    return float(low[0]), float(low[1]), float(high[2]), float(high[3])
