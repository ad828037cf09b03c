"""Features of the photos, extracted once by the frozen backbone and stored for training."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pandacat.config.fields import CropScheme
from pandacat.core.files import read_json, reading

CENTERS, COPIES, CROPS = "centers.npy", "copies.npy", "validation_crops.npy"
ORIGIN = "origin.json"


@dataclass(frozen=True)
class Features:
    """Features in the order of the index; memory-mapped."""

    centers: np.ndarray
    """`(N, D) float32`, of the center crops of all photos."""
    copies: np.ndarray
    """`(T, C, D) float32`, of C augmented copies of each training photo."""
    validation_crops: np.ndarray
    """`(M, V, D) float32`, of the V crops of each validation photo."""
    crops: CropScheme
    """Of `validation_crops`."""
    backbone_key: str
    """Of the backbone that extracted them."""


def read_features(folder: Path) -> Features:
    """Read the features in `folder`; raise `PandacatError` if they are damaged."""
    with reading(folder):
        centers, copies, validation_crops = (
            np.load(folder / name, mmap_mode="r") for name in (CENTERS, COPIES, CROPS)
        )
        origin = read_json(folder / ORIGIN)
        return Features(centers, copies, validation_crops, origin["crops"], origin["backbone_key"])
