"""Tables of what a network said of each photo."""

from typing import Any

import numpy as np
import pandas as pd

from pandacat.data.splits import SPLITS
from pandacat.labels import LABELS
from pandacat.metrics import accuracy

PROBABILITY_COLUMNS = [f"p_{label}" for label in LABELS]


def prediction_table(index: pd.DataFrame, probabilities: np.ndarray) -> pd.DataFrame:
    """Return a row per photo: `path`, the true `label`, `split`, `p_panda`, `p_cat`, `p_other`.

    `probabilities` is `(N, 3)`, in the order of the index.
    """
    columns = {name: probabilities[:, k] for k, name in enumerate(PROBABILITY_COLUMNS)}
    known = index[["name", "label", "split"]].rename(columns={"name": "path"})
    return known.reset_index(drop=True).assign(**columns)


def labels_and_probabilities(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the true labels `(N,)` as indices into `LABELS`, and the probabilities `(N, 3)`."""
    labels = predictions.label.map(LABELS.index).to_numpy(np.int64)
    return labels, predictions[PROBABILITY_COLUMNS].to_numpy(np.float64)


def headline_metrics(predictions: pd.DataFrame, *, seed: int = 0) -> dict[str, Any]:
    """Return the headline figures of a table, the most probable label being the verdict."""
    labels, probabilities = labels_and_probabilities(predictions)
    return accuracy.headline(labels, probabilities, probabilities.argmax(axis=1), seed)


def headline_metrics_by_split(predictions: pd.DataFrame) -> dict[str, Any]:
    """Return the headline figures of each split."""
    return {split: headline_metrics(predictions[predictions.split == split]) for split in SPLITS}


def by_network(judged: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each network, in the order in which the networks come."""
    return {str(name): rows for name, rows in judged.groupby("network", sort=False)}


def predicted_labels(judged: pd.DataFrame) -> np.ndarray:
    """Return `(N,)` indices into `LABELS`: the column `verdict`, else the most probable label."""
    if "verdict" in judged:
        return judged.verdict.map(LABELS.index).to_numpy(np.int64)
    _, probabilities = labels_and_probabilities(judged)
    return np.asarray(probabilities.argmax(axis=1))


def is_correct(judged: pd.DataFrame) -> np.ndarray:
    """Return `(N,)` bool: whether the verdict is the photo's own label."""
    return np.asarray(predicted_labels(judged) == labels_and_probabilities(judged)[0])
