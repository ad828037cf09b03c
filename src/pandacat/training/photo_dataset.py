"""The photos as data sets to train on: their pixels, or the features of a frozen backbone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pandacat.data import provenance, store
from pandacat.data.features import Features
from pandacat.training.batches import Dataset, Examples


def photo_pixels(folder: Path, input_px: int) -> Dataset:
    """Return the middle square of each photo, `(N, 3, input_px, input_px) uint8`."""
    return _dataset(folder, lambda _, photos: store.load_squares(folder, photos.name, input_px))


def photo_features(folder: Path, features: Features) -> Dataset:
    """Return the features of the photos.

    Training photos are `(M, 1 + C, D) float32`, the center and the augmented copies of each;
    validation photos are `(N, V, D) float32`, all crops of each.
    """

    def inputs(split: str, photos: pd.DataFrame) -> np.ndarray:
        if split == "validation":
            return np.array(features.crops[split])
        return np.concatenate([features.centers[photos.index, None], features.copies], axis=1)

    return _dataset(folder, inputs)


def _dataset(folder: Path, inputs: Callable[[str, pd.DataFrame], np.ndarray]) -> Dataset:
    """Return a data set of the photos, with these inputs of a split and its rows of the index."""
    index, labels = store.read_index(folder), store.read_labels(folder)
    origin = provenance.read(folder / "provenance.json")

    def examples(split: str) -> Examples:
        classes = store.split_labels(index, split, labels)
        pixels_or_features = inputs(split, index[index.split == split])
        return Examples(torch.from_numpy(pixels_or_features), torch.from_numpy(classes))

    return Dataset(
        title=origin.title,
        drawn=origin.drawn,
        fingerprint=store.dataset_fingerprint(index),
        labels=labels,
        train=examples("train"),
        validation=examples("validation"),
    )
