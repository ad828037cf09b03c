"""Saying "neither". An open-set score is high for known photos (panda, cat), low for all others."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import logsumexp, softmax
from sklearn.covariance import LedoitWolf

from pandacat.metrics.accuracy import CAT, PANDA, auroc
from pandacat.metrics.arrays import BoolArray, FloatArray, IntArray
from pandacat.metrics.intervals import Interval, wilson
from pandacat.metrics.neighbors import neighbor_similarity

RECALL = 0.95


def in_distribution_score(probabilities: FloatArray) -> FloatArray:
    """Return `(N,)`: the larger probability of panda and cat, from `(N, 3)`.

    It serves networks that have no "other" as well as those that do; for the latter it is hardly
    ever far from the sum of the two.
    """
    return np.asarray(probabilities[:, [PANDA, CAT]].max(axis=1))


def threshold_at_recall(known_scores: FloatArray, recall: float = RECALL) -> float:
    """Return the highest threshold that at least `recall` of the known photos reach."""
    needed = int(np.ceil(recall * len(known_scores) - 1e-9))
    return float(np.sort(known_scores)[::-1][needed - 1])


def pass_rate(scores: FloatArray, threshold: float) -> Interval:
    """Return the share of scores that reach the threshold: recall for known, false passes else."""
    return wilson(float(np.mean(scores >= threshold)), len(scores))


def open_set_figures(scores: FloatArray, known: BoolArray) -> dict[str, Interval]:
    """Return `auroc` of known against other, and `false_positive_rate` at 95 % recall of known.

    The threshold of the latter is taken from these very photos, as is customary in comparisons; the
    interval holds for that threshold.
    """
    threshold = threshold_at_recall(scores[known])
    return {
        "auroc": auroc(scores, known),
        "false_positive_rate": pass_rate(scores[~known], threshold),
    }


def risk_coverage(confidences: FloatArray, right: BoolArray) -> pd.DataFrame:
    """Return what is wrong among the answers given when only the surest are given.

    Source: El-Yaniv and Wiener, On the foundations of noise-free selective classification, JMLR 11
    (2010); the curve of networks: Geifman and El-Yaniv, NeurIPS 2017.

    Returns:
        One row for each distinct confidence, falling: `threshold`, `coverage` (share of photos
        answered) and `risk` (share of wrong ones among these).
    """
    thresholds, place, photos = np.unique(confidences, return_inverse=True, return_counts=True)
    wrong = np.bincount(place, weights=~right)
    answered = np.cumsum(photos[::-1])
    return pd.DataFrame(
        {
            "threshold": thresholds[::-1],
            "coverage": answered / len(right),
            "risk": np.cumsum(wrong[::-1]) / answered,
        }
    )


def area_under_risk_coverage(confidences: FloatArray, right: BoolArray) -> float:
    """Return the mean risk over all coverages; 0 is perfect.

    Photos of equal confidence share their mistakes evenly, so their order does not matter.

    Source: Geifman, Uziel and El-Yaniv, Bias-reduced uncertainty estimation for deep neural
    classifiers, ICLR 2019.
    """
    _, place, photos = np.unique(confidences, return_inverse=True, return_counts=True)
    wrong = np.bincount(place, weights=~right) / photos
    falling = np.sort(place)[::-1]
    return float(np.mean(np.cumsum(wrong[falling]) / np.arange(1, len(right) + 1)))


def energy(logits: FloatArray) -> FloatArray:
    """Return `(N,)`: minus the energy, log sum exp over the logits.

    Source: Liu et al., Energy-based out-of-distribution detection, NeurIPS 2020.
    """
    return np.asarray(logsumexp(logits, axis=1))


def mahalanobis(
    features: FloatArray, training_features: FloatArray, training_labels: IntArray
) -> FloatArray:
    """Return `(N,)`: minus the squared distance to the nearest class mean.

    The classes share one covariance, shrunk after Ledoit and Wolf.

    Source: Lee et al., A simple unified framework for detecting out-of-distribution samples and
    adversarial attacks, NeurIPS 2018.
    """
    means = {
        label: training_features[training_labels == label].mean(axis=0)
        for label in np.unique(training_labels)
    }
    centered = training_features - np.stack([means[label] for label in training_labels])
    covariance = LedoitWolf(assume_centered=True).fit(centered)
    distances = [covariance.mahalanobis(features - mean) for mean in means.values()]
    return np.asarray(-np.min(distances, axis=0))


def scores(
    logits: FloatArray,
    features: FloatArray,
    training_features: FloatArray,
    training_labels: IntArray,
    known_classes: Sequence[Sequence[int]],
    neighbors: int = 10,
) -> dict[str, FloatArray]:
    """Return several open-set scores of the same photos by name, each `(N,)`, to be compared.

    Args:
        logits: `(N, 1000)` of the classes before they are grouped.
        features: `(N, D)`.
        training_features: `(M, D)`, of known photos that may be learned from.
        training_labels: `(M,)`.
        known_classes: for panda and for cat, the classes that mean it.
        neighbors: which nearest training photo counts.
    """
    probabilities = softmax(logits, axis=1)
    groups = np.stack(
        [probabilities[:, list(group)].sum(axis=1) for group in known_classes], axis=1
    )
    known = [index for group in known_classes for index in group]
    return {
        "known_probability": groups.sum(axis=1),
        "largest_probability": groups.max(axis=1),
        "energy": energy(logits),
        "known_energy": energy(logits[:, known]),
        "nearest_neighbors": neighbor_similarity(features, training_features, neighbors),
        "mahalanobis": mahalanobis(features, training_features, training_labels),
    }
