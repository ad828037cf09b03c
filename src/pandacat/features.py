"""What the frozen trunk makes of each photo, kept so that no photo passes through it twice."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib.format import write_array_header_1_0
from PIL import Image, ImageEnhance
from tqdm import tqdm

from pandacat import photos, shards, views
from pandacat.files import read_json, write_json
from pandacat.parallel import ordered_map
from pandacat.recogniser import Recogniser
from pandacat.views import Views

FEATURES, AUGMENTED, ORIGIN = "features.npy", "augmented.npy", "origin.json"


@dataclass(frozen=True)
class Features:
    """Features in the order of the index of photos; read from disk as they are needed."""

    views: np.ndarray
    """`(N, V, D) float32`, of all photos; the first view is the centre."""
    augmented: np.ndarray
    """`(T, A, D) float32`, of changed copies of the training photos."""
    trunk_key: str
    """Of the trunk that made them."""


def extract(
    folder: Path, target: Path, recogniser: Recogniser, *, view: Views, augmented: int, seed: int
) -> None:
    """Write the features of all photos in `folder` to `target`, which exists."""
    index = shards.read_index(folder)
    size_px = recogniser.description.size_px
    training = index.split.eq("train").tolist()

    def look(item: tuple[int, bytes]) -> np.ndarray:
        row, jpeg = item
        image = photos.decoded(jpeg)
        images = views.cut(image, size_px, view)
        if training[row] and augmented:
            rng = np.random.default_rng((seed, row))
            images = np.concatenate([images, changed_copies(image, size_px, augmented, rng)])
        return recogniser.features(images)

    jpegs: Iterator[tuple[int, bytes]] = enumerate(jpeg for _, jpeg in shards.iter_jpegs(folder))
    results: Iterable[np.ndarray] = tqdm(
        ordered_map(look, jpegs), total=len(index), desc="features", unit="photo", disable=None
    )
    count = views.view_count(view)
    width = recogniser.features(np.zeros((1, size_px, size_px, 3), np.uint8)).shape[1]
    with (
        _open_array(target / FEATURES, (len(index), count, width)) as kept,
        _open_array(target / AUGMENTED, (sum(training), augmented, width)) as spare,
    ):
        for row, features in enumerate(results):
            kept.write(features[:count].tobytes())
            if training[row]:
                spare.write(features[count:].tobytes())
    write_json(target / ORIGIN, {"trunk_key": recogniser.trunk_key, "views": view})


def _open_array(path: Path, shape: tuple[int, int, int]) -> BinaryIO:
    """Return an `.npy` file for float32 values of this shape, its header written.

    Rows are appended as they come, so that memory stays flat.
    """
    stream = path.open("wb")
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    write_array_header_1_0(stream, header)
    return stream


def read(folder: Path) -> Features:
    """Return the features that `extract` wrote."""
    return Features(
        np.load(folder / FEATURES, mmap_mode="r"),
        np.load(folder / AUGMENTED, mmap_mode="r"),
        read_json(folder / ORIGIN)["trunk_key"],
    )


def of_split(
    split: str, recogniser: Recogniser, *, photo_folder: Path, kept: Features
) -> np.ndarray:
    """Return the features `(N, V, D)` of the views that `recogniser` looks at, for one split.

    They are taken from what was kept where the trunk is the same, and computed where it isn't.
    """
    index = shards.read_index(photo_folder)
    rows = np.flatnonzero(index.split == split)
    count = views.view_count(recogniser.description.views)
    if recogniser.trunk_key == kept.trunk_key and count <= kept.views.shape[1]:
        return kept.views[rows, :count]

    def look(item: tuple[str, bytes]) -> np.ndarray:
        return recogniser.features(recogniser.cut(photos.decoded(item[1])))

    jpegs = shards.iter_jpegs(photo_folder, index.name[rows])
    bar = tqdm(ordered_map(look, jpegs), total=len(rows), desc=split, unit="photo", disable=None)
    return np.stack(list(bar))


def changed_copies(
    image: Image.Image, size_px: int, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Return `(count, size_px, size_px, 3) uint8`: the photo as it might also have come.

    Each copy is a random part of the photo, mirrored or not, in other light, made coarser and
    saved again at a JPEG quality of its own: what a file's making can tell of its class is gone.
    """
    return np.stack([np.asarray(_changed(image, size_px, rng)) for _ in range(count)])


def _changed(image: Image.Image, size_px: int, rng: np.random.Generator) -> Image.Image:
    width, height = image.size
    share = np.sqrt(rng.uniform(0.25, 1.0))
    stretch = np.exp(rng.uniform(-0.2, 0.2))
    part_width, part_height = width * min(1, share * stretch), height * min(1, share / stretch)
    left, top = rng.uniform(0, width - part_width), rng.uniform(0, height - part_height)
    coarse = round(size_px / np.exp(rng.uniform(0, np.log(4))))
    box = (left, top, left + part_width, top + part_height)
    copy = image.resize((coarse, coarse), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)
    if rng.random() < 0.5:
        copy = copy.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    copy = ImageEnhance.Brightness(copy).enhance(np.exp(rng.uniform(-0.4, 0.4)))
    copy = ImageEnhance.Contrast(copy).enhance(np.exp(rng.uniform(-0.4, 0.4)))
    copy = ImageEnhance.Color(copy).enhance(rng.uniform(0.3, 1.5))
    stream = BytesIO()
    copy.save(stream, "JPEG", quality=int(rng.integers(15, 96)))
    return photos.decoded(stream.getvalue()).resize((size_px, size_px), Image.Resampling.BICUBIC)
