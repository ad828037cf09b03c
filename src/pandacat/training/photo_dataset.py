"""The photos as data sets to train on: their pixels, or the features of a frozen backbone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from pandacat.data import provenance, store
from pandacat.data.features import Features
from pandacat.training.batches import Dataset, Examples


def photo_pixels(folder: Path, input_px: int) -> Dataset:
    """Return the middle square of each photo, `(N, 3, input_px, input_px) uint8`."""
    return _dataset(folder, lambda split: store.load_squares(folder, split, input_px)[0])


def photo_features(folder: Path, features: Features) -> Dataset:
    """Return the features of the photos.

    Training photos are `(M, 1 + C, D) float32`, the center and the augmented copies of each;
    validation photos are `(N, V, D) float32`, all crops of each.
    """
    index = store.read_index(folder)

    def inputs(split: str) -> np.ndarray:
        if split == "validation":
            return np.array(features.validation_crops)
        centers = features.centers[np.flatnonzero(index.split == split), None]
        return np.concatenate([centers, features.copies], axis=1)

    return _dataset(folder, inputs)


def _dataset(folder: Path, inputs: Callable[[str], np.ndarray]) -> Dataset:
    """Return a data set of the photos, with these inputs of a split."""
    index, labels = store.read_index(folder), store.read_labels(folder)
    origin = provenance.read(folder / "provenance.json")

    def examples(split: str) -> Examples:
        classes = store.split_labels(index, split, labels)
        return Examples(torch.from_numpy(inputs(split)), torch.from_numpy(classes))

    return Dataset(
        title=origin.title,
        drawn=origin.drawn,
        fingerprint=store.dataset_fingerprint(index),
        labels=labels,
        train=examples("train"),
        validation=examples("validation"),
    )
