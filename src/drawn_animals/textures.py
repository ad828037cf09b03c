"""What scenes are painted with: noise, colors, foliage, grass and bamboo."""

import numpy as np
from PIL import Image, ImageDraw

from drawn_animals.coats import Color
from drawn_animals.space import Array, Rng, portable, vector

Size = tuple[int, int]
"""Width and height in px."""


def clouds(rng: Rng, size: Size, cells: float, octaves: int = 4, stretch: float = 1.0) -> Array:
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


def rows(size: Size) -> Array:
    """Return (h, w) heights: 0 in the first row, 1 in the last."""
    return np.linspace(0, 1, size[1], dtype=np.float32)[:, None] * np.ones((1, size[0]), np.float32)


def join(above: Array, below: Array, horizon: float, softness: float = 0.01) -> Array:
    """Return a (3, h, w) picture over another; `horizon` is a share of the height."""
    heights = np.linspace(0, 1, above.shape[1], dtype=np.float32)[None, :, None]
    share = np.clip((heights - horizon) / softness + 0.5, 0, 1)
    joined: Array = above + (below - above) * share
    return joined


def to_array(image: Image.Image) -> Array:
    """Return an image as (3, h, w) in [0, 1]."""
    return np.asarray(image, np.float32).transpose(2, 0, 1) / 255


def to_image(picture: Array, white: int = 255) -> Image.Image:
    """Return a (3, h, w) picture as an image in which 1 is `white`."""
    pixels = (picture.transpose(1, 2, 0) * white).clip(0, 255)
    return Image.fromarray(pixels.astype(np.uint8))


def to_rgb(color: Color | Array, shift: float = 0.0) -> tuple[int, int, int]:
    """Return a color, made lighter by `shift`, as Pillow takes it."""
    r, g, b = np.clip((np.asarray(color) + shift) * 255, 0, 255).astype(int)
    return int(r), int(g), int(b)


def sky(rng: Rng, size: Size) -> Array:
    """Return a (3, h, w) sky with clouds."""
    blue = (rng.uniform(0.35, 0.6), rng.uniform(0.55, 0.72), rng.uniform(0.8, 0.95))
    plain = mix(blue, (0.82, 0.88, 0.93), rows(size))
    cover = np.clip(clouds(rng, size, 2.5, 4, 1.8) * 2.2 - rng.uniform(0.5, 1.3), 0, 1)
    return plain + (0.95 - plain) * cover


def foliage(rng: Rng, size: Size) -> Array:
    """Return a (3, h, w) wall of leaves."""
    green = vector((0.30, 0.42, 0.20)) + rng.normal(0, 0.05, 3).astype(np.float32)
    light = np.minimum(green * 1.9, 0.95)
    share = portable(np.power, clouds(rng, size, 6, 3), 1.3)
    return mix(tuple(green * 0.45), tuple(light), share)


def grass(rng: Rng, size: Size, top: float, color: Color) -> Array:
    """Return (3, h, w) blades of grass that grow longer from `top` to the bottom."""
    width, height = size
    count = 700
    image = Image.new("RGB", size, to_rgb(color, -0.08))
    pen = ImageDraw.Draw(image)
    depths = np.sort(rng.random(count)) ** 1.3
    across, leans, shades = rng.random(count), rng.normal(0, 0.4, count), rng.normal(0, 0.09, count)
    for depth, x, lean, shade in zip(depths, across * width, leans, shades, strict=True):
        near = 0.15 + 0.85 * depth
        y, tall = height * (top + (1.08 - top) * depth), 0.09 * height * near
        tint = to_rgb(np.array(color) + shade * np.array((1.0, 1.0, 0.6)))
        pen.line((x, y, x + lean * tall, y - tall), fill=tint, width=max(1, round(3 * near)))
    return to_array(image)


def bamboo_stalk(image: Image.Image, rng: Rng, across: float, half_width: float) -> None:
    """Draw a stalk of bamboo from top to bottom; place and half-width are shares of the width."""
    width, height = image.size
    green = np.array((rng.uniform(0.35, 0.6), rng.uniform(0.5, 0.68), rng.uniform(0.15, 0.3)))
    green *= rng.uniform(0.6, 1.1)
    pen = ImageDraw.Draw(image)
    lean = rng.normal(0, 0.05) * width
    x, half = across * width, max(half_width * width, 1.5)
    for share in np.linspace(-1, 1, 7)[:-1]:
        left, right = x + share * half, x + share * half + half / 2.8
        corners = ((left, 0), (right, 0), (right + lean, height), (left + lean, height))
        pen.polygon(corners, fill=to_rgb(green, 0.12 * (1 - abs(share + 0.35) * 1.4)))
    dark, stroke = to_rgb(green, -0.18), max(2, round(half * 0.25))
    knot = rng.uniform(0, 0.25) * height
    while knot < height:
        middle = x + lean * knot / height
        pen.line((middle - half * 1.1, knot, middle + half * 1.1, knot), fill=dark, width=stroke)
        knot += rng.uniform(0.18, 0.28) * height
