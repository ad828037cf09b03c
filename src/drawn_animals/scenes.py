"""Where the animals are: backgrounds, and things that stand between them and the camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from drawn_animals.coats import Color, dimmed
from drawn_animals.space import Array, portable, vector

Rng = np.random.Generator


@dataclass(frozen=True)
class Scene:
    """A background and what its light is like."""

    backdrop: Array
    """(3, h, w)."""
    sky: Color
    """Tint of the light from above."""
    ground: Color
    """Tint of the light from below."""


def clouds(
    rng: Rng, size: tuple[int, int], cells: float, octaves: int = 4, stretch: float = 1.0
) -> Array:
    """Return (h, w) smooth noise in [0, 1] with `cells` features across; `stretch` widens them."""
    width, height = size
    total, weight = np.zeros((height, width), np.float32), 0.0
    for octave in range(octaves):
        across = max(2, round(cells * 2**octave))
        down = max(2, round(cells * 2**octave * stretch * height / width))
        grid = Image.fromarray(rng.random((down + 2, across + 2), dtype=np.float32))
        total += 0.55**octave * np.asarray(grid.resize(size, Image.Resampling.BICUBIC), np.float32)
        weight += 0.55**octave
    noise: Array = np.clip((total / weight - 0.5) * 1.8 + 0.5, 0, 1)
    return noise


def mix(low: Color, high: Color, share: Array) -> Array:
    """Return (3, h, w): `low` where `share` is 0, `high` where it is 1."""
    a, b = vector(low)[:, None, None], vector(high)[:, None, None]
    mixed: Array = a + (b - a) * share
    return mixed


def _rows(size: tuple[int, int]) -> Array:
    return np.linspace(0, 1, size[1], dtype=np.float32)[:, None] * np.ones((1, size[0]), np.float32)


def _join(above: Array, below: Array, horizon: float, softness: float = 0.01) -> Array:
    height = above.shape[1]
    rows = np.linspace(0, 1, height, dtype=np.float32)[None, :, None]
    share = np.clip((rows - horizon) / softness + 0.5, 0, 1)
    joined: Array = above + (below - above) * share
    return joined


def _picture(image: Image.Image) -> Array:
    return np.asarray(image, np.float32).transpose(2, 0, 1) / 255


def _color(color: Color | Array, shift: float = 0.0) -> tuple[int, int, int]:
    r, g, b = np.clip((np.asarray(color) + shift) * 255, 0, 255).astype(int)
    return int(r), int(g), int(b)


def _blades(
    rng: Rng, size: tuple[int, int], top: float, color: Color, count: int, length: float
) -> Image.Image:
    """Return a picture of blades of grass that grow longer towards the bottom."""
    width, height = size
    image = Image.new("RGB", size, _color(color, -0.08))
    pen = ImageDraw.Draw(image)
    depth = np.sort(rng.random(count)) ** 1.3
    for share, x, lean, shade in zip(
        depth, rng.random(count), rng.normal(0, 0.4, count), rng.normal(0, 0.09, count), strict=True
    ):
        near = 0.15 + 0.85 * share
        y = height * (top + (1.08 - top) * share)
        tall = length * height * near
        tint = np.array(color) + shade * np.array((1.0, 1.0, 0.6))
        pen.line(
            (x * width, y, x * width + lean * tall, y - tall),
            fill=_color(tint),
            width=max(1, round(3 * near)),
        )
    return image


def _foliage(rng: Rng, size: tuple[int, int]) -> Array:
    green = vector((0.30, 0.42, 0.20)) + rng.normal(0, 0.05, 3).astype(np.float32)
    light = np.minimum(green * 1.9, 0.95)
    share = portable(np.power, clouds(rng, size, 6, 3), 1.3)
    return mix(tuple(green * 0.45), tuple(light), share)


def _sky(rng: Rng, size: tuple[int, int]) -> Array:
    blue = (rng.uniform(0.35, 0.6), rng.uniform(0.55, 0.72), rng.uniform(0.8, 0.95))
    plain = mix(blue, (0.82, 0.88, 0.93), _rows(size))
    cover = np.clip(clouds(rng, size, 2.5, 4, 1.8) * 2.2 - rng.uniform(0.5, 1.3), 0, 1)
    return plain + (0.95 - plain) * cover


def meadow(rng: Rng, size: tuple[int, int], horizon: float) -> Scene:
    """Grass under trees or sky."""
    green: Color = (rng.uniform(0.30, 0.50), rng.uniform(0.45, 0.58), rng.uniform(0.15, 0.28))
    above = _foliage(rng, size) if rng.random() < 0.6 else _sky(rng, size)
    grass = _picture(_blades(rng, size, horizon, green, 700, 0.09)) * (
        0.75 + 0.5 * clouds(rng, size, 3, 2, 2)
    )
    return Scene(_join(above, grass, horizon, 0.03), (0.95, 1.0, 1.05), (0.85, 1.0, 0.7))


def bamboo(rng: Rng, size: tuple[int, int], horizon: float) -> Scene:
    """A bamboo grove."""
    image = Image.fromarray(
        (_foliage(rng, size).transpose(1, 2, 0) * 215).clip(0, 255).astype(np.uint8)
    )
    for _ in range(int(rng.integers(5, 14))):
        stalk(image, rng, rng.uniform(0, 1), rng.uniform(0.012, 0.035))
    floor = mix((0.24, 0.22, 0.12), (0.56, 0.50, 0.30), clouds(rng, size, 9, 4, 2))
    return Scene(_join(_picture(image), floor, horizon, 0.04), (0.92, 1.02, 0.85), (0.9, 0.9, 0.6))


def snow(rng: Rng, size: tuple[int, int], horizon: float) -> Scene:
    """A snowfield, sometimes with snow falling."""
    above = mix(
        (0.42, 0.48, 0.54), (0.86, 0.88, 0.91), 0.6 * _rows(size) + 0.4 * clouds(rng, size, 4, 3)
    )
    if rng.random() < 0.5:
        above = 0.5 * above + 0.35 * _foliage(rng, size)
    ground = mix((0.70, 0.76, 0.86), (0.97, 0.97, 0.97), clouds(rng, size, 3, 4, 2.5))
    return Scene(_join(above, ground, horizon, 0.05), (0.97, 1.0, 1.06), (1.2, 1.25, 1.35))


def heaven(rng: Rng, size: tuple[int, int], horizon: float) -> Scene:
    """A hilltop or beach under a wide sky."""
    tone = rng.uniform(0.5, 0.78)
    dry: Color = (tone, tone * rng.uniform(0.8, 0.95), tone * rng.uniform(0.55, 0.75))
    ground = mix(dimmed(dry, 0.65), dry, clouds(rng, size, 8, 4, 3))
    return Scene(_join(_sky(rng, size), ground, horizon, 0.02), (0.95, 1.0, 1.1), (1.0, 0.95, 0.8))


def rocks(rng: Rng, size: tuple[int, int], horizon: float) -> Scene:
    """A rock face over a stony floor."""
    tone = rng.uniform(0.42, 0.62)
    warm = rng.uniform(-0.04, 0.06)
    light: Color = (tone + warm, tone, tone - warm)
    ridges = 1 - np.abs(clouds(rng, size, 4, 4) * 2 - 1)
    wall = mix(dimmed(light, 0.35), dimmed(light, 1.25), 1 - ridges**2 * 0.8)
    floor = mix(dimmed(light, 0.55), dimmed(light, 1.2), clouds(rng, size, 14, 3, 2.5))
    return Scene(_join(wall, floor, horizon, 0.03), (1, 1, 1), (0.9, 0.88, 0.84))


def indoors(rng: Rng, size: tuple[int, int], horizon: float) -> Scene:
    """A room: papered or plain wall, skirting, floorboards, perhaps a picture or a sofa."""
    width, height = size
    wall = rng.uniform(0.45, 0.9) + rng.normal(0, 0.05, 3)
    floor = np.array(
        [(0.62, 0.44, 0.28), (0.45, 0.32, 0.22), (0.74, 0.70, 0.64), (0.40, 0.42, 0.48)]
    )[rng.integers(4)]
    image = Image.new("RGB", size, _color(wall))
    pen = ImageDraw.Draw(image)
    if rng.random() < 0.4:
        step = max(width // int(rng.integers(8, 20)), 6)
        for x in range(0, width, step):
            pen.rectangle((x, 0, x + step // 2, height), fill=_color(wall, 0.05))
    for _ in range(int(rng.integers(0, 3))):
        _furniture(pen, rng, size, horizon)
    y = horizon * height
    pen.rectangle((0, y, width, height), fill=_color(floor))
    for share in np.linspace(0, 1, 9) ** 1.8:
        row = y + share * (height - y)
        pen.line((0, row, width, row), fill=_color(floor, -0.10), width=1 + round(2 * share))
    pen.rectangle((0, y - 0.03 * height, width, y), fill=_color(wall, rng.choice([-0.2, 0.15])))
    grain = _join(
        0.94 + 0.12 * clouds(rng, size, 1, 2)[None],
        0.86 + 0.28 * clouds(rng, size, 3, 4, 6)[None],
        horizon,
    )
    return Scene(_picture(image) * grain, (1.05, 1.0, 0.92), (1.0, 0.9, 0.8))


def _furniture(pen: ImageDraw.ImageDraw, rng: Rng, size: tuple[int, int], horizon: float) -> None:
    width, height = size
    color = rng.uniform(0.2, 0.8) + rng.normal(0, 0.10, 3)
    left, wide = rng.uniform(-0.1, 0.8) * width, rng.uniform(0.15, 0.5) * width
    if rng.random() < 0.5:
        top, tall = rng.uniform(0.02, 0.3) * height, rng.uniform(0.1, 0.3) * height
        pen.rectangle((left, top, left + wide, top + tall), fill=_color(color))
        pen.rectangle(
            (left + 5, top + 5, left + wide - 5, top + tall - 5), fill=_color(color, 0.25)
        )
    else:
        top = (horizon - rng.uniform(0.15, 0.4)) * height
        pen.rounded_rectangle(
            (left, top, left + wide * 1.4, (horizon + 0.06) * height), 14, fill=_color(color)
        )
        pen.rounded_rectangle(
            (left, top + 0.12 * height, left + wide * 1.4, (horizon + 0.06) * height),
            14,
            fill=_color(color, 0.08),
        )


def studio(rng: Rng, size: tuple[int, int], _: float) -> Scene:
    """A plain sweep of paper."""
    tone = rng.uniform(0.2, 0.95) + rng.normal(0, 0.05, 3)
    share = np.clip(_rows(size) + 0.25 * clouds(rng, size, 2, 2) - 0.1, 0, 1)
    low, high = np.clip(tone * 0.8, 0.05, 1), np.clip(tone * 1.1, 0.05, 1)
    return Scene(mix(tuple(low), tuple(high), share), (1, 1, 1), (1, 1, 1))


def forest(rng: Rng, size: tuple[int, int], horizon: float) -> Scene:
    """Tree trunks over a floor of leaves."""
    width, height = size
    image = Image.fromarray(
        (_foliage(rng, size).transpose(1, 2, 0) * 190).clip(0, 255).astype(np.uint8)
    )
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 9))):
        x, half = rng.uniform(0, width), rng.uniform(0.01, 0.06) * width
        bark = np.array((0.30, 0.24, 0.18)) + rng.normal(0, 0.05)
        pen.rectangle((x - half, 0, x + half, height), fill=_color(bark))
        pen.rectangle((x - half, 0, x - 0.3 * half, height), fill=_color(bark, 0.07))
    leaf: Color = (rng.uniform(0.4, 0.6), rng.uniform(0.32, 0.42), rng.uniform(0.15, 0.25))
    floor = mix(dimmed(leaf, 0.4), leaf, clouds(rng, size, 14, 3, 2))
    return Scene(_join(_picture(image), floor, horizon, 0.05), (0.95, 1.0, 0.85), (0.9, 0.85, 0.6))


@dataclass(frozen=True)
class Kind:
    """A kind of scene: how it is painted (from generator, size, horizon), and its mean luma."""

    paint: Callable[[Rng, tuple[int, int], float], Scene]
    brightness: float


SCENES: dict[str, Kind] = {
    "meadow": Kind(meadow, 0.45),
    "bamboo": Kind(bamboo, 0.36),
    "snow": Kind(snow, 0.65),
    "sky": Kind(heaven, 0.64),
    "rocks": Kind(rocks, 0.48),
    "indoors": Kind(indoors, 0.56),
    "studio": Kind(studio, 0.56),
    "forest": Kind(forest, 0.3),
}


def background(kind: str, rng: Rng, size: tuple[int, int], horizon: float, blur_px: float) -> Scene:
    """Return a scene out of focus by `blur_px`; `horizon` is its height as a share from the top."""
    scene = SCENES[kind].paint(rng, size, horizon)
    pixels = (np.clip(scene.backdrop, 0, 1).transpose(1, 2, 0) * 255).astype(np.uint8)
    blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(blur_px))
    return Scene(_picture(blurred), scene.sky, scene.ground)


# ---- in front of the animal


def stalk(image: Image.Image, rng: Rng, across: float, half_width: float) -> None:
    """Draw a stalk of bamboo from top to bottom; place and half-width are shares of the width."""
    width, height = image.size
    green = np.array(
        (rng.uniform(0.35, 0.6), rng.uniform(0.5, 0.68), rng.uniform(0.15, 0.3))
    ) * rng.uniform(0.6, 1.1)
    pen = ImageDraw.Draw(image)
    opaque = (255,) if image.mode == "RGBA" else ()
    lean = rng.normal(0, 0.05) * width
    x, half = across * width, max(half_width * width, 1.5)
    for share in np.linspace(-1, 1, 7)[:-1]:
        shade = 0.12 * (1 - abs(share + 0.35) * 1.4)
        left = x + share * half
        corners = (
            (left, 0),
            (left + half / 2.8, 0),
            (left + half / 2.8 + lean, height),
            (left + lean, height),
        )
        pen.polygon(corners, fill=(*_color(green, shade), *opaque))
    knot = rng.uniform(0, 0.25) * height
    while knot < height:
        middle = x + lean * knot / height
        pen.line(
            (middle - half * 1.1, knot, middle + half * 1.1, knot),
            fill=(*_color(green, -0.18), *opaque),
            width=max(2, round(half * 0.25)),
        )
        knot += rng.uniform(0.18, 0.28) * height


def _grass_in_front(image: Image.Image, rng: Rng) -> None:
    width, height = image.size
    pen = ImageDraw.Draw(image)
    green = np.array((rng.uniform(0.3, 0.5), rng.uniform(0.45, 0.6), rng.uniform(0.12, 0.25)))
    reach = rng.uniform(0.1, 0.3)
    for _ in range(int(rng.integers(15, 60))):
        x, lean, tall = (
            rng.uniform(0, width),
            rng.normal(0, 0.06) * width,
            rng.uniform(0.3, 1) * reach * height,
        )
        half = rng.uniform(0.003, 0.009) * width
        corners = ((x - half, height), (x + half, height), (x + lean, height - tall))
        pen.polygon(corners, fill=(*_color(green, rng.normal(0, 0.08)), 255))


def _stalks_in_front(image: Image.Image, rng: Rng) -> None:
    for _ in range(int(rng.integers(1, 3))):
        stalk(image, rng, rng.uniform(0.0, 1.0), rng.uniform(0.01, 0.03))


def _fence_in_front(image: Image.Image, rng: Rng) -> None:
    width, height = image.size
    pen = ImageDraw.Draw(image)
    tone = _color(np.full(3, rng.uniform(0.2, 0.75)))
    step, thick = rng.uniform(0.18, 0.3) * width, max(1, round(rng.uniform(0.006, 0.014) * width))
    x = rng.uniform(-step, 0)
    while x < width + height:
        pen.line((x, 0, x, height), fill=(*tone, 255), width=thick)
        x += step


def _leaves_in_front(image: Image.Image, rng: Rng) -> None:
    width, height = image.size
    pen = ImageDraw.Draw(image)
    green = np.array((rng.uniform(0.25, 0.6), rng.uniform(0.4, 0.6), rng.uniform(0.1, 0.25)))
    corner = rng.choice((0.0, 1.0), 2)
    for _ in range(int(rng.integers(4, 12))):
        x, y = (corner + rng.normal(0, 0.16, 2)) * (width, height)
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.10, 0.22) * width
        along = np.array((np.cos(angle), np.sin(angle))) * length
        across = np.array((-along[1], along[0])) * 0.13
        middle = np.array((x, y))
        corners = [
            tuple(middle - along),
            tuple(middle + across),
            tuple(middle + along),
            tuple(middle - across),
        ]
        pen.polygon(corners, fill=(*_color(green, rng.normal(0, 0.1)), 255))


OCCLUDERS = (_grass_in_front, _stalks_in_front, _fence_in_front, _leaves_in_front)


def foreground(rng: Rng, size: tuple[int, int], blur_px: float) -> tuple[Array, Array]:
    """Return (3, h, w) premultiplied colors and (h, w) opacity of a thing before the animal."""
    image = Image.new("RGBA", size)
    OCCLUDERS[int(rng.integers(len(OCCLUDERS)))](image, rng)
    pixels = (
        np.asarray(image.convert("RGBa").filter(ImageFilter.GaussianBlur(blur_px)), np.float32)
        / 255
    )
    return pixels[..., :3].transpose(2, 0, 1), pixels[..., 3]
