"""How often a network is right. Indices and columns are in the order of `LABELS`."""

import math
from dataclasses import asdict
from statistics import NormalDist
from typing import Any

import numpy as np
from scipy.optimize import brentq
from sklearn.metrics import confusion_matrix, roc_auc_score

from pandacat.labels import LABELS
from pandacat.metrics.arrays import BoolArray, FloatArray, IntArray
from pandacat.metrics.intervals import LEVEL, Interval, bootstrap, wilson

PANDA, CAT = LABELS.index("panda"), LABELS.index("cat")
SMALLEST_PROBABILITY = 1e-12
"""Probabilities are raised to this before their logarithm is taken."""


def right_between_two(labels: IntArray, probabilities: FloatArray) -> BoolArray:
    """Return for each panda and cat photo whether its own class is the likelier of these two.

    Photos of `other` are left out; a tie counts as wrong.
    """
    known = np.flatnonzero((labels == PANDA) | (labels == CAT))
    own, rival = labels[known], np.where(labels[known] == PANDA, CAT, PANDA)
    return np.asarray(probabilities[known, own] > probabilities[known, rival])


def accuracy(right: BoolArray) -> Interval:
    """Return the share of right answers with its Wilson interval."""
    return wilson(float(np.mean(right)), len(right))


def panda_score(probabilities: FloatArray) -> FloatArray:
    """Return `(N,)`: how much likelier panda is than cat, as the logarithm of the ratio."""
    logs = np.log(np.maximum(probabilities, SMALLEST_PROBABILITY))
    return np.asarray(logs[:, PANDA] - logs[:, CAT])


def auroc(scores: FloatArray, positive: BoolArray) -> Interval:
    """Return the area under the ROC curve: how often a positive outscores a negative.

    The interval is Newcombe's method 5: a score interval on the variance of Hanley and McNeil, so
    that it keeps its width when the sample is told apart without fault.

    Source: R. G. Newcombe, Confidence intervals for an effect size measure based on the
    Mann-Whitney statistic, part 2, Statistics in Medicine 25 (2006), 559-573.

    Raises:
        ValueError: all photos are positive, or none is.
    """
    positives = int(np.sum(positive))
    negatives = len(positive) - positives
    if not positives or not negatives:
        raise ValueError("an ROC curve needs positives and negatives")
    area = float(roc_auc_score(positive, scores))
    low = _lower_area(area, positives, negatives)
    high = 1 - _lower_area(1 - area, positives, negatives)
    return Interval(area, low, high)


def _lower_area(area: float, positives: int, negatives: int) -> float:
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    pairs = (positives + negatives) / 2 - 1

    def excess(guess: float) -> float:
        spread = (1 - guess) / (2 - guess) + guess / (1 + guess)
        variance = guess * (1 - guess) * (1 + pairs * spread) / (positives * negatives)
        return area - guess - z * math.sqrt(variance)

    upper = min(area, 1 - 1e-9)
    return float(brentq(excess, 0, upper)) if upper > 0 else 0.0


def log_losses(labels: IntArray, probabilities: FloatArray) -> FloatArray:
    """Return `(N,)`: minus the natural logarithm of the probability of each photo's own label."""
    own = probabilities[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.maximum(own, SMALLEST_PROBABILITY)))


def confusion(labels: IntArray, verdicts: IntArray) -> IntArray:
    """Return `(3, 3)`: the number of photos of each label (row) that got each verdict (column)."""
    return np.asarray(confusion_matrix(labels, verdicts, labels=range(len(LABELS))))


def precision_recall_f1(counts: IntArray, label: int) -> dict[str, Interval]:
    """Return those of `precision`, `recall` and `f1` that `counts`, a confusion matrix, defines.

    F1 is a rising function of F* = TP / (TP + FP + FN), a proportion, whose Wilson bounds it takes.

    Source: Lam, Gopal and Qian, Confidence intervals for the F1 score: a comparison of four
    methods, arXiv 2309.14621 (2024), "Wilson indirect".
    """
    hits = int(counts[label, label])
    actual, given = int(counts[label].sum()), int(counts[:, label].sum())
    measures = {}
    if given:
        measures["precision"] = wilson(hits / given, given)
    if actual:
        measures["recall"] = wilson(hits / actual, actual)
        union = actual + given - hits
        star = wilson(hits / union, union)
        measures["f1"] = Interval(*(2 * x / (1 + x) for x in (star.value, star.low, star.high)))
    return measures


def headline(
    labels: IntArray, probabilities: FloatArray, verdicts: IntArray, seed: int
) -> dict[str, Any]:
    """Return the headline figures of one network on one set of photos, ready for JSON.

    What the photos can't tell (a class is missing, say) has no entry; no figure is ever NaN.

    Args:
        labels: `(N,)`.
        probabilities: `(N, 3)`.
        verdicts: `(N,)`, what the network decided, be it `argmax` or by a threshold.
        seed: of the bootstrap, which only the log loss needs.

    Returns:
        `photos` (count by label), `confusion` (counts by label, then verdict), and, each as value,
        low and high: `two_class_accuracy`, `accuracy`, `roc_auc` of panda against cat,
        `log_loss`, and `per_class`, by label `precision`, `recall` and `f1`.
    """
    counts = confusion(labels, verdicts) if len(labels) else np.zeros((3, 3), int)
    figures: dict[str, Any] = {}
    right = right_between_two(labels, probabilities)
    if len(right):
        figures["two_class_accuracy"] = asdict(accuracy(right))
    if len(labels):
        figures["accuracy"] = asdict(accuracy(np.asarray(labels == verdicts)))
        losses = log_losses(labels, probabilities)
        loss = bootstrap(lambda photos: float(losses[photos].mean()), labels, seed)
        figures["log_loss"] = asdict(loss)
    known = labels != LABELS.index("other")
    if len(np.unique(labels[known])) == 2:
        figures["roc_auc"] = asdict(
            auroc(panda_score(probabilities[known]), np.asarray(labels[known] == PANDA))
        )
    figures["per_class"] = {
        name: {key: asdict(found) for key, found in precision_recall_f1(counts, index).items()}
        for index, name in enumerate(LABELS)
        if counts[index].any()
    }
    figures["photos"] = {name: int(counts[index].sum()) for index, name in enumerate(LABELS)}
    figures["confusion"] = {
        name: dict(zip(LABELS, map(int, counts[index]), strict=True))
        for index, name in enumerate(LABELS)
    }
    return figures
