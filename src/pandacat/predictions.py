"""Tables of what a network said of each photo."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pandacat.files import reading, written_aside
from pandacat.labels import LABELS
from pandacat.measure import accuracy
from pandacat.splits import SPLITS

PROBABILITIES = [f"p_{label}" for label in LABELS]
DECIMALS = 6


def table(index: pd.DataFrame, probabilities: np.ndarray) -> pd.DataFrame:
    """Return a row per photo: `path`, the true `label`, `split`, `p_panda`, `p_cat`, `p_other`.

    `probabilities` is `(N, 3)`, in the order of the index.
    """
    columns = {name: probabilities[:, k] for k, name in enumerate(PROBABILITIES)}
    known = index[["name", "label", "split"]].rename(columns={"name": "path"})
    return known.reset_index(drop=True).assign(**columns)


def write(path: Path, predictions: pd.DataFrame) -> None:
    """Write a table as CSV, atomically, probabilities to six decimals."""
    with written_aside(path) as aside:
        predictions.round(DECIMALS).to_csv(aside, index=False, lineterminator="\n")


def read(path: Path) -> pd.DataFrame:
    """Return the table that `write` wrote; raise `PandacatError` where it is none."""
    with reading(path):
        return pd.read_csv(path)


def arrays(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the true labels `(N,)` as indices into `LABELS`, and the probabilities `(N, 3)`."""
    labels = predictions.label.map(LABELS.index).to_numpy(np.int64)
    return labels, predictions[PROBABILITIES].to_numpy(np.float64)


def figures(predictions: pd.DataFrame, *, seed: int = 0) -> dict[str, Any]:
    """Return the headline figures of a table, the most probable label being the verdict."""
    labels, probabilities = arrays(predictions)
    return accuracy.headline(labels, probabilities, probabilities.argmax(axis=1), seed)


def figures_by_split(predictions: pd.DataFrame) -> dict[str, Any]:
    """Return the headline figures of each split."""
    return {split: figures(predictions[predictions.split == split]) for split in SPLITS}
