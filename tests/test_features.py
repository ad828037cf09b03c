"""Features of photos are computed once: what a frozen backbone gave is read, not repeated."""

from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pandacat.config.loading import default_config
from pandacat.data import store
from pandacat.data.crops import cut_crops
from pandacat.data.features import Features, read_features
from pandacat.data.images import encode_jpeg
from pandacat.models.embed import extract_features, split_features

SPLIT_OF_PHOTO = ("test", "train", "validation", "train", "test", "validation", "test")
COLORS = 3


class MeanColors:
    """In the place of a `Classifier`: its features are the mean colors of each crop."""

    workers = 2
    description = SimpleNamespace(input_px=16)

    def __init__(self, backbone_key: str = "means") -> None:
        self.backbone_key = backbone_key
        self.passes = 0

    def features(self, images: np.ndarray) -> np.ndarray:
        self.passes += len(images)
        return images.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """A folder of noise photos, the splits mixed."""
    folder = tmp_path / "photos"
    folder.mkdir()
    photos = []
    for number in range(len(SPLIT_OF_PHOTO)):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
        jpeg = encode_jpeg(Image.fromarray(pixels).resize((40, 30)), 92)
        about = (f"{number}.jpg", "cat", sha256(jpeg).hexdigest(), len(jpeg), 40, 30, "RGB")
        photos.append((store.PhotoFile(*about, "", ""), jpeg))
    index = store.write_shards(folder, photos).assign(split=SPLIT_OF_PHOTO)
    store.write_index(folder, index, ("cat", "other"))
    return folder


@pytest.fixture
def stored(photo_folder: Path, tmp_path: Path) -> Features:
    copies = default_config().predict_pretrained.augmented_copies
    classifier: Any = MeanColors()
    target = tmp_path / "features"
    target.mkdir()
    extract_features(photo_folder, target, classifier, crops="two_scales", copies=copies, seed=0)
    return read_features(target)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_all_crops_of_photos_outside_training_are_stored(
    photo_folder: Path, stored: Features, split: str
) -> None:
    index = store.read_index(photo_folder)
    images = store.load_images(photo_folder, index.name[index.split == split])
    expected = [
        MeanColors().features(cut_crops(each, 16, "two_scales")) for each in images.values()
    ]
    np.testing.assert_array_equal(stored.crops[split], expected)


def test_the_center_of_each_photo_is_stored(photo_folder: Path, stored: Features) -> None:
    images = store.load_images(photo_folder, store.read_index(photo_folder).name)
    expected = [MeanColors().features(cut_crops(each, 16, "center")) for each in images.values()]
    np.testing.assert_array_equal(stored.centers[:, None], expected)


@pytest.mark.parametrize(
    ("split", "crops"),
    [
        ("train", "center"),
        ("validation", "center"),
        ("validation", "two_scales"),
        ("test", "center"),
        ("test", "two_scales"),
    ],
)
def test_what_is_stored_is_not_computed_again(
    photo_folder: Path, stored: Features, split: str, crops: Any
) -> None:
    same: Any = MeanColors()
    other: Any = MeanColors(backbone_key="of another backbone")
    read, computed = (
        split_features(split, classifier, crops=crops, photo_folder=photo_folder, stored=stored)
        for classifier in (same, other)
    )
    np.testing.assert_array_equal(read, computed)
    assert same.passes == 0
    assert other.passes == len(computed) * computed.shape[1]


def test_crops_that_are_not_stored_are_computed(photo_folder: Path, stored: Features) -> None:
    classifier: Any = MeanColors()
    features = split_features(
        "test", classifier, crops="square", photo_folder=photo_folder, stored=stored
    )
    assert features.shape == (SPLIT_OF_PHOTO.count("test"), 1, COLORS)
    assert classifier.passes == len(features)
