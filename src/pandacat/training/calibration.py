"""Temperature and conformal thresholds, fitted on the validation split."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from pandacat.core.console import print_status
from pandacat.metrics import conformal
from pandacat.models.probabilities import pool_crops, softmax
from pandacat.models.saved import ConformalThresholds, SavedModel


def calibrate(
    model: SavedModel, log_probabilities: np.ndarray, classes: np.ndarray, *, coverage: float
) -> SavedModel:
    """Return the model with a temperature and conformal thresholds.

    They are fitted on the log-probabilities `(N, V, K + 1)` of the crops of the validation photos
    and their labels `(N,)`. `coverage` is as in `fit_conformal_thresholds`.
    """
    logits = pool_crops(log_probabilities)
    temperature = fit_temperature(logits, classes)
    probabilities = softmax(logits / temperature)
    labels = model.description.labels
    thresholds = fit_conformal_thresholds(probabilities, classes, coverage, labels)
    return model.described(temperature=temperature, conformal=thresholds)


def calibration_metrics(model: SavedModel) -> dict[str, Any]:
    """Return the temperature, and the conformal threshold of each in-distribution label."""
    labels, conformal = model.description.labels, model.description.conformal
    thresholds = dict(zip(labels, conformal.thresholds, strict=False)) if conformal else {}
    return {"temperature": model.description.temperature, "thresholds": thresholds}


def fit_temperature(logits: np.ndarray, classes: np.ndarray) -> float:
    """Return the temperature by which to divide the logits `(N, K + 1)` of the validation photos.

    It minimizes the log loss, each label counting the same (Guo et al., "On Calibration of Modern
    Neural Networks", ICML 2017, section 4.2). A weak pull towards 1, a standard normal prior on the
    logarithm, bounds the confidence of a network without a single error.
    """
    counts = np.bincount(classes, minlength=logits.shape[1])
    weights = len(classes) / (np.count_nonzero(counts) * counts[classes])

    def loss(log_temperature: float) -> float:
        own = log_softmax(logits / np.exp(log_temperature), axis=1)[range(len(classes)), classes]
        return float(-(weights * own).sum() + log_temperature**2 / 2)

    best = minimize_scalar(loss, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return float(np.exp(best.x))


def fit_conformal_thresholds(
    probabilities: np.ndarray, classes: np.ndarray, coverage: float, labels: Sequence[str]
) -> ConformalThresholds:
    """Return the probability from which prediction sets contain each in-distribution label.

    The sets of at least `coverage` of its photos then do, among photos like those of the validation
    split, whose probabilities are `(N, K + 1)` and whose labels `(N,)`. A label with too few photos
    is in every set, and the user is warned.
    """
    *names, _ = labels
    thresholds = [
        conformal.threshold(probabilities[classes == label, label], coverage)
        for label in range(len(names))
    ]
    needed = math.ceil(1 / (1 - coverage) - 1e-9) - 1
    counts = np.bincount(classes, minlength=len(labels))
    for name, threshold, count in zip(names, thresholds, counts, strict=False):
        if not threshold:
            print_status(
                f"fine_tune.coverage {coverage:g} needs {needed} validation photos of {name}, and "
                f"there are {count}: every prediction set contains {name}. Lower it, or add photos."
            )
    return ConformalThresholds(coverage, tuple(thresholds))
