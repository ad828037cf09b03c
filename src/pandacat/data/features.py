"""Features of the photos, extracted once by the frozen backbone and stored for training."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pandacat.config.fields import CropScheme
from pandacat.core.files import read_json, reading

CENTERS, COPIES, ORIGIN = "centers.npy", "copies.npy", "origin.json"
CROPS = {"validation": "validation_crops.npy", "test": "test_crops.npy"}
"""By split; training needs fewer."""


@dataclass(frozen=True)
class Features:
    """Features in the order of the index; memory-mapped."""

    centers: np.ndarray
    """`(N, D) float32`, of the center crops of all photos."""
    copies: np.ndarray
    """`(T, C, D) float32`, of C augmented copies of each training photo."""
    crops: Mapping[str, np.ndarray]
    """`(M, V, D) float32`, of the V crops of each photo of a split: `validation` and `test`."""
    crop_scheme: CropScheme
    """Of `crops`."""
    backbone_key: str
    """Of the backbone that extracted them."""


def read_features(folder: Path) -> Features:
    """Read the features in `folder`; raise `PandacatError` if they are damaged."""
    with reading(folder):
        centers, copies, *crops = (
            np.load(folder / name, mmap_mode="r") for name in (CENTERS, COPIES, *CROPS.values())
        )
        of_split = dict(zip(CROPS, crops, strict=True))
        origin = read_json(folder / ORIGIN)
        return Features(centers, copies, of_split, origin["crops"], origin["backbone_key"])
