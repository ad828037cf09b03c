"""Where the animals are: backgrounds, and what their light is like."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from drawn_animals.coats import Color, dimmed
from drawn_animals.space import Array, Rng
from drawn_animals.textures import (
    Size,
    bamboo_stalk,
    clouds,
    foliage,
    grass,
    join,
    mix,
    rows,
    sky,
    to_array,
    to_image,
    to_rgb,
)

FLOORS = ((0.62, 0.44, 0.28), (0.45, 0.32, 0.22), (0.74, 0.70, 0.64), (0.40, 0.42, 0.48))


@dataclass(frozen=True)
class Scene:
    """A kind of background."""

    paint: Callable[[Rng, Size, float], Array]
    """From generator, size and the horizon's height, as a share from the top, to (3, h, w)."""
    brightness: float
    """Its mean luma."""
    sky: Color
    """Tint of the light from above."""
    ground: Color
    """Tint of the light from below."""

    def background(self, rng: Rng, size: Size, horizon: float, blur_px: float) -> Array:
        """Return a (3, h, w) picture of such a scene, out of focus by `blur_px`."""
        image = to_image(np.clip(self.paint(rng, size, horizon), 0, 1))
        return to_array(image.filter(ImageFilter.GaussianBlur(blur_px)))


def _meadow(rng: Rng, size: Size, horizon: float) -> Array:
    green: Color = (rng.uniform(0.30, 0.50), rng.uniform(0.45, 0.58), rng.uniform(0.15, 0.28))
    above = foliage(rng, size) if rng.random() < 0.6 else sky(rng, size)
    blades = grass(rng, size, horizon, green)
    return join(above, blades * (0.75 + 0.5 * clouds(rng, size, 3, 2, 2)), horizon, 0.03)


def _bamboo(rng: Rng, size: Size, horizon: float) -> Array:
    grove = to_image(foliage(rng, size), white=215)
    for _ in range(int(rng.integers(5, 14))):
        bamboo_stalk(grove, rng, rng.uniform(0, 1), rng.uniform(0.012, 0.035))
    floor = mix((0.24, 0.22, 0.12), (0.56, 0.50, 0.30), clouds(rng, size, 9, 4, 2))
    return join(to_array(grove), floor, horizon, 0.04)


def _snow(rng: Rng, size: Size, horizon: float) -> Array:
    haze = 0.6 * rows(size) + 0.4 * clouds(rng, size, 4, 3)
    above = mix((0.42, 0.48, 0.54), (0.86, 0.88, 0.91), haze)
    if rng.random() < 0.5:
        above = 0.5 * above + 0.35 * foliage(rng, size)
    ground = mix((0.70, 0.76, 0.86), (0.97, 0.97, 0.97), clouds(rng, size, 3, 4, 2.5))
    return join(above, ground, horizon, 0.05)


def _open_sky(rng: Rng, size: Size, horizon: float) -> Array:
    tone = rng.uniform(0.5, 0.78)
    dry: Color = (tone, tone * rng.uniform(0.8, 0.95), tone * rng.uniform(0.55, 0.75))
    ground = mix(dimmed(dry, 0.65), dry, clouds(rng, size, 8, 4, 3))
    return join(sky(rng, size), ground, horizon, 0.02)


def _rocks(rng: Rng, size: Size, horizon: float) -> Array:
    tone = rng.uniform(0.42, 0.62)
    warm = rng.uniform(-0.04, 0.06)
    light: Color = (tone + warm, tone, tone - warm)
    ridges = 1 - np.abs(clouds(rng, size, 4, 4) * 2 - 1)
    wall = mix(dimmed(light, 0.35), dimmed(light, 1.25), 1 - ridges**2 * 0.8)
    floor = mix(dimmed(light, 0.55), dimmed(light, 1.2), clouds(rng, size, 14, 3, 2.5))
    return join(wall, floor, horizon, 0.03)


def _indoors(rng: Rng, size: Size, horizon: float) -> Array:
    """Return a room: papered or plain wall, skirting, floorboards, perhaps a picture or a sofa."""
    width, height = size
    wall = rng.uniform(0.45, 0.9) + rng.normal(0, 0.05, 3)
    floor = FLOORS[rng.integers(4)]
    image = Image.new("RGB", size, to_rgb(wall))
    pen = ImageDraw.Draw(image)
    if rng.random() < 0.4:
        step = max(width // int(rng.integers(8, 20)), 6)
        for x in range(0, width, step):
            pen.rectangle((x, 0, x + step // 2, height), fill=to_rgb(wall, 0.05))
    for _ in range(int(rng.integers(0, 3))):
        _add_furniture(pen, rng, size, horizon)
    y = horizon * height
    pen.rectangle((0, y, width, height), fill=to_rgb(floor))
    for share in np.linspace(0, 1, 9) ** 1.8:
        row = y + share * (height - y)
        pen.line((0, row, width, row), fill=to_rgb(floor, -0.10), width=1 + round(2 * share))
    pen.rectangle((0, y - 0.03 * height, width, y), fill=to_rgb(wall, rng.choice([-0.2, 0.15])))
    wall_grain = 0.94 + 0.12 * clouds(rng, size, 1, 2)[None]
    floor_grain = 0.86 + 0.28 * clouds(rng, size, 3, 4, 6)[None]
    return to_array(image) * join(wall_grain, floor_grain, horizon)


def _add_furniture(pen: ImageDraw.ImageDraw, rng: Rng, size: Size, horizon: float) -> None:
    width, height = size
    color = rng.uniform(0.2, 0.8) + rng.normal(0, 0.10, 3)
    left, wide = rng.uniform(-0.1, 0.8) * width, rng.uniform(0.15, 0.5) * width
    if rng.random() < 0.5:
        top, tall = rng.uniform(0.02, 0.3) * height, rng.uniform(0.1, 0.3) * height
        right, bottom = left + wide, top + tall
        pen.rectangle((left, top, right, bottom), fill=to_rgb(color))
        pen.rectangle((left + 5, top + 5, right - 5, bottom - 5), fill=to_rgb(color, 0.25))
    else:
        top, bottom = (horizon - rng.uniform(0.15, 0.4)) * height, (horizon + 0.06) * height
        right, seat = left + wide * 1.4, top + 0.12 * height
        pen.rounded_rectangle((left, top, right, bottom), 14, fill=to_rgb(color))
        pen.rounded_rectangle((left, seat, right, bottom), 14, fill=to_rgb(color, 0.08))


def _studio(rng: Rng, size: Size, _: float) -> Array:
    """Return a plain sweep of paper."""
    tone = rng.uniform(0.2, 0.95) + rng.normal(0, 0.05, 3)
    share = np.clip(rows(size) + 0.25 * clouds(rng, size, 2, 2) - 0.1, 0, 1)
    low, high = np.clip(tone * 0.8, 0.05, 1), np.clip(tone * 1.1, 0.05, 1)
    return mix(tuple(low), tuple(high), share)


def _forest(rng: Rng, size: Size, horizon: float) -> Array:
    width, height = size
    image = to_image(foliage(rng, size), white=190)
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 9))):
        x, half = rng.uniform(0, width), rng.uniform(0.01, 0.06) * width
        bark = np.array((0.30, 0.24, 0.18)) + rng.normal(0, 0.05)
        pen.rectangle((x - half, 0, x + half, height), fill=to_rgb(bark))
        pen.rectangle((x - half, 0, x - 0.3 * half, height), fill=to_rgb(bark, 0.07))
    leaf: Color = (rng.uniform(0.4, 0.6), rng.uniform(0.32, 0.42), rng.uniform(0.15, 0.25))
    floor = mix(dimmed(leaf, 0.4), leaf, clouds(rng, size, 14, 3, 2))
    return join(to_array(image), floor, horizon, 0.05)


SCENES = {
    "meadow": Scene(_meadow, 0.45, sky=(0.95, 1.0, 1.05), ground=(0.85, 1.0, 0.7)),
    "bamboo": Scene(_bamboo, 0.36, sky=(0.92, 1.02, 0.85), ground=(0.9, 0.9, 0.6)),
    "snow": Scene(_snow, 0.65, sky=(0.97, 1.0, 1.06), ground=(1.2, 1.25, 1.35)),
    "sky": Scene(_open_sky, 0.64, sky=(0.95, 1.0, 1.1), ground=(1.0, 0.95, 0.8)),
    "rocks": Scene(_rocks, 0.48, sky=(1, 1, 1), ground=(0.9, 0.88, 0.84)),
    "indoors": Scene(_indoors, 0.56, sky=(1.05, 1.0, 0.92), ground=(1.0, 0.9, 0.8)),
    "studio": Scene(_studio, 0.56, sky=(1, 1, 1), ground=(1, 1, 1)),
    "forest": Scene(_forest, 0.3, sky=(0.95, 1.0, 0.85), ground=(0.9, 0.85, 0.6)),
}
