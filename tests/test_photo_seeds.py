"""What chance does to a photo depends on its content and the seed, not on the photos beside it."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pandacat.config.loading import default_config
from pandacat.config.schema import RobustnessParams
from pandacat.data import store
from pandacat.data.crops import cut_crops
from pandacat.data.features import read_features
from pandacat.data.images import encode_jpeg
from pandacat.evaluation.perturbed_predictions import predict_corrupted
from pandacat.models.embed import extract_features

LABELS = ("panda", "cat", "other")
PHOTOS = 6

Folder = Callable[[str, range], Path]


class PixelMeans:
    """In the place of a `Classifier`: its features are the mean colors of each crop."""

    labels = LABELS
    backbone_key = "means"
    workers = crop_count = 1
    description = SimpleNamespace(input_px=16)

    def cut(self, image: Image.Image) -> np.ndarray:
        return cut_crops(image, 16, "center")

    def features(self, images: np.ndarray) -> np.ndarray:
        return images.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)

    def with_tiles(self, features: np.ndarray, image: Image.Image) -> np.ndarray:
        return features

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        return features[..., 0, :] / features[..., 0, :].sum(axis=-1, keepdims=True)


@pytest.fixture
def photo_folder(tmp_path: Path) -> Folder:
    """Return a function that writes a split of the photos of these numbers."""

    def write(split: str, numbers: range) -> Path:
        folder = tmp_path / f"{split}-{numbers.start}"
        folder.mkdir()
        photos = []
        for number in numbers:
            pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
            jpeg = encode_jpeg(Image.fromarray(pixels).resize((40, 30)), 92)
            about = (f"{number}.jpg", "cat", sha256(jpeg).hexdigest(), len(jpeg), 40, 30, "RGB")
            photos.append((store.PhotoFile(*about, "", ""), jpeg))
        index = store.write_shards(folder, photos).assign(split=split)
        store.write_index(folder, index, ("cat", "other"))
        return folder

    return write


def test_one_test_photo_more_corrupts_no_other_differently(photo_folder: Folder) -> None:
    params = RobustnessParams(photos=PHOTOS + 1, severities=(3,), recompressed_photos=1, seed=0)
    classifiers: Any = {"means": PixelMeans()}

    def corrupted(numbers: range) -> pd.DataFrame:
        table = predict_corrupted(classifiers, photo_folder("test", numbers), params)
        return table.set_index(["path", "corruption"]).sort_index()

    few, more = corrupted(range(1, PHOTOS + 1)), corrupted(range(PHOTOS + 1))

    assert len(more) == len(few) + 11
    pd.testing.assert_frame_equal(more.loc[few.index], few)


def test_one_training_photo_more_augments_no_other_differently(
    photo_folder: Folder, tmp_path: Path
) -> None:
    copies = default_config().predict_pretrained.augmented_copies
    classifier: Any = PixelMeans()

    def features_of(numbers: range) -> np.ndarray:
        target = tmp_path / f"features-{numbers.start}"
        target.mkdir()
        folder = photo_folder("train", numbers)
        extract_features(folder, target, classifier, crops="center", copies=copies, seed=0)
        return read_features(target).copies

    few, more = features_of(range(1, PHOTOS + 1)), features_of(range(PHOTOS + 1))

    np.testing.assert_array_equal(more[1:], few)
    assert len(np.unique(few.reshape(-1, 3), axis=0)) == PHOTOS * copies.count
