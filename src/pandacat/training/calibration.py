"""Temperature and conformal thresholds, fitted on the validation split."""

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
    model: SavedModel,
    log_probabilities: np.ndarray,
    classes: np.ndarray,
    *,
    coverage: float,
    confidence: float,
) -> SavedModel:
    """Return the model with a temperature and conformal thresholds.

    They are fitted on the log-probabilities `(N, V, K + 1)` of the crops of the validation photos
    and their labels `(N,)`. `coverage` and `confidence` are as in `fit_conformal_thresholds`.
    """
    logits = pool_crops(log_probabilities)
    temperature = fit_temperature(logits, classes)
    probabilities = softmax(logits / temperature)
    thresholds = fit_conformal_thresholds(
        probabilities, classes, model.description.labels, coverage=coverage, confidence=confidence
    )
    return model.described(temperature=temperature, conformal=thresholds)


def calibration_metrics(model: SavedModel) -> dict[str, Any]:
    """Return the temperature, and the conformal threshold of each label."""
    labels, conformal = model.description.labels, model.description.conformal
    thresholds = dict(zip(labels, conformal.thresholds, strict=True)) if conformal else {}
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
    probabilities: np.ndarray,
    classes: np.ndarray,
    labels: Sequence[str],
    *,
    coverage: float,
    confidence: float,
) -> ConformalThresholds:
    """Return the probability from which prediction sets contain each label, `other` among them.

    The sets of at least `coverage` of a label's photos then do, with `confidence`, among photos
    like those of the validation split, whose probabilities are `(N, K + 1)` and whose labels
    `(N,)`. A label with too few photos is in every set, and the user is warned.
    """
    thresholds = [
        conformal.threshold(probabilities[classes == label, label], coverage, confidence)
        for label in range(len(labels))
    ]
    needed = conformal.photos_needed(coverage, confidence)
    counts = np.bincount(classes, minlength=len(labels))
    for name, count in zip(labels, counts, strict=True):
        if count < needed:
            print_status(
                f"fine_tune.coverage {coverage:g} with fine_tune.coverage_confidence "
                f"{confidence:g} needs {needed} validation photos of {name}, and there are "
                f"{count}: every prediction set contains {name}. Lower one of them, raise "
                "preprocess.validation_share, or add photos."
            )
    return ConformalThresholds(coverage, confidence, tuple(thresholds))
