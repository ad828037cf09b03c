"""Things that stand between the animal and the camera."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from drawn_animals.space import Array, Rng
from drawn_animals.textures import Size, bamboo_stalk, to_rgb


def foreground(rng: Rng, size: Size, blur_px: float) -> tuple[Array, Array]:
    """Return (3, h, w) premultiplied colors and (h, w) opacity of a thing before the animal."""
    image = Image.new("RGBA", size)
    kinds = (_grass, _stalks, _fence, _leaves)
    kinds[int(rng.integers(len(kinds)))](image, rng)
    blurred = image.convert("RGBa").filter(ImageFilter.GaussianBlur(blur_px))
    pixels = np.asarray(blurred, np.float32) / 255
    return pixels[..., :3].transpose(2, 0, 1), pixels[..., 3]


def _grass(image: Image.Image, rng: Rng) -> None:
    width, height = image.size
    pen = ImageDraw.Draw(image)
    green = np.array((rng.uniform(0.3, 0.5), rng.uniform(0.45, 0.6), rng.uniform(0.12, 0.25)))
    reach = rng.uniform(0.1, 0.3)
    for _ in range(int(rng.integers(15, 60))):
        x, lean = rng.uniform(0, width), rng.normal(0, 0.06) * width
        tall, half = rng.uniform(0.3, 1) * reach * height, rng.uniform(0.003, 0.009) * width
        corners = ((x - half, height), (x + half, height), (x + lean, height - tall))
        pen.polygon(corners, fill=to_rgb(green, rng.normal(0, 0.08)))


def _stalks(image: Image.Image, rng: Rng) -> None:
    for _ in range(int(rng.integers(1, 3))):
        bamboo_stalk(image, rng, rng.uniform(0.0, 1.0), rng.uniform(0.01, 0.03))


def _fence(image: Image.Image, rng: Rng) -> None:
    width, height = image.size
    pen = ImageDraw.Draw(image)
    tone = to_rgb(np.full(3, rng.uniform(0.2, 0.75)))
    step, thick = rng.uniform(0.18, 0.3) * width, max(1, round(rng.uniform(0.006, 0.014) * width))
    for x in np.arange(rng.uniform(-step, 0), width + height, step):
        pen.line((x, 0, x, height), fill=tone, width=thick)


def _leaves(image: Image.Image, rng: Rng) -> None:
    width, height = image.size
    pen = ImageDraw.Draw(image)
    green = np.array((rng.uniform(0.25, 0.6), rng.uniform(0.4, 0.6), rng.uniform(0.1, 0.25)))
    corner = rng.choice((0.0, 1.0), 2)
    for _ in range(int(rng.integers(4, 12))):
        middle = (corner + rng.normal(0, 0.16, 2)) * (width, height)
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.10, 0.22) * width
        along = np.array((np.cos(angle), np.sin(angle))) * length
        across = np.array((-along[1], along[0])) * 0.13
        corners = [tuple(middle + side) for side in (-along, across, along, -across)]
        pen.polygon(corners, fill=to_rgb(green, rng.normal(0, 0.1)))
