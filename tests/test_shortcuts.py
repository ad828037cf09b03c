import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pandacat.evaluation.shortcut_search import find_shortcuts
from pandacat.evaluation.shortcuts import (
    blockiness,
    header_properties,
    pixel_properties,
    warnings,
)

EXAMPLES = Path(__file__).parents[1] / "examples"
PHOTOS = 300
NAMES = ("panda", "cat", "other")


@pytest.fixture
def fair_table():
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "file_bytes": generator.lognormal(10, 0.5, PHOTOS),
            "mode": generator.choice(["L", "RGB"], PHOTOS, p=[0.1, 0.9]),
            "quantization": generator.choice([4.0, 9.0, 16.0], PHOTOS),
            "red": generator.normal(120, 30, PHOTOS),
        }
    )


@pytest.fixture
def labels():
    return np.arange(PHOTOS) % 2


def encoded(pixels, kind, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def test_a_planted_shortcut_comes_first_and_is_warned_of_in_plain_words(fair_table, labels):
    fair_table["quantization"] = np.where(labels == 0, 3.0, 20.0)
    fair_table.loc[:2, "quantization"] = 20.0

    findings = find_shortcuts(fair_table, labels, np.arange(PHOTOS), NAMES, seed=0)

    worst = findings.iloc[0]
    assert worst[["property", "first", "second"]].tolist() == ["quantization", "panda", "cat"]
    assert worst.low > 0.9
    assert (
        "One number about the file, its JPEG quantization, distinguishes panda from cat in 99"
        in (warnings(findings)[0])
    )


def test_a_mode_that_goes_with_the_label_is_found(fair_table, labels):
    fair_table["mode"] = np.where(labels == 0, "L", "RGB")

    findings = find_shortcuts(fair_table, labels, np.arange(PHOTOS), NAMES, seed=0)

    assert findings.property[0] == "mode"


def test_two_properties_that_predict_the_label_only_together_are_found(fair_table, labels):
    high = np.random.default_rng(1).random(PHOTOS) < 0.5
    fair_table["file_bytes"] = np.where(high, 100.0, 200.0)
    fair_table["red"] = np.where(high == (labels == 0), 100.0, 200.0)

    findings = find_shortcuts(fair_table, labels, np.arange(PHOTOS), NAMES, seed=0)

    low = findings.set_index("property").low
    assert low["together"] > 0.9
    assert low["red"] < 0.6


def test_uninformative_properties_are_no_shortcuts(fair_table, labels):
    findings = find_shortcuts(fair_table, labels, np.arange(PHOTOS), NAMES, seed=0)

    assert len(findings) == 5
    assert ((findings.low < 0.5) & (findings.high > 0.5)).all()
    assert warnings(findings) == []


def test_near_duplicates_are_not_on_both_sides_of_a_fold(labels):
    groups = np.arange(PHOTOS) // 10
    labels = groups % 2
    table = pd.DataFrame({"file_bytes": np.random.default_rng(0).normal(size=30)[groups]})

    by_group = find_shortcuts(table, labels, groups, NAMES, seed=0)
    by_photo = find_shortcuts(table, labels, np.arange(PHOTOS), NAMES, seed=0)

    assert by_photo.low[0] > 0.7
    assert by_group.low[0] < 0.5


def test_each_pair_of_labels_has_findings_but_for_a_label_too_rare(fair_table):
    table, photos = fair_table[["red"]], np.arange(PHOTOS)

    def pairs(labels):
        findings = find_shortcuts(table, labels, photos, NAMES, 0)
        return set(zip(findings["first"], findings["second"], strict=True))

    assert pairs(photos % 3) == {("panda", "cat"), ("panda", "other"), ("cat", "other")}
    assert pairs(np.where(photos < 3, 2, photos % 2)) == {("panda", "cat")}
    assert pairs(np.zeros(PHOTOS, int)) == set()


def test_the_properties_of_a_jpeg_file():
    pixels = np.full((20, 40, 3), [200, 100, 50], np.uint8)
    data = encoded(pixels, "JPEG", quality=50)

    properties = header_properties(data) | pixel_properties(pixels)

    assert properties["file_bytes"] == len(data)
    assert (properties["width_px"], properties["height_px"], properties["aspect"]) == (40, 20, 2)
    assert properties["mode"] == "RGB"
    assert (properties["red"], properties["green"], properties["blue"]) == (200, 100, 50)
    assert properties["blur"] == 0


def test_quantization_rises_as_quality_falls_and_is_0_for_png():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    steps = [
        header_properties(encoded(pixels, "JPEG", quality=quality))["quantization"]
        for quality in (95, 75, 40)
    ]

    assert 0 < steps[0] < steps[1] < steps[2]
    assert header_properties(encoded(pixels, "PNG"))["quantization"] == 0


def test_blur_is_lower_for_a_smoothed_picture():
    sharp = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(sharp).resize((16, 16)).resize((64, 64)))

    assert pixel_properties(smooth)["blur"] < pixel_properties(sharp)["blur"] / 10


def photo():
    image = Image.open(EXAMPLES / "cat/kitten.jpg").convert("RGB")
    return np.asarray(image.resize((400, 300), Image.Resampling.BICUBIC))


def compressed(pixels, quality):
    return np.asarray(Image.open(io.BytesIO(encoded(pixels, "JPEG", quality=quality))))


def test_blockiness_rises_as_quality_falls_and_outlives_another_compression():
    high, middle, low = (blockiness(compressed(photo(), quality)) for quality in (95, 70, 20))
    again = compressed(compressed(photo(), 20), 92)

    assert blockiness(photo()) == pytest.approx(1, abs=0.05)
    assert high + 0.2 < middle < low - 0.2
    assert blockiness(again) == pytest.approx(low, abs=0.05)


def test_blocks_are_found_where_a_crop_was_resized():
    left, top, side = 19, 18, 263
    box, scale = (left, top, left + side, top + side), 224 / side
    image = Image.fromarray(compressed(photo(), 20))
    crop = np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC, box=box))

    assert blockiness(crop, period=8 * scale, start=(-left * scale, -top * scale)) > 1.3
    assert blockiness(crop) == pytest.approx(1, abs=0.05)


def test_blockiness_of_images_without_borders_or_differences_is_1():
    assert blockiness(np.zeros((64, 64, 3), np.uint8)) == 1
    assert blockiness(photo()[:8, :8]) == 1
