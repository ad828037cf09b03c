"""Corruptions of photos, to measure how robust a network is.

The kinds, and the strengths of most of their five severities, follow Hendrycks and Dietterich,
Benchmarking neural network robustness to common corruptions and perturbations, ICLR 2019
(ImageNet-C). Fog, snow and brightness are simplified, and `small_in_scene` is our own.

As in ImageNet-C, a photo is resized to a shorter side of 256 px before it is corrupted. Its center
crop, the pixels that a network of 224 px takes, then has the published strengths: shrunk
afterwards, it would have less noise and shorter blurs. Closer crops enlarge what is there.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageFilter
from scipy.fft import irfftn, next_fast_len, rfftn

from pandacat.data.images import decode_jpeg, encode_jpeg

SEVERITIES = (1, 2, 3, 4, 5)
SHORTER_SIDE_PX, LONGEST_ENLARGED_PX = 256, 4096


def corrupt(image: np.ndarray, name: str, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Return an image `(H, W, 3)` with one of `CORRUPTIONS`, at a severity from 1 to 5.

    Its shorter side becomes 256 px, but for `small_in_scene`, which is a matter of distance, not
    of pixels. `rng` is the only source of randomness; the same state gives the same pixels.

    Raises:
        ValueError: there is no such corruption or severity.
    """
    if name not in CORRUPTIONS or severity not in SEVERITIES:
        raise ValueError(f"no corruption {name!r} of severity {severity}")
    function, strengths = _CORRUPTIONS[name]
    if function is not _small_in_scene:
        image = _at_input_scale(image)
    return function(image, strengths[severity - 1], rng)


def _at_input_scale(image: np.ndarray) -> np.ndarray:
    """Return an image whose shorter side is 256 px.

    The longer one is even, so that a center crop of 224 px lies on whole pixels. Long, narrow
    photos are enlarged less, for the sake of memory.
    """
    sides = np.array(image.shape[1::-1])
    scale = min(SHORTER_SIDE_PX / sides.min(), max(1, LONGEST_ENLARGED_PX / sides.max()))
    size = tuple(np.maximum(2, 2 * np.rint(scale * sides / 2).astype(int)).tolist())
    resized = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(resized)


def _gaussian_noise(image: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(image.shape, np.float32)
    return _pixels(image + np.float32(255 * deviation) * noise)


def _shot_noise(image: np.ndarray, photons: float, rng: np.random.Generator) -> np.ndarray:
    per_level = photons / 255
    return _pixels(rng.poisson(image * per_level) / per_level)


def _defocus_blur(image: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    reach = math.ceil(radius)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(rows, columns), 0, 1)
    return _pixels(_convolve(image.astype(np.float32), disc))


def _motion_blur(
    image: np.ndarray, strength: tuple[int, float], rng: np.random.Generator
) -> np.ndarray:
    radius, deviation = strength
    along, across = _axes(2 * radius, rng.uniform(-math.pi / 4, math.pi / 4))
    line = np.clip(1 - np.abs(across), 0, 1) * ((along >= 0) & (along <= 2 * radius))
    kernel = line * np.exp(-0.5 * (along / deviation) ** 2)
    return _pixels(_convolve(image.astype(np.float32), kernel))


def _fog(image: np.ndarray, density: float, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    haze = np.zeros((height, width), np.float32)
    for octave in range(1, 7):
        grid = rng.uniform(-1, 1, (2**octave, 2**octave))
        haze += _stretch(grid, height, width) / np.float32(1.8**octave)
    opacity = np.clip(density + 0.25 * haze[..., None], 0, 1)
    return _pixels((1 - opacity) * image + opacity * 225)


def _snow(image: np.ndarray, strength: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    share, flake, length, veil = strength
    height, width = image.shape[:2]
    thickness = rng.random((math.ceil(height / flake), math.ceil(width / flake)))
    flakes = np.where(thickness < share, 1 - thickness / share, 0)
    streak = _streak(length, rng.uniform(math.pi / 4, 3 * math.pi / 4))
    streaks = _convolve(_stretch(flakes, height, width)[..., None], streak)
    gray = image.mean(axis=2, keepdims=True, dtype=np.float32)
    wintry = (1 - veil) * image + veil * np.maximum(image, 0.6 * gray + 110)
    return _pixels(wintry + 255 * np.clip(4 * streaks, 0, 1))


def _brightness(image: np.ndarray, added: float, rng: np.random.Generator) -> np.ndarray:
    return _pixels(image + np.float32(255 * added))


def _contrast(image: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    mean = image.mean(axis=(0, 1), dtype=np.float32)
    return _pixels(mean + np.float32(factor) * (image - mean))


def _pixelate(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    size = (max(1, round(width * share)), max(1, round(height * share)))
    small = Image.fromarray(image).resize(size, Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.NEAREST))


def _jpeg(image: np.ndarray, quality: int, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(decode_jpeg(encode_jpeg(Image.fromarray(image), quality)))


def _small_in_scene(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    inner_height, inner_width = max(1, round(height * share)), max(1, round(width * share))
    top = int(rng.integers(0, height - inner_height + 1))
    left = int(rng.integers(0, width - inner_width + 1))
    size = (inner_width, inner_height)
    photo = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS, reducing_gap=3)
    below, beside = height - inner_height - top, width - inner_width - left
    scene = np.pad(np.asarray(photo), ((top, below), (left, beside), (0, 0)), mode="edge")
    blurred = Image.fromarray(scene).filter(ImageFilter.BoxBlur(0.08 * min(height, width)))
    blurred.paste(photo, (left, top))
    return np.asarray(blurred)


_SNOW = (
    (0.010, 1.5, 4, 0.10),
    (0.015, 2.0, 6, 0.20),
    (0.020, 2.5, 8, 0.30),
    (0.028, 3.0, 10, 0.40),
    (0.040, 3.5, 12, 0.50),
)
"""By severity: share of flakes, their size and the length of their streaks in px, and the veil."""

_CORRUPTIONS: dict[str, tuple[Callable[..., np.ndarray], Sequence[Any]]] = {
    "gaussian_noise": (_gaussian_noise, (0.08, 0.12, 0.18, 0.26, 0.38)),
    "shot_noise": (_shot_noise, (60, 25, 12, 5, 3)),
    "defocus_blur": (_defocus_blur, (3, 4, 6, 8, 10)),
    "motion_blur": (_motion_blur, ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))),
    "fog": (_fog, (0.3, 0.42, 0.54, 0.66, 0.78)),
    "snow": (_snow, _SNOW),
    "brightness": (_brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": (_contrast, (0.4, 0.3, 0.2, 0.1, 0.05)),
    "pixelate": (_pixelate, (0.6, 0.5, 0.4, 0.3, 0.25)),
    "jpeg": (_jpeg, (25, 18, 15, 10, 7)),
    "small_in_scene": (_small_in_scene, (0.7, 0.5, 0.38, 0.28, 0.2)),
}
"""By name: the function and its strength at each severity."""

CORRUPTIONS: tuple[str, ...] = tuple(_CORRUPTIONS)


def _pixels(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _stretch(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    picture = Image.fromarray(grid.astype(np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))


def _streak(length: float, angle: float) -> np.ndarray:
    """Return a square kernel that holds a line of `length` px at `angle` in radians."""
    along, across = np.abs(_axes(math.ceil(length / 2), angle))
    return np.asarray(np.clip(1 - across, 0, 1) * np.clip(length / 2 + 0.5 - along, 0, 1))


def _axes(reach: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each place of a square kernel lies along a line at `angle`, and beside it."""
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    cosine, sine = math.cos(angle), math.sin(angle)
    return columns * cosine + rows * sine, rows * cosine - columns * sine


def _convolve(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return `(H, W, C)` values averaged under the kernel, mirrored at the edges."""
    reach = len(kernel) // 2
    padded = np.pad(values, ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    weights = (kernel / kernel.sum()).astype(np.float32)[..., None]
    lengths = [next_fast_len(side + 2 * reach, real=True) for side in padded.shape[:2]]
    product = rfftn(padded, lengths, axes=(0, 1)) * rfftn(weights, lengths, axes=(0, 1))
    inside = tuple(slice(2 * reach, side) for side in padded.shape[:2])
    return np.asarray(irfftn(product, lengths, axes=(0, 1))[inside])
