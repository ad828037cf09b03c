"""What the frozen backbone makes of each photo, kept so that training need not run it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pandacat.config.fields import CropScheme
from pandacat.core.files import read_json, reading

CENTERS, COPIES, CROPS = "centers.npy", "copies.npy", "validation_crops.npy"
ORIGIN = "origin.json"


@dataclass(frozen=True)
class Features:
    """Features in the order of the index of photos; read from disk as they are needed."""

    centers: np.ndarray
    """`(N, D) float32`, of the center of all photos."""
    copies: np.ndarray
    """`(T, C, D) float32`, of augmented copies of the training photos."""
    validation_crops: np.ndarray
    """`(M, V, D) float32`, of all crops of the validation photos."""
    crops: CropScheme
    """Which crops these are."""
    backbone_key: str
    """Of the backbone that made them."""


def read_features(folder: Path) -> Features:
    """Return the features that `extract` wrote; raise `PandacatError` where they are damaged."""
    with reading(folder):
        centers, copies, validation_crops = (
            np.load(folder / name, mmap_mode="r") for name in (CENTERS, COPIES, CROPS)
        )
        origin = read_json(folder / ORIGIN)
        return Features(centers, copies, validation_crops, origin["crops"], origin["backbone_key"])
