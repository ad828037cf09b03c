"""Predictions of perturbed test photos: corrupted, or all compressed as strongly as one label's."""

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pandacat.config.schema import Config, RobustnessParams
from pandacat.core.parallel import ordered_map
from pandacat.data import provenance, store
from pandacat.data.images import decode_jpeg, decode_photo, encode_jpeg, load_image
from pandacat.data.sources.zip_files import Reader, open_archive
from pandacat.evaluation.corruptions import CORRUPTIONS, corrupt
from pandacat.evaluation.networks import Classifiers, NamedImage, predict_images
from pandacat.evaluation.shortcuts import header_properties

QUALITIES = range(1, 101)
FULL_SIZE_PX = 1 << 20
"""A shorter side that no photo has: none is shrunk to it."""


def stratified_subsets(labels: pd.Series, count: int, size: int, seed: int) -> list[np.ndarray]:
    """Return the rows of `count` random subsets of `size` photos, or of all where there are fewer.

    No photo is drawn a second time before each was drawn once, and in every subset labels come in
    about the shares that they have in all.
    """
    shuffled = labels.reset_index(drop=True).sample(frac=1, random_state=seed)
    same_label = shuffled.groupby(shuffled)
    position = (same_label.cumcount() + 0.5) / same_label.transform("size")
    order = position.sort_values(kind="stable").index.to_numpy()
    places = np.arange(min(size, len(order)))
    return [np.take(order, len(places) * subset + places, mode="wrap") for subset in range(count)]


def predict_corrupted(
    classifiers: Classifiers, photo_folder: Path, params: RobustnessParams
) -> pd.DataFrame:
    """Return the predictions of corrupted test photos.

    A table of predictions with columns `network`, `corruption` and `severity`. How a photo is
    corrupted depends on its content, the corruption and the seed, not on the photos beside it.
    """
    index = _split(photo_folder, "test")
    kinds = list(product(range(len(CORRUPTIONS)), params.severities))
    subsets = stratified_subsets(index.label, len(kinds), params.photos, params.seed)
    photo_seeds = [int(sha256[:16], 16) for sha256 in index.sha256]

    def corrupted(item: tuple[int, tuple[str, bytes]]) -> Iterator[NamedImage]:
        row, (name, jpeg) = item
        pixels = np.asarray(decode_jpeg(jpeg))
        for (kind, severity), subset in zip(kinds, subsets, strict=True):
            if row in subset:
                rng = np.random.default_rng((params.seed, photo_seeds[row], kind, severity))
                image = Image.fromarray(corrupt(pixels, CORRUPTIONS[kind], severity, rng))
                about = {"name": name, "corruption": CORRUPTIONS[kind], "severity": severity}
                yield about, image

    jpegs = enumerate(store.iter_jpegs(photo_folder, index.name))
    predictions = predict_images(classifiers, index, jpegs, corrupted, "corrupted")
    keys = (
        predictions.severity,
        predictions.corruption.map(CORRUPTIONS.index),
        predictions.network.map(list(classifiers).index),
    )
    return predictions.iloc[np.lexsort(keys)].reset_index(drop=True)


def predict_recompressed(
    classifiers: Classifiers, archive: Path, photo_folder: Path, config: Config
) -> pd.DataFrame:
    """Return the predictions of test photos that were all recompressed at one low quality.

    Each original file is decoded, saved at its full size at the quality from `lowest_quality`, and
    then preprocessed like any other. Files of all labels are then compressed as strongly as those
    of one were: a network that takes strong compression for that label predicts it more often, and
    one that takes it for the animals of another no longer does. At a high quality, poor files would
    keep the traces of their first compression. A table of predictions with columns `network` and
    `quality`.
    """
    index, params, spec = _split(photo_folder, "test"), config.robustness, config.preprocess
    (subset,) = stratified_subsets(index.label, 1, params.recompressed_photos, params.seed)

    def recompressed(name: str) -> Iterator[NamedImage]:
        full_size = decode_photo(
            reader.read(name), image_px=FULL_SIZE_PX, max_megapixels=spec.max_megapixels
        )
        copy = load_image(encode_jpeg(full_size.image, quality), spec)
        yield {"name": name, "quality": quality}, copy

    encoding = provenance.read(photo_folder / "provenance.json").encoding
    with open_archive(archive, encoding) as reader:
        quality = lowest_quality(_typical_steps(reader, photo_folder))
        names = index.name.iloc[np.sort(subset)]
        return predict_images(classifiers, index, names, recompressed, "recompressed")


def _split(photo_folder: Path, split: str) -> pd.DataFrame:
    index = store.read_index(photo_folder)
    return index[index.split == split].reset_index(drop=True)


def _typical_steps(reader: Reader, photo_folder: Path) -> dict[str, float]:
    """Return the median JPEG quantization of each label's original training files."""
    training = _split(photo_folder, "train")
    steps = pd.Series(list(ordered_map(lambda name: _step(reader.read(name)), training.name)))
    medians = steps.groupby(training.label).median()
    return {str(label): float(median) for label, median in medians.items()}


def lowest_quality(typical_steps: Mapping[str, float]) -> int:
    """Return the JPEG quality that is typical of the label whose files are compressed most.

    `typical_steps` are mean luma quantization steps by label; 0 for files that are no JPEG.
    """
    blank, largest = Image.new("RGB", (8, 8)), max(typical_steps.values())
    return min(QUALITIES, key=lambda quality: abs(_step(encode_jpeg(blank, quality)) - largest))


def _step(data: bytes) -> float:
    return float(header_properties(data)["quantization"])
