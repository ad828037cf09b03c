"""Tables of predictions: a row for each photo (and network), a column `p_…` for each label."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pandacat.data.splits import SPLITS
from pandacat.metrics.accuracy import correct_by_measure, headline

OURS = "fine_tuned"
"""The network to which the others are compared."""


def prediction_table(
    index: pd.DataFrame, probabilities: np.ndarray, labels: Sequence[str]
) -> pd.DataFrame:
    """Return a row per photo: `path`, the true `label`, `split`, and `p_…` for each of `labels`.

    `probabilities` is `(N, K + 1)`, in the order of the index and of `labels`.
    """
    columns = {f"p_{label}": probabilities[:, place] for place, label in enumerate(labels)}
    photos = index[["name", "label", "split"]].rename(columns={"name": "path"})
    return photos.reset_index(drop=True).assign(**columns)


def label_names(predictions: pd.DataFrame) -> tuple[str, ...]:
    """Return the labels that a table has probabilities of, in its order, `other` last."""
    columns = [str(column) for column in predictions.columns]
    return tuple(column.removeprefix("p_") for column in columns if column.startswith("p_"))


def labels_and_probabilities(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return true labels `(N,)`, as indices into `label_names`, and probabilities `(N, K + 1)`."""
    names = label_names(predictions)
    labels = predictions.label.map(names.index).to_numpy(np.int64)
    return labels, predictions[[f"p_{name}" for name in names]].to_numpy(np.float64)


def predicted_labels(predictions: pd.DataFrame) -> np.ndarray:
    """Return `(N,)` indices into `label_names`: the most probable label of each photo."""
    return np.asarray(labels_and_probabilities(predictions)[1].argmax(axis=1))


def correctness(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return a column for each measure of `correct_by_measure`, with the index of the table."""
    return pd.DataFrame(
        correct_by_measure(*labels_and_probabilities(predictions)), index=predictions.index
    )


def is_correct(predictions: pd.DataFrame) -> np.ndarray:
    """Return `(N,)` bool: whether the most probable label is the photo's own."""
    return correctness(predictions).accuracy.to_numpy(bool)


def confidences_and_correctness(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of each prediction, `(N,)`, and whether it is correct."""
    return labels_and_probabilities(predictions)[1].max(axis=1), is_correct(predictions)


def by_network(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each network, in the order in which the networks come."""
    return {str(name): rows for name, rows in predictions.groupby("network", sort=False)}


def headline_metrics(predictions: pd.DataFrame, *, seed: int = 0) -> dict[str, Any]:
    """Return the headline metrics of one network's predictions."""
    return headline(*labels_and_probabilities(predictions), label_names(predictions), seed)


def headline_metrics_by_split(predictions: pd.DataFrame) -> dict[str, Any]:
    """Return the headline metrics of each split."""
    return {split: headline_metrics(predictions[predictions.split == split]) for split in SPLITS}
