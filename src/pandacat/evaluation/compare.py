"""Networks compared by their predictions of the same photos."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from pandacat.evaluation.predictions import (
    by_network,
    headline_metrics,
    is_correct,
    labels_and_probabilities,
)
from pandacat.metrics.accuracy import correct_by_measure, log_losses
from pandacat.metrics.calibration import calibration_error_by_chance, expected_calibration_error
from pandacat.metrics.intervals import Interval
from pandacat.metrics.open_set import in_distribution_score, open_set_metrics
from pandacat.metrics.paired import mcnemar, paired_difference

OURS = "fine_tuned"
"""The network to which the others are compared."""


@dataclass(frozen=True)
class Evaluation:
    """The results of all networks on one set of photos."""

    predictions: pd.DataFrame
    """A table of predictions with a column `network`."""
    differences: pd.DataFrame
    """See `compare_networks`."""
    metrics: dict[str, Any]
    """By network: headline and confidence metrics and, but for ours, `fine_tuned_difference`."""


def evaluate(predictions: pd.DataFrame, *, seed: int) -> Evaluation:
    """Return the results of all networks in a table of predictions."""
    differences = compare_networks(predictions, seed=seed)
    metrics = {
        name: headline_metrics(table, seed=seed) | confidence_metrics(table, seed=seed)
        for name, table in by_network(predictions).items()
    }
    for row in differences.to_dict("records"):
        of_network = metrics[row["network"]].setdefault(f"{OURS}_difference", {})
        rest = {name: row[name] for name in ("low", "high", "p_value") if pd.notna(row[name])}
        of_network[row["measure"]] = {"value": row["difference"]} | rest
    return Evaluation(predictions, differences, metrics)


def confidence_metrics(predictions: pd.DataFrame, *, seed: int) -> dict[str, Any]:
    """Return the calibration error of one network, its limit by chance, and `open_set` metrics.

    The last are absent where all photos are in-distribution, or none is.
    """
    labels, probabilities = labels_and_probabilities(predictions)
    confidences = probabilities.max(axis=1)
    metrics: dict[str, Any] = {
        "calibration_error": expected_calibration_error(confidences, is_correct(predictions)),
        "calibration_error_by_chance": calibration_error_by_chance(confidences, seed),
    }
    in_distribution = labels < probabilities.shape[1] - 1
    if in_distribution.any() and not in_distribution.all():
        intervals = open_set_metrics(in_distribution_score(probabilities), in_distribution)
        metrics["open_set"] = {name: asdict(interval) for name, interval in intervals.items()}
    return metrics


def compare_networks(predictions: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Return the difference between our network and each other one, paired photo by photo.

    A row for each other `network` and `measure` has the `difference`, above 0 where ours is better,
    the bounds `low` and `high` of its paired bootstrap interval and, for accuracies, on how many
    photos `only_ours` and `only_theirs` is correct, and McNemar's `p_value`.
    """
    tables = by_network(predictions)
    labels, probabilities = labels_and_probabilities(tables.pop(OURS))
    ours = _scores(labels, probabilities)
    rows = []
    for network, table in tables.items():
        theirs = _scores(*labels_and_probabilities(table))
        for measure, difference in score_differences(ours, theirs, labels, seed).items():
            row: dict[str, Any] = {"network": network, "measure": measure}
            row |= {"difference": difference.value, "low": difference.low, "high": difference.high}
            if measure != "log_loss":
                test = mcnemar(ours[measure] == 1, theirs[measure] == 1)
                row |= {"only_ours": test.only_first, "only_theirs": test.only_second}
                row["p_value"] = test.p_value
            rows.append(row)
    return pd.DataFrame(rows)


def _scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Return by measure one number a photo, higher where better, NaN where it does not apply."""
    losses = log_losses(labels, probabilities)
    return correct_by_measure(labels, probabilities) | {"log_loss": -losses}


def score_differences(
    ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], labels: np.ndarray, seed: int
) -> dict[str, Interval]:
    """Return by measure the mean of `ours` less that of `theirs`, with its paired interval.

    The scores are `(N,)` of the same photos; those that are NaN do not count. A measure that
    applies to none has no entry.
    """
    differences = {}
    for measure, scores in ours.items():
        if (some := ~np.isnan(scores)).any():
            pair = scores[some], theirs[measure][some]
            differences[measure] = paired_difference(*pair, labels[some], seed)
    return differences
