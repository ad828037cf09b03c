"""Augmented copies of a photo, recompressed so that they hide how its file was made."""

import numpy as np
from PIL import Image, ImageEnhance

from pandacat.config.training import AugmentedCopiesParams
from pandacat.data.crops import SHORTER_SIDE_PX
from pandacat.data.images import decode_jpeg, encode_jpeg, shrink


def augmented_copies(
    image: Image.Image, input_px: int, params: AugmentedCopiesParams, rng: np.random.Generator
) -> np.ndarray:
    """Return random copies of an RGB photo, `(params.count, input_px, input_px, 3) uint8`.

    Each is a random crop, flipped or not, with other brightness, contrast and saturation, at a
    lower resolution, and recompressed at a random JPEG quality.
    """
    image = shrink(image, SHORTER_SIDE_PX)
    copies = [np.asarray(_copy(image, input_px, params, rng)) for _ in range(params.count)]
    return np.stack(copies) if copies else np.empty((0, input_px, input_px, 3), np.uint8)


def _copy(
    image: Image.Image, input_px: int, params: AugmentedCopiesParams, rng: np.random.Generator
) -> Image.Image:
    width, height = image.size
    side_share = np.sqrt(rng.uniform(*params.area))
    aspect = np.exp(rng.uniform(-params.aspect, params.aspect))
    crop_width = width * min(1, side_share * aspect)
    crop_height = height * min(1, side_share / aspect)
    left, top = rng.uniform(0, width - crop_width), rng.uniform(0, height - crop_height)
    coarse_px = round(input_px / np.exp(rng.uniform(0, np.log(params.coarseness))))
    box = (left, top, left + crop_width, top + crop_height)
    copy = image.resize((coarse_px, coarse_px), Image.Resampling.BICUBIC, box, reducing_gap=2.0)
    if rng.random() < params.flip:
        copy = copy.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    brightness, contrast = (
        np.exp(rng.uniform(-limit, limit)) for limit in (params.brightness, params.contrast)
    )
    copy = ImageEnhance.Brightness(copy).enhance(brightness)
    copy = ImageEnhance.Contrast(copy).enhance(contrast)
    copy = ImageEnhance.Color(copy).enhance(rng.uniform(*params.saturation))
    low, high = params.jpeg_quality
    recompressed = decode_jpeg(encode_jpeg(copy, int(rng.integers(low, high + 1))))
    return recompressed.resize((input_px, input_px), Image.Resampling.BICUBIC)
