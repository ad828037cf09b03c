"""Telling in-distribution photos from all others, and declining unsure predictions."""

import numpy as np
import pandas as pd

from pandacat.metrics.accuracy import auroc
from pandacat.metrics.intervals import Interval, proportion


def in_distribution_score(probabilities: np.ndarray) -> np.ndarray:
    """Return `(N,)`: the largest probability of an in-distribution label, from `(N, K + 1)`.

    It serves networks with and without an output for `other`.
    """
    return np.asarray(probabilities[:, :-1].max(axis=1))


def threshold_at_recall(scores: np.ndarray, recall: float = 0.95) -> float:
    """Return the highest threshold that at least `recall` of the scores reach."""
    needed = int(np.ceil(recall * len(scores) - 1e-9))
    return float(np.sort(scores)[::-1][needed - 1])


def open_set_metrics(scores: np.ndarray, in_distribution: np.ndarray) -> dict[str, Interval]:
    """Return `auroc` of in-distribution against other photos, and `false_positive_rate`.

    In-distribution photos are the positive class; some of the literature has it the other way
    round. The false-positive rate is the share of other photos that are accepted at 95 % recall
    (TPR) of in-distribution ones. Its threshold is taken from these very
    photos, as is customary in comparisons; the interval holds for that threshold.
    """
    threshold = threshold_at_recall(scores[in_distribution])
    return {
        "auroc": auroc(scores, in_distribution),
        "false_positive_rate": proportion(scores[~in_distribution] >= threshold),
    }


def risk_coverage(confidences: np.ndarray, correct: np.ndarray) -> pd.DataFrame:
    """Return the error rate among the most confident of `(N,)` predictions.

    A row for each number of them: `coverage`, their share of the photos, and `risk`, the share of
    errors among them; its mean is the area under the curve. Photos of equal confidence share their
    errors evenly, so their order does not matter.

    Sources: El-Yaniv and Wiener, On the foundations of noise-free selective classification, JMLR 11
    (2010); Geifman and El-Yaniv, NeurIPS 2017; the area: Geifman, Uziel and El-Yaniv, Bias-reduced
    uncertainty estimation for deep neural classifiers, ICLR 2019.
    """
    _, place, photos = np.unique(confidences, return_inverse=True, return_counts=True)
    errors = np.bincount(place, weights=~correct) / photos
    covered = np.arange(1, len(correct) + 1)
    risk = np.cumsum(errors[np.sort(place)[::-1]]) / covered
    return pd.DataFrame({"coverage": covered / len(correct), "risk": risk})
