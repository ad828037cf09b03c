"""Accuracy, ROC AUC, log loss and confusion of predictions.

Labels are counted from 0 as the columns of the probabilities are; the last is `other`, the rest
are in-distribution. What compares two labels exists only where exactly two are in-distribution;
the first of them is the positive class.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from pandacat.metrics.intervals import (
    LEVEL,
    Interval,
    bootstrap,
    mean_of_independent,
    proportion,
    wilson,
)

SMALLEST_PROBABILITY = 1e-12
"""Probabilities are raised to this before their logarithm is taken."""


def correct_by_measure(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Return, for each kind of accuracy, `(N,)`: 1 if correct, 0 if not, NaN if it does not apply.

    `accuracy` is about the most probable of all labels. `two_class_accuracy`, with two
    in-distribution labels, is about the more probable of these two and applies to their photos; a
    tie counts as wrong.
    """
    correct = {"accuracy": (probabilities.argmax(axis=1) == labels).astype(float)}
    if probabilities.shape[1] == 3:
        rows, rivals = np.arange(len(labels)), (labels + 1) % 2
        exceeds = probabilities[rows, labels] > probabilities[rows, rivals]
        correct = {"two_class_accuracy": np.where(labels < 2, exceeds, np.nan)} | correct
    return correct


def placements(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Return `(N,)`: for a positive, the share of negatives that it outscores; for a negative, the
    share of positives that outscore it. A tie counts as half.

    Either kind's mean is the area under the ROC curve.
    """
    ranks, outscored = _midranks(scores), np.empty(len(scores))
    for kind in (positive, ~positive):
        outscored[kind] = (ranks[kind] - _midranks(scores[kind])) / (~kind).sum()
    return np.where(positive, outscored, 1 - outscored)


def _midranks(scores: np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place])


def auroc(scores: np.ndarray, positive: np.ndarray) -> Interval:
    """Return the area under the ROC curve: how often a positive outscores a negative.

    The interval is Newcombe's method 5: a score interval on the variance of Hanley and McNeil,
    which has a width when the two kinds are separated perfectly, too.

    Source: R. G. Newcombe, Confidence intervals for an effect size measure based on the
    Mann-Whitney statistic, part 2, Statistics in Medicine 25 (2006), 559-573.

    Raises:
        ValueError: all photos are positive, or none is.
    """
    counts = positives, negatives = int(np.sum(positive)), int(np.sum(~positive))
    if not positives or not negatives:
        raise ValueError("an ROC curve needs positives and negatives")
    area = float(placements(scores, positive)[positive].mean())
    return Interval(area, _lower_area(area, *counts), 1 - _lower_area(1 - area, *counts))


def _lower_area(area: float, positives: int, negatives: int) -> float:
    from scipy.optimize import brentq

    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    pairs = (positives + negatives) / 2 - 1

    def excess(guess: float) -> float:
        spread = (1 - guess) / (2 - guess) + guess / (1 + guess)
        variance = guess * (1 - guess) * (1 + pairs * spread) / (positives * negatives)
        return area - guess - z * math.sqrt(variance)

    upper = min(area, 1 - 1e-9)
    return float(brentq(excess, 0, upper)) if upper > 0 else 0.0


def pair_scores(probabilities: np.ndarray) -> np.ndarray:
    """Return `(N,)`: the log-odds of the first label against the second."""
    logs = np.log(np.maximum(probabilities[:, :2], SMALLEST_PROBABILITY))
    return np.asarray(logs[:, 0] - logs[:, 1])


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return `(N,)`: minus the natural logarithm of the probability of each photo's own label."""
    own = probabilities[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.maximum(own, SMALLEST_PROBABILITY)))


def confusion(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return `(K + 1, K + 1)`: how many photos there are by label, then predicted label."""
    size = probabilities.shape[1]
    cells = size * labels + probabilities.argmax(axis=1)
    return np.bincount(cells, minlength=size**2).reshape(size, size)


def precision_recall_f1(counts: np.ndarray, label: int) -> dict[str, Interval]:
    """Return those of `precision`, `recall` and `f1` that `counts`, a confusion matrix, defines.

    F1 is a rising function of F* = TP / (TP + FP + FN), a proportion, whose Wilson bounds it takes.

    Source: Lam, Gopal and Qian, Confidence intervals for the F1 score: a comparison of four
    methods, arXiv 2309.14621 (2024), "Wilson indirect".
    """
    hits = int(counts[label, label])
    actual, predicted = int(counts[label].sum()), int(counts[:, label].sum())
    measures = {}
    if predicted:
        measures["precision"] = wilson(hits / predicted, predicted)
    if actual:
        measures["recall"] = wilson(hits / actual, actual)
        union = actual + predicted - hits
        star = wilson(hits / union, union)
        measures["f1"] = Interval(*(2 * x / (1 + x) for x in (star.value, star.low, star.high)))
    return measures


def headline(
    labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str], seed: int
) -> dict[str, Any]:
    """Return the headline metrics of `(N,)` labels and `(N, K + 1)` probabilities, for JSON.

    They are `photos` (count by label), `confusion` (count by label, then predicted label) and, each
    as value, low and high: the accuracies of `correct_by_measure`, `balanced_accuracy`, the mean
    recall of the labels that there are photos of, `log_loss` (by the bootstrap, which needs the
    seed), `roc_auc` of the first label against the second, and `per_class`, by label `precision`,
    `recall` and `f1`. What these photos do not define is absent, never NaN.
    """
    counts = confusion(labels, probabilities)
    metrics: dict[str, Any] = {
        measure: asdict(proportion(correct[~np.isnan(correct)]))
        for measure, correct in correct_by_measure(labels, probabilities).items()
        if not np.isnan(correct).all()
    }
    if len(labels):
        recalls = [wilson(counts[own, own] / of, of) for own, of in enumerate(counts.sum(1)) if of]
        metrics["balanced_accuracy"] = asdict(mean_of_independent(recalls))
        losses = log_losses(labels, probabilities)
        loss = bootstrap(lambda photos: float(losses[photos].mean()), labels, seed)
        metrics["log_loss"] = asdict(loss)
    if len(names) == 3 and counts[0].any() and counts[1].any():
        pair = labels < 2
        metrics["roc_auc"] = asdict(auroc(pair_scores(probabilities[pair]), labels[pair] == 0))
    metrics["per_class"] = {
        name: {key: asdict(share) for key, share in precision_recall_f1(counts, label).items()}
        for label, name in enumerate(names)
        if counts[label].any()
    }
    table = pd.DataFrame(counts, list(names), list(names))
    return metrics | {"photos": table.sum(axis=1).to_dict(), "confusion": table.to_dict("index")}
