"""The headline metrics, for the regression gate, and the few by which experiments are compared."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pandacat.data import store

METRICS = (
    "two_class_accuracy",
    "accuracy",
    "roc_auc",
    "log_loss",
    "calibration_error",
    "open_set",
    "labels_kept",
)
"""Of the metrics in `metrics/evaluate.json` and `metrics/export.json`."""

SUMMARY = {
    "accuracy": "test.fine_tuned.accuracy.value",
    "log_loss": "test.fine_tuned.log_loss.value",
    "ece": "test.fine_tuned.calibration_error",
    "auroc": "test.fine_tuned.open_set.auroc.value",
    "field_accuracy": "field_test.fine_tuned.accuracy.value",
    "field_auroc": "field_test.fine_tuned.open_set.auroc.value",
    "pretrained": "test.pretrained.accuracy.value",
    "scratch": "test.scratch.accuracy.value",
    "mnist": "mnist.scratch.accuracy.value",
}
"""By name, which of the headline metrics it is. The last three are accuracies on the test split,
the others are of the fine-tuned network. Names are short, so that all fit in a table.
"""


def headline(evaluation: Mapping[str, Any], mnist: Mapping[str, float]) -> dict[str, Any]:
    """Return the headline metrics by set of photos and network, for JSON.

    Most are a value with the bounds of its interval. `evaluation` is the content of
    `metrics/evaluate.json`, under `export` with that of `metrics/export.json`, and `mnist` the
    `accuracy` on the MNIST test split, its `low` and `high`.
    """
    accuracy = {"value": mnist["accuracy"], "low": mnist["low"], "high": mnist["high"]}
    return {
        "mnist": {"scratch": {"accuracy": accuracy}},
        **{
            dataset: {
                network: {name: metrics[name] for name in METRICS if name in metrics}
                for network, metrics in networks.items()
            }
            for dataset, networks in evaluation.items()
        },
    }


def field_test_fingerprint(predictions: pd.DataFrame) -> str:
    """Return the SHA-256 over the content and label of the photos that were predicted.

    The table has a column `sha256`, of the photos' files.
    """
    photos = predictions.drop_duplicates("path").sort_values("sha256")
    return store.dataset_fingerprint(photos)


def summary(headline: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers that `SUMMARY` names, rounded to four decimals, as far as they exist."""
    metrics = pd.json_normalize(dict(headline)).to_dict("records")[0]
    return {name: round(metrics[key], 4) for name, key in SUMMARY.items() if key in metrics}
