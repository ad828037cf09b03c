"""Run the frozen backbone over photos and keep its features."""

from collections import Counter
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib.format import write_array_header_1_0
from PIL import Image, ImageEnhance
from tqdm import tqdm

from pandacat.core.files import write_json
from pandacat.core.parallel import ordered_map
from pandacat.data import store
from pandacat.data.crops import CropScheme, crop_count, cut_crops
from pandacat.data.features import CENTERS, COPIES, CROPS, ORIGIN, Features
from pandacat.data.images import decode_jpeg
from pandacat.models.classifier import Classifier


def extract_features(
    folder: Path, target: Path, classifier: Classifier, *, crop: CropScheme, copies: int, seed: int
) -> None:
    """Write the features of all photos in `folder` to `target`, which exists.

    Training needs no more than the center of a photo and some augmented copies: with all crops
    besides, it learns no better. What several crops are worth is found on the validation photos.
    """
    index = store.read_index(folder)
    input_px = classifier.description.input_px
    splits = index.split.tolist()
    counts = Counter(splits)

    def look(item: tuple[int, bytes]) -> np.ndarray:
        row, jpeg = item
        image = decode_jpeg(jpeg)
        images = cut_crops(image, input_px, crop if splits[row] == "validation" else "center")
        if splits[row] == "train" and copies:
            rng = np.random.default_rng((seed, row))
            images = np.concatenate([images, augmented_copies(image, input_px, copies, rng)])
        return classifier.features(images)

    jpegs: Iterator[tuple[int, bytes]] = enumerate(jpeg for _, jpeg in store.iter_jpegs(folder))
    results: Iterable[np.ndarray] = tqdm(
        ordered_map(look, jpegs), total=len(index), desc="features", unit="photo", disable=None
    )
    width = classifier.features(np.zeros((1, input_px, input_px, 3), np.uint8)).shape[1]
    with (
        _open_array(target / CENTERS, (len(index), width)) as of_all,
        _open_array(target / COPIES, (counts["train"], copies, width)) as of_training,
        _open_array(
            target / CROPS, (counts["validation"], crop_count(crop), width)
        ) as of_validation,
    ):
        for split, features in zip(splits, results, strict=True):
            of_all.write(features[0].tobytes())
            if split == "train":
                of_training.write(features[1:].tobytes())
            if split == "validation":
                of_validation.write(features.tobytes())
    write_json(target / ORIGIN, {"backbone_key": classifier.backbone_key, "crops": crop})


def _open_array(path: Path, shape: tuple[int, ...]) -> BinaryIO:
    """Return an `.npy` file for float32 values of this shape, its header written.

    Rows are appended as they come, so that memory stays flat.
    """
    stream = path.open("wb")
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    write_array_header_1_0(stream, header)
    return stream


def split_features(
    split: str, classifier: Classifier, *, crop: CropScheme, photo_folder: Path, kept: Features
) -> np.ndarray:
    """Return the features `(N, V, D)` that the backbone of `classifier` gives of a split's photos.

    They are taken from what was kept, and computed where these were not.
    """
    index = store.read_index(photo_folder)
    rows = np.flatnonzero(index.split == split)
    if classifier.backbone_key == kept.backbone_key:
        if crop == "center":
            return kept.centers[rows, None]
        if crop == kept.crops and split == "validation":
            return kept.validation_crops

    def look(item: tuple[str, bytes]) -> np.ndarray:
        image = decode_jpeg(item[1])
        return classifier.features(cut_crops(image, classifier.description.input_px, crop))

    jpegs = store.iter_jpegs(photo_folder, index.name[rows])
    bar = tqdm(ordered_map(look, jpegs), total=len(rows), desc=split, unit="photo", disable=None)
    return np.stack(list(bar))


def augmented_copies(
    image: Image.Image, input_px: int, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Return `(count, input_px, input_px, 3) uint8`: the photo as it might also have come.

    Each copy is a random part of the photo, mirrored or not, in other light, made coarser and
    saved again at a JPEG quality of its own: what a file's making can tell of its class is gone.
    """
    return np.stack([np.asarray(_augmented(image, input_px, rng)) for _ in range(count)])


def _augmented(image: Image.Image, input_px: int, rng: np.random.Generator) -> Image.Image:
    width, height = image.size
    share = np.sqrt(rng.uniform(0.25, 1.0))
    stretch = np.exp(rng.uniform(-0.2, 0.2))
    part_width, part_height = width * min(1, share * stretch), height * min(1, share / stretch)
    left, top = rng.uniform(0, width - part_width), rng.uniform(0, height - part_height)
    coarse = round(input_px / np.exp(rng.uniform(0, np.log(4))))
    box = (left, top, left + part_width, top + part_height)
    copy = image.resize((coarse, coarse), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)
    if rng.random() < 0.5:
        copy = copy.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    copy = ImageEnhance.Brightness(copy).enhance(np.exp(rng.uniform(-0.4, 0.4)))
    copy = ImageEnhance.Contrast(copy).enhance(np.exp(rng.uniform(-0.4, 0.4)))
    copy = ImageEnhance.Color(copy).enhance(rng.uniform(0.3, 1.5))
    stream = BytesIO()
    copy.save(stream, "JPEG", quality=int(rng.integers(15, 96)))
    return decode_jpeg(stream.getvalue()).resize((input_px, input_px), Image.Resampling.BICUBIC)
