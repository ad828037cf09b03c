"""What the frozen trunk makes of each photo, kept so that training need not run it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pandacat.core.files import read_json, reading
from pandacat.data.crops import CropScheme

CENTRES, COPIES, VIEWS = "centres.npy", "copies.npy", "validation_views.npy"
ORIGIN = "origin.json"


@dataclass(frozen=True)
class Features:
    """Features in the order of the index of photos; read from disk as they are needed."""

    centres: np.ndarray
    """`(N, D) float32`, of the centre of all photos."""
    copies: np.ndarray
    """`(T, C, D) float32`, of changed copies of the training photos."""
    validation_views: np.ndarray
    """`(M, V, D) float32`, of all views of the validation photos."""
    crops: CropScheme
    """Which views these are."""
    trunk_key: str
    """Of the trunk that made them."""


def read_features(folder: Path) -> Features:
    """Return the features that `extract` wrote; raise `PandacatError` where they are damaged."""
    with reading(folder):
        centres, copies, validation_views = (
            np.load(folder / name, mmap_mode="r") for name in (CENTRES, COPIES, VIEWS)
        )
        origin = read_json(folder / ORIGIN)
        return Features(centres, copies, validation_views, origin["views"], origin["trunk_key"])
