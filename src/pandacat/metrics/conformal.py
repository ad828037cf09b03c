"""Prediction sets that contain the true label at a chosen rate.

Split conformal prediction with the least ambiguous sets (LAC). The coverage holds for photos drawn
like those of the calibration set, whatever the network; not for photos of another distribution.

Sources: Vovk, Gammerman and Shafer, Algorithmic learning in a random world (2005), chapter 2;
Sadinle, Lei and Wasserman, Least ambiguous set-valued classifiers with bounded error levels, JASA
114 (2019), 223-234.
"""

import numpy as np


def calibrate(probabilities: np.ndarray, labels: np.ndarray, coverage: float) -> float:
    """Return the threshold at which sets contain the true label with at least `coverage`.

    It is 0, at which every label is in every set, where there are too few photos for the coverage
    (between 0 and 1). `probabilities` are `(N, K)` of photos on which the network has not been
    trained, `labels` `(N,)`.
    """
    own = np.sort(probabilities[np.arange(len(labels)), labels])
    allowed_misses = int(np.floor((len(own) + 1) * (1 - coverage) + 1e-9))
    return float(own[allowed_misses - 1]) if allowed_misses else 0.0


def calibrate_by_label(
    probabilities: np.ndarray, labels: np.ndarray, coverage: float
) -> np.ndarray:
    """Return `(K,)` thresholds that give the photos of each label the coverage.

    Source: Sadinle, Lei and Wasserman (2019), section 2.3; Vovk's label-conditional sets.
    """
    photos = [labels == label for label in range(probabilities.shape[1])]
    return np.array([calibrate(probabilities[own], labels[own], coverage) for own in photos])


def predict_sets(probabilities: np.ndarray, threshold: float | np.ndarray) -> np.ndarray:
    """Return `(N, K)`: which labels each prediction set has; `threshold` is one, or `(K,)`."""
    return np.asarray(probabilities >= threshold)
