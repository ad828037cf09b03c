from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pandacat.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def photo():
    with Image.open(EXAMPLES / "cat/kitten.jpg") as image:
        return np.asarray(image.convert("RGB").resize((300, 224)))


def damage(photo, name, severity, seed=0):
    worse = corrupt(photo, name, severity, np.random.default_rng(seed))
    return float(np.abs(worse.astype(float) - photo).mean())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corrupted_photo_keeps_its_shape_and_the_original_its_pixels(photo, name):
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
    for shape in [(9, 12, 3), (1, 40, 3)]:
        black = np.zeros(shape, np.uint8)
        assert corrupt(black, name, 5, np.random.default_rng(0)).shape == shape


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
