"""Temperature and conformal thresholds, fitted on the validation split."""

import math

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from pandacat.core.console import print_status
from pandacat.labels import LABELS
from pandacat.metrics import conformal
from pandacat.models.saved import ConformalThresholds


def fit_temperature(logits: np.ndarray, classes: np.ndarray) -> float:
    """Return the temperature by which to divide the logits `(N, 3)` of the validation photos.

    The log loss is least, each label counting the same (Guo et al., "On Calibration of Modern
    Neural Networks", ICML 2017, section 4.2). A weak pull towards 1, a standard normal prior on the
    logarithm, keeps a network without a single mistake from being told to be surer yet.
    """
    counts = np.bincount(classes, minlength=logits.shape[1])
    weights = len(classes) / (np.count_nonzero(counts) * counts[classes])

    def loss(log_temperature: float) -> float:
        own = log_softmax(logits / np.exp(log_temperature), axis=1)[range(len(classes)), classes]
        return float(-(weights * own).sum() + log_temperature**2 / 2)

    best = minimize_scalar(loss, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return float(np.exp(best.x))


def fit_conformal_thresholds(
    probabilities: np.ndarray, classes: np.ndarray, coverage: float
) -> ConformalThresholds:
    """Return from which probability on panda, and cat, is to be named, so that `coverage` of each
    get their name, among photos like the validation photos given: `(N, 3)` and `(N,)`.

    Where these are too few for it, the user is told.
    """
    known = classes != LABELS.index("other")
    panda, cat = conformal.calibrate_by_label(probabilities[known, :2], classes[known], coverage)
    if not (panda and cat):
        there = np.bincount(classes[known], minlength=2)
        print_status(
            f"fine_tune.coverage {coverage:g} needs {math.ceil(1 / (1 - coverage) - 1e-9) - 1} "
            f"validation photos of panda, and as many of cat; there are {there[0]} and {there[1]}. "
            "Answers name what has too few on every photo: lower it, or add photos."
        )
    return ConformalThresholds(coverage, (float(panda), float(cat)))
