from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pandacat.data.crops import cut_crops
from pandacat.data.images import decode_jpeg, encode_jpeg
from pandacat.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt

EXAMPLES = Path(__file__).parents[1] / "examples"
SIZES = [(512, 384), (384, 577), (200, 150)]
"""Of photos in preprocessed copies, width first."""
COMPRESSED = dict(zip(SEVERITIES, (25, 18, 15, 10, 7), strict=True))
PIXELATED = dict(zip(SEVERITIES, (0.6, 0.5, 0.4, 0.3, 0.25), strict=True))
NOISE = dict(zip(SEVERITIES, (0.08, 0.12, 0.18, 0.26, 0.38), strict=True))
PHOTONS = dict(zip(SEVERITIES, (60, 25, 12, 5, 3), strict=True))
DISCS = dict(zip(SEVERITIES, ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)), strict=True))
STREAKS = dict(zip(SEVERITIES, ((10, 3.0), (15, 5), (15, 8), (15, 12), (20, 15)), strict=True))
"""The strengths of ImageNet-C."""


def opened(size):
    with Image.open(EXAMPLES / "cat/kitten.jpg") as image:
        return image.convert("RGB").resize(size)


@pytest.fixture(scope="module")
def photo():
    return np.asarray(opened((342, 256)))


def damage(photo, name, severity, seed=0):
    worse = corrupt(photo, name, severity, np.random.default_rng(seed))
    return float(np.abs(worse.astype(float) - photo).mean())


def network_input(image):
    """Return the center crop that a network of 224 px takes of an image."""
    return cut_crops(Image.fromarray(image), 224, "center")[0].astype(float)


def corrupted_input(image, name, severity, seed=0):
    return network_input(corrupt(image, name, severity, np.random.default_rng(seed)))


def gray(size):
    return np.full((*size[::-1], 3), 127, np.uint8)


def blob(size):
    """Return a white rectangle in the middle of black."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[3 * height // 7 : 4 * height // 7, 3 * width // 7 : 4 * width // 7] = 255
    return image


def at_input_scale(image):
    """Return an image as ImageNet-C resizes it before its center crop of 224 px."""
    sides = np.array(image.shape[1::-1])
    width, height = 2 * np.rint(128 * sides / sides.min()).astype(int)
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def spread(image):
    """Return the variance of the place of light along both axes, in square pixels."""
    light = image.sum(axis=2) / image.sum()
    places = np.indices(light.shape)
    means = (light * places).sum(axis=(1, 2))
    return float((light * places**2).sum() - (means**2).sum())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corrupted_photo_keeps_its_shape_at_input_scale_and_the_original_its_pixels(photo, name):
    before = photo.copy()

    worse = corrupt(photo, name, 3, np.random.default_rng(0))

    assert worse.shape == photo.shape
    assert worse.dtype == np.uint8
    assert (worse != photo).any()
    assert (photo == before).all()


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - {"small_in_scene"}))
def test_each_severity_does_more_damage_than_the_one_before(photo, name):
    mean_damage = [
        np.mean([damage(photo, name, severity, seed) for seed in range(4)])
        for severity in SEVERITIES
    ]
    assert (np.diff(mean_damage) > 0).all(), mean_damage


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_chance_gives_the_same_pixels(photo, name):
    first, second = (corrupt(photo, name, 2, np.random.default_rng(7)) for _ in range(2))

    assert (first == second).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_tiny_and_one_colored_photos_pass_through(name):
    for shape in [(9, 12, 3), (1, 40, 3), (1, 9000, 3)]:
        black = np.zeros(shape, np.uint8)
        height, width, _ = corrupt(black, name, 5, np.random.default_rng(0)).shape
        assert 1 <= height <= 256
        assert width <= 9000


@pytest.mark.parametrize(
    ("severity", "share"), zip(SEVERITIES, (0.7, 0.5, 0.38, 0.28, 0.2), strict=True)
)
def test_the_small_photo_lies_whole_inside_its_scene(severity, share):
    white = np.full((200, 300, 3), 255, np.uint8)
    white[60:140, 100:200] = [255, 0, 0]

    scene = corrupt(white, "small_in_scene", severity, np.random.default_rng(0))

    red = (scene[..., 0] > 200) & (scene[..., 1] < 120)
    assert red.sum() == pytest.approx(80 * 100 * share**2, rel=0.1)


@pytest.mark.parametrize(("name", "severity"), [("rust", 1), ("fog", 0), ("fog", 6)])
def test_unknown_corruptions_are_refused(photo, name, severity):
    with pytest.raises(ValueError, match="no corruption"):
        corrupt(photo, name, severity, np.random.default_rng(0))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_noise_at_the_network_input_is_that_of_imagenet_c(size, severity):
    rng, level = np.random.default_rng(9), np.full((224, 224, 3), 127 / 255)
    gaussian = level + rng.normal(scale=NOISE[severity], size=level.shape)
    shot = rng.poisson(level * PHOTONS[severity]) / PHOTONS[severity]
    for name, published in (("gaussian_noise", gaussian), ("shot_noise", shot)):
        ours = corrupted_input(gray(size), name, severity)
        assert ours.std() == pytest.approx(255 * np.clip(published, 0, 1).std(), rel=0.02)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_blur_at_the_network_input_is_as_wide_as_that_of_imagenet_c(size, severity):
    radius, deviation = STREAKS[severity]
    steps = np.arange(2 * radius + 1)
    fading = np.exp(-0.5 * (steps / deviation) ** 2)
    streak = np.cov(steps, aweights=fading, ddof=0)
    radius, deviation = DISCS[severity]
    steps = np.arange(-radius, radius + 1)
    squares = (steps[:, None] ** 2 + steps**2).ravel()
    disc = squares[squares <= radius**2].mean()
    taps = np.exp(-0.5 * (np.arange(-1, 2) / deviation) ** 2)
    disc += 2 * (taps[0] + taps[2]) / taps.sum()
    sharp = spread(network_input(at_input_scale(blob(size))))
    for name, published in (("motion_blur", streak), ("defocus_blur", disc)):
        blurred = [spread(corrupted_input(blob(size), name, severity, seed)) for seed in range(3)]
        ours = np.mean(blurred) - sharp
        assert np.sqrt(ours) == pytest.approx(np.sqrt(published), rel=0.04), name


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_compression_at_the_network_input_does_the_damage_of_imagenet_c(size, severity):
    image = np.asarray(opened(size))
    clean = network_input(at_input_scale(image))
    jpeg = encode_jpeg(Image.fromarray(clean.astype(np.uint8)), COMPRESSED[severity])
    published = np.abs(np.asarray(decode_jpeg(jpeg)) - clean).mean()

    ours = np.abs(corrupted_input(image, "jpeg", severity) - clean).mean()

    assert ours == pytest.approx(published, rel=0.03)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_at_the_network_input_there_are_as_many_large_pixels_as_in_imagenet_c(size, severity):
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)

    row = corrupted_input(noise, "pixelate", severity)[112]

    count = 1 + (np.diff(row, axis=0) != 0).any(axis=1).sum()
    assert count == pytest.approx(224 * PIXELATED[severity], abs=3)
