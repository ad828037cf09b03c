"""Corruptions of photos, to measure how robust a network is.

The kinds, and the strengths of most of their five severities, follow Hendrycks and Dietterich,
Benchmarking neural network robustness to common corruptions and perturbations, ICLR 2019. Fog, snow
and brightness are simplified, and `small_in_scene` is our own. Lengths are stated for a shorter
side of 224 px and grow with the photo.
"""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter
from scipy.signal import fftconvolve

from pandacat.data.images import decode_jpeg, encode_jpeg
from pandacat.metrics.arrays import FloatArray, PixelArray

SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(
    image: PixelArray, name: str, severity: int, generator: np.random.Generator
) -> PixelArray:
    """Return `image` corrupted in the way `name`, of the same shape.

    Args:
        image: `(H, W, 3)`.
        name: one of `CORRUPTIONS`.
        severity: 1 to 5.
        generator: the only source of randomness; the same state gives the same pixels.

    Raises:
        ValueError: there is no such corruption or severity.
    """
    if name not in CORRUPTIONS or severity not in SEVERITIES:
        raise ValueError(f"no corruption {name!r} of severity {severity}")
    return _CORRUPTIONS[name](image, severity - 1, generator)


def recompress(image: PixelArray, quality: int) -> PixelArray:
    """Return `image` after JPEG compression at `quality` (1 to 95)."""
    return np.asarray(decode_jpeg(encode_jpeg(Image.fromarray(image), quality)))


def _gaussian_noise(image: PixelArray, level: int, generator: np.random.Generator) -> PixelArray:
    deviation = 255 * (0.08, 0.12, 0.18, 0.26, 0.38)[level]
    noise = generator.standard_normal(image.shape, np.float32)
    return _pixels(image + np.float32(deviation) * noise)


def _shot_noise(image: PixelArray, level: int, generator: np.random.Generator) -> PixelArray:
    photons = (60, 25, 12, 5, 3)[level] / 255
    return _pixels(generator.poisson(image * photons) / photons)


def _defocus_blur(image: PixelArray, level: int, generator: np.random.Generator) -> PixelArray:
    radius = (3, 4, 6, 8, 10)[level] * _scale(image)
    reach = math.ceil(radius)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(rows, columns), 0, 1)
    return _pixels(_convolve(image.astype(np.float32), disc))


def _motion_blur(image: PixelArray, level: int, generator: np.random.Generator) -> PixelArray:
    length = (7, 10, 14, 19, 25)[level] * _scale(image)
    angle = generator.uniform(0, math.pi)
    return _pixels(_convolve(image.astype(np.float32), _streak(length, angle)))


def _fog(image: PixelArray, level: int, generator: np.random.Generator) -> PixelArray:
    density = (0.3, 0.42, 0.54, 0.66, 0.78)[level]
    height, width = image.shape[:2]
    haze = np.zeros((height, width), np.float32)
    for octave in range(1, 7):
        grid = generator.uniform(-1, 1, (2**octave, 2**octave))
        haze += _stretch(grid, height, width) / np.float32(1.8**octave)
    opacity = np.clip(density + 0.25 * haze[..., None], 0, 1)
    return _pixels((1 - opacity) * image + opacity * 225)


def _snow(image: PixelArray, level: int, generator: np.random.Generator) -> PixelArray:
    share, flake, length, veil = (
        (0.010, 1.5, 4, 0.10),
        (0.015, 2.0, 6, 0.20),
        (0.020, 2.5, 8, 0.30),
        (0.028, 3.0, 10, 0.40),
        (0.040, 3.5, 12, 0.50),
    )[level]
    height, width = image.shape[:2]
    flake *= _scale(image)
    cells = (math.ceil(height / flake), math.ceil(width / flake))
    thickness = generator.random(cells)
    flakes = np.where(thickness < share, 1 - thickness / share, 0)
    angle = generator.uniform(math.pi / 4, 3 * math.pi / 4)
    streak = _streak(length * _scale(image), angle)
    streaks = _convolve(_stretch(flakes, height, width)[..., None], streak)
    gray = image.mean(axis=2, keepdims=True, dtype=np.float32)
    wintry = (1 - veil) * image + veil * np.maximum(image, 0.6 * gray + 110)
    return _pixels(wintry + 255 * np.clip(4 * streaks, 0, 1))


def _brightness(image: PixelArray, level: int, generator: np.random.Generator) -> PixelArray:
    added = 255 * (0.1, 0.2, 0.3, 0.4, 0.5)[level]
    return _pixels(image + np.float32(added))


def _contrast(image: PixelArray, level: int, generator: np.random.Generator) -> PixelArray:
    factor = (0.4, 0.3, 0.2, 0.1, 0.05)[level]
    mean = image.mean(axis=(0, 1), dtype=np.float32)
    return _pixels(mean + np.float32(factor) * (image - mean))


def _pixelate(image: PixelArray, level: int, generator: np.random.Generator) -> PixelArray:
    share = (0.6, 0.5, 0.4, 0.3, 0.25)[level] / _scale(image)
    height, width = image.shape[:2]
    size = (max(1, round(width * share)), max(1, round(height * share)))
    small = Image.fromarray(image).resize(size, Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.NEAREST))


def _jpeg(image: PixelArray, level: int, generator: np.random.Generator) -> PixelArray:
    return recompress(image, (25, 18, 15, 10, 7)[level])


def _small_in_scene(image: PixelArray, level: int, generator: np.random.Generator) -> PixelArray:
    share = (0.7, 0.5, 0.38, 0.28, 0.2)[level]
    height, width = image.shape[:2]
    inner = (max(1, round(height * share)), max(1, round(width * share)))
    top, left = (
        int(generator.integers(0, n - m + 1)) for n, m in zip((height, width), inner, strict=True)
    )
    photo = Image.fromarray(image).resize(inner[::-1], Image.Resampling.LANCZOS, reducing_gap=3)
    margins = ((top, height - inner[0] - top), (left, width - inner[1] - left), (0, 0))
    scene = Image.fromarray(np.pad(np.asarray(photo), margins, mode="edge"))
    scene = scene.filter(ImageFilter.BoxBlur(0.08 * min(height, width)))
    scene.paste(photo, (left, top))
    return np.asarray(scene)


_CORRUPTIONS: dict[str, Callable[[PixelArray, int, np.random.Generator], PixelArray]] = {
    "gaussian_noise": _gaussian_noise,
    "shot_noise": _shot_noise,
    "defocus_blur": _defocus_blur,
    "motion_blur": _motion_blur,
    "fog": _fog,
    "snow": _snow,
    "brightness": _brightness,
    "contrast": _contrast,
    "pixelate": _pixelate,
    "jpeg": _jpeg,
    "small_in_scene": _small_in_scene,
}

CORRUPTIONS: tuple[str, ...] = tuple(_CORRUPTIONS)


def _pixels(values: FloatArray) -> PixelArray:
    return np.asarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _scale(image: PixelArray) -> float:
    return float(min(image.shape[:2])) / 224


def _stretch(grid: FloatArray, height: int, width: int) -> FloatArray:
    picture = Image.fromarray(grid.astype(np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))


def _streak(length: float, angle: float) -> FloatArray:
    """Return a square kernel that holds a line of `length` px at `angle` in radians."""
    reach = math.ceil(length / 2)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along = np.abs(columns * math.cos(angle) + rows * math.sin(angle))
    across = np.abs(rows * math.cos(angle) - columns * math.sin(angle))
    return np.asarray(np.clip(1 - across, 0, 1) * np.clip(length / 2 + 0.5 - along, 0, 1))


def _convolve(values: FloatArray, kernel: FloatArray) -> FloatArray:
    """Return `(H, W, C)` values averaged under the kernel, mirrored at the edges."""
    reach = len(kernel) // 2
    padded = np.pad(values, ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    weights = (kernel / kernel.sum()).astype(np.float32)[..., None]
    return np.asarray(fftconvolve(padded, weights, mode="valid", axes=(0, 1)))
