"""Answers that name several labels when unsure, and hold the true one as often as promised.

Split conformal prediction with the least ambiguous sets (LAC). The promise holds for photos drawn
like those calibrated on, whatever the network; it is not one for photos from elsewhere.

Calibrated on panda and cat photos and their two columns alone, the sets are "panda", "cat", "panda
or cat", and, when empty, "neither"; the promise is then to pandas and cats.

Sources: Vovk, Gammerman and Shafer, Algorithmic learning in a random world (2005), chapter 2;
Sadinle, Lei and Wasserman, Least ambiguous set-valued classifiers with bounded error levels, JASA
114 (2019), 223-234.
"""

import numpy as np

from pandacat.metrics.arrays import BoolArray, FloatArray, IntArray
from pandacat.metrics.intervals import Interval, wilson


def calibrate(probabilities: FloatArray, labels: IntArray, coverage: float) -> float:
    """Return the threshold at which sets hold the true label with at least `coverage`.

    It is 0, which lets every label in, where there are too few photos for the promise.

    Args:
        probabilities: `(N, K)` of validation photos, which the network has not been trained on.
        labels: `(N,)`, columns of `probabilities`.
        coverage: above 0 and below 1.
    """
    own = np.sort(probabilities[np.arange(len(labels)), labels])
    allowed_misses = int(np.floor((len(own) + 1) * (1 - coverage) + 1e-9))
    return float(own[allowed_misses - 1]) if allowed_misses else 0.0


def calibrate_by_label(probabilities: FloatArray, labels: IntArray, coverage: float) -> FloatArray:
    """Return `(K,)` thresholds at which the promise holds for the photos of each label apart.

    Source: Sadinle, Lei and Wasserman (2019), section 2.3; Vovk's label-conditional sets.
    """
    return np.array(
        [
            calibrate(probabilities[labels == label], labels[labels == label], coverage)
            for label in range(probabilities.shape[1])
        ]
    )


def predict_sets(probabilities: FloatArray, threshold: float | FloatArray) -> BoolArray:
    """Return `(N, K)`: which labels each answer names; `threshold` is one, or `(K,)`."""
    return np.asarray(probabilities >= threshold)


def empirical_coverage(sets: BoolArray, labels: IntArray) -> Interval:
    """Return the share of sets that hold the true label."""
    return wilson(float(sets[np.arange(len(labels)), labels].mean()), len(labels))
