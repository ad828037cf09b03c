"""Tables of what a network said of each photo."""

from typing import Any

import numpy as np
import pandas as pd

from pandacat.labels import LABELS
from pandacat.measure import accuracy
from pandacat.splits import SPLITS

PROBABILITIES = [f"p_{label}" for label in LABELS]


def table(index: pd.DataFrame, probabilities: np.ndarray) -> pd.DataFrame:
    """Return a row per photo: `path`, the true `label`, `split`, `p_panda`, `p_cat`, `p_other`.

    `probabilities` is `(N, 3)`, in the order of the index.
    """
    columns = {name: probabilities[:, k] for k, name in enumerate(PROBABILITIES)}
    known = index[["name", "label", "split"]].rename(columns={"name": "path"})
    return known.reset_index(drop=True).assign(**columns)


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
