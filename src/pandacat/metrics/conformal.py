"""Prediction sets that contain the true label at a chosen rate.

Split conformal prediction with the least ambiguous sets (LAC). The coverage holds for photos drawn
like those of the calibration set, whatever the network; not for photos of another distribution.

Sources: Vovk, Gammerman and Shafer, Algorithmic learning in a random world (2005), chapter 2;
Sadinle, Lei and Wasserman, Least ambiguous set-valued classifiers with bounded error levels, JASA
114 (2019), 223-234.
"""

import numpy as np


def threshold(own: np.ndarray, coverage: float) -> float:
    """Return the threshold from which a label is in a set, for sets that contain it at `coverage`.

    `own` are `(N,)` probabilities of the true label, of photos on which the network has not been
    trained: of one label for its own coverage (Sadinle, Lei and Wasserman, section 2.3), of all
    for theirs together. The threshold is 0, which every label reaches, where there are too few
    photos for the coverage (between 0 and 1).
    """
    allowed_misses = int(np.floor((len(own) + 1) * (1 - coverage) + 1e-9))
    return float(np.sort(own)[allowed_misses - 1]) if allowed_misses else 0.0
