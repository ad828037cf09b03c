"""Temperature and conformal thresholds, fitted on the validation split."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from pandacat.core.console import print_status
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
    probabilities: np.ndarray, classes: np.ndarray, coverage: float, labels: Sequence[str]
) -> ConformalThresholds:
    """Return the probability of each in-distribution label from which prediction sets hold it.

    The sets of at least `coverage` of its photos then do, among photos like those of the validation
    split. A label with too few of these is in every set, and the user is warned.

    Args:
        probabilities: `(N, K + 1)` of the validation photos.
        classes: `(N,)`, indices of their labels.
        coverage: above 0 and below 1.
        labels: `other` last.
    """
    *names, _ = labels
    known = classes < len(names)
    thresholds = conformal.calibrate_by_label(
        probabilities[known, : len(names)], classes[known], coverage
    )
    needed = math.ceil(1 / (1 - coverage) - 1e-9) - 1
    for name, threshold, count in zip(
        names, thresholds, np.bincount(classes[known], minlength=len(names)), strict=True
    ):
        if not threshold:
            print_status(
                f"fine_tune.coverage {coverage:g} needs {needed} validation photos of {name}, and "
                f"there are {count}: every prediction set holds {name}. Lower it, or add photos."
            )
    return ConformalThresholds(coverage, tuple(map(float, thresholds)))
