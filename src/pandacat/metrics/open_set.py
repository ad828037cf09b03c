"""Telling in-distribution photos from all others, and declining unsure predictions."""

import numpy as np
import pandas as pd

from pandacat.metrics.accuracy import auroc
from pandacat.metrics.arrays import BoolArray, FloatArray
from pandacat.metrics.intervals import Interval, proportion

RECALL = 0.95


def in_distribution_score(probabilities: FloatArray) -> FloatArray:
    """Return `(N,)`: the largest probability of an in-distribution label, from `(N, K + 1)`.

    It serves networks with and without an output for `other`.
    """
    return np.asarray(probabilities[:, :-1].max(axis=1))


def threshold_at_recall(scores: FloatArray, recall: float = RECALL) -> float:
    """Return the highest threshold that at least `recall` of the scores reach."""
    needed = int(np.ceil(recall * len(scores) - 1e-9))
    return float(np.sort(scores)[::-1][needed - 1])


def pass_rate(scores: FloatArray, threshold: float) -> Interval:
    """Return the share of scores that reach the threshold."""
    return proportion(scores >= threshold)


def open_set_metrics(scores: FloatArray, in_distribution: BoolArray) -> dict[str, Interval]:
    """Return `auroc` of in-distribution against other photos, and `false_positive_rate`.

    The latter is at 95 % recall of in-distribution photos. Its threshold is taken from these very
    photos, as is customary in comparisons; the interval holds for that threshold.
    """
    threshold = threshold_at_recall(scores[in_distribution])
    return {
        "auroc": auroc(scores, in_distribution),
        "false_positive_rate": pass_rate(scores[~in_distribution], threshold),
    }


def risk_coverage(confidences: FloatArray, correct: BoolArray) -> pd.DataFrame:
    """Return the error rate among the most confident predictions, for each number of them.

    Source: El-Yaniv and Wiener, On the foundations of noise-free selective classification, JMLR 11
    (2010); the curve of networks: Geifman and El-Yaniv, NeurIPS 2017.

    Returns:
        One row for each distinct confidence, falling: `threshold`, `coverage` (share of photos at
        or above it) and `risk` (share of errors among these).
    """
    thresholds, place, photos = np.unique(confidences, return_inverse=True, return_counts=True)
    errors = np.bincount(place, weights=~correct)
    covered = np.cumsum(photos[::-1])
    return pd.DataFrame(
        {
            "threshold": thresholds[::-1],
            "coverage": covered / len(correct),
            "risk": np.cumsum(errors[::-1]) / covered,
        }
    )


def area_under_risk_coverage(confidences: FloatArray, correct: BoolArray) -> float:
    """Return the mean risk over all coverages; 0 is perfect.

    Photos of equal confidence share their errors evenly, so their order does not matter.

    Source: Geifman, Uziel and El-Yaniv, Bias-reduced uncertainty estimation for deep neural
    classifiers, ICLR 2019.
    """
    _, place, photos = np.unique(confidences, return_inverse=True, return_counts=True)
    errors = np.bincount(place, weights=~correct) / photos
    falling = np.sort(place)[::-1]
    return float(np.mean(np.cumsum(errors[falling]) / np.arange(1, len(correct) + 1)))
