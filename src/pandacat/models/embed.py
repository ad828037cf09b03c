"""Run the frozen backbone over photos, and store the features."""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib.format import write_array_header_1_0
from PIL.Image import Image
from tqdm import tqdm

from pandacat.config.fields import CropScheme
from pandacat.config.training import AugmentedCopiesParams
from pandacat.core.files import write_json
from pandacat.core.parallel import ordered_map
from pandacat.data import store
from pandacat.data.augmented_copies import augmented_copies
from pandacat.data.crops import crop_count, cut_crops
from pandacat.data.features import CENTERS, COPIES, CROPS, ORIGIN, Features
from pandacat.data.images import decode_jpeg
from pandacat.models.classifier import Classifier


def extract_features(
    folder: Path,
    target: Path,
    classifier: Classifier,
    *,
    crops: CropScheme,
    copies: AugmentedCopiesParams,
    seed: int,
) -> None:
    """Write the features of all photos in `folder` to `target`, which exists.

    Training needs no more than the center of a photo and some augmented copies: with all crops
    besides, it learns no better. All crops are taken of the validation photos, for calibration, and
    of the test photos, for each evaluation of a head that shares this backbone.
    The copies of a photo depend on its content and the seed, not on the photos beside it.
    """
    index = store.read_index(folder)
    input_px = classifier.description.input_px
    splits = index.split.tolist()
    photo_seeds = [int(sha256[:16], 16) for sha256 in index.sha256]
    counts = Counter(splits)

    def features_of(item: tuple[int, bytes]) -> np.ndarray:
        row, jpeg = item
        image = decode_jpeg(jpeg)
        images = cut_crops(image, input_px, crops if splits[row] in CROPS else "center")
        if splits[row] == "train":
            rng = np.random.default_rng((seed, photo_seeds[row]))
            images = np.concatenate([images, augmented_copies(image, input_px, copies, rng)])
        return classifier.features(images)

    jpegs = enumerate(jpeg for _, jpeg in store.iter_jpegs(folder))
    results = ordered_map(features_of, jpegs, workers=classifier.workers)
    bar = tqdm(results, total=len(index), desc="features", unit="photo", disable=None)
    width = classifier.features(np.zeros((1, input_px, input_px, 3), np.uint8)).shape[1]
    with ExitStack() as files:

        def array(name: str, *shape: int) -> BinaryIO:
            return files.enter_context(_open_array(target / name, (*shape, width)))

        of_all = array(CENTERS, len(index))
        of_split = {"train": array(COPIES, counts["train"], copies.count)}
        for split, name in CROPS.items():
            of_split[split] = array(name, counts[split], crop_count(crops))
        for split, features in zip(splits, bar, strict=True):
            of_all.write(features[0].tobytes())
            of_split[split].write(features[split == "train" :].tobytes())
    write_json(target / ORIGIN, {"backbone_key": classifier.backbone_key, "crops": crops})


def tiled_logits(
    classifier: Classifier, features: np.ndarray, photos: Callable[[np.ndarray], Iterable[Image]]
) -> np.ndarray:
    """Return the logits `(N, K + 1)` of photos, given the features `(N, V, D)` of their crops.

    Those that are doubtful are looked at again, in tiles: `photos` returns the RGB images of rows.
    """
    logits = classifier.logits(features)
    rows = np.flatnonzero(classifier.is_doubtful(features))

    def again(item: tuple[int, Image]) -> np.ndarray:
        row, image = item
        return classifier.logits(classifier.with_tiles(features[row], image))

    items = zip(rows.tolist(), photos(rows), strict=True)
    results = ordered_map(again, items, workers=classifier.workers) if len(rows) else ()
    bar = tqdm(results, total=len(rows), desc="tiles", unit="photo", disable=None)
    for row, values in zip(rows, bar, strict=True):
        logits[row] = values
    return logits


def _open_array(path: Path, shape: tuple[int, ...]) -> BinaryIO:
    """Return an `.npy` file for float32 values of this shape, its header written.

    Rows are appended as they are computed, so that memory stays flat.
    """
    stream = path.open("wb")
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    write_array_header_1_0(stream, header)
    return stream


def split_features(
    split: str, classifier: Classifier, *, crops: CropScheme, photo_folder: Path, stored: Features
) -> np.ndarray:
    """Return the features `(N, V, D)` that the backbone of `classifier` gives of a split's photos.

    They are read from `stored` where it has them, and computed otherwise.
    """
    index = store.read_index(photo_folder)
    rows = np.flatnonzero(index.split == split)
    if classifier.backbone_key == stored.backbone_key:
        if crops == "center":
            return stored.centers[rows, None]
        if crops == stored.crop_scheme and split in stored.crops:
            return stored.crops[split]

    def features_of(item: tuple[str, bytes]) -> np.ndarray:
        image = decode_jpeg(item[1])
        return classifier.features(cut_crops(image, classifier.description.input_px, crops))

    jpegs = store.iter_jpegs(photo_folder, index.name[rows])
    results = ordered_map(features_of, jpegs, workers=classifier.workers)
    return np.stack([*tqdm(results, total=len(rows), desc=split, unit="photo", disable=None)])
