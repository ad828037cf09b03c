"""Prediction sets that contain the true label at a chosen rate, with a chosen confidence.

Split conformal prediction with the least ambiguous sets (LAC), for each label on its own. What is
guaranteed, whatever the network: of all photos of a label, at least the share `coverage` has a set
that contains the label. Whether that comes true depends on which calibration photos were drawn, and
it does with the probability `confidence`. It is about photos drawn like those, not about photos of
another distribution.

Sources: Sadinle, Lei and Wasserman, Least ambiguous set-valued classifiers with bounded error
levels, JASA 114 (2019), 223-234; the confidence: Vovk, Conditional validity of inductive conformal
predictors, Machine Learning 92 (2013), 349-376, proposition 2.
"""

import math
from collections.abc import Sequence

import numpy as np

LARGEST_THRESHOLD = 0.5
"""A higher one would rule out labels that are likelier than not."""


def threshold(own: np.ndarray, coverage: float, confidence: float) -> float:
    """Return the probability from which a label is in a set.

    `own` are `(N,)` probabilities of the label for its calibration photos, on which the network has
    not been trained. The threshold is the k-th smallest of them, whose coverage follows the
    distribution Beta(N + 1 - k, k); k is the largest at which it reaches `coverage` with
    `confidence` (both between 0 and 1). It is 0, which every label reaches, where there are fewer
    than `photos_needed`.
    """
    from scipy.special import betainc

    ranks = np.arange(1, len(own) + 1)
    enough = betainc(ranks, len(own) + 1 - ranks, 1 - coverage) >= confidence
    rank = np.count_nonzero(enough)
    return min(float(np.sort(own)[rank - 1]), LARGEST_THRESHOLD) if rank else 0.0


def photos_needed(coverage: float, confidence: float) -> int:
    """Return how many calibration photos of a label `threshold` needs."""
    return math.ceil(math.log1p(-confidence) / math.log(coverage) - 1e-9)


def prediction_sets(probabilities: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """Return `(N, K + 1)` bool: which labels are in the set of each photo.

    They are those whose probability, `(N, K + 1)`, reaches their threshold, and the most probable.
    """
    sets = np.asarray(probabilities >= np.asarray(thresholds))
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return sets
