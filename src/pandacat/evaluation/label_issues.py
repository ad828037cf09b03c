"""Photos whose label is probably wrong, and pictures that are not of an animal at all."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from pandacat.labels import listed
from pandacat.metrics.neighbors import neighbor_similarity, unit_length

FOLDS = 5
NEIGHBORS = 10
DEVIATION_OF_MEDIAN_DISTANCE = 1.4826
"""Standard deviations in one median absolute deviation, where values are normally distributed."""


def rank_label_issues(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    zero_shot: np.ndarray,
    names: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """Return all photos, the most suspicious first.

    Two rankings are interleaved: by doubt about the label, and by unlikeness to the other photos of
    the label. A photo's rank is the better of its two.

    Doubt is the margin of confident learning: the probability of the given label less that of the
    likeliest other one, averaged over the zero-shot network, `(N, K + 1)`, and a logistic
    regression on its features, `(N, D)`, fitted without the photo and its group. Unlikeness is the
    cosine distance to the tenth nearest photo of the same label outside the group. Groups, `(N,)`,
    are of near-duplicates, labels, `(N,)`, indices into `names`.

    Source: Northcutt, Jiang and Chuang, Confident learning: estimating uncertainty in dataset
    labels, JAIR 70 (2021), 1373-1411.

    Returns:
        Columns `photo` (row in the arguments), `label`, `suggested` (the likeliest label), `margin`
        (-1 to 1; below 0 another label is likelier), `unlikeness` (standard deviations above the
        median of its label) and `reason`, a sentence.
    """
    out_of_fold = np.zeros(zero_shot.shape)
    out_of_fold[:, np.unique(labels)] = cross_val_predict(
        LogisticRegression(C=10, max_iter=1000),
        unit_length(features),
        labels,
        groups=groups,
        cv=StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed),
        method="predict_proba",
    )
    probabilities = (zero_shot + out_of_fold) / 2
    photos, of_label = np.arange(len(labels)), np.take(names, labels)
    rivals = probabilities.copy()
    rivals[photos, labels] = -1
    margin = probabilities[photos, labels] - rivals.max(axis=1)
    unlikeness = _unlikeness(features, labels, groups)
    ranks = rankdata([margin, -unlikeness], method="ordinal", axis=1)
    words = [listed([name]) for name in names]
    reasons = [
        f"labeled {words[label]}, but {words[rival]} is {'likelier' if exceeds else 'close'}"
        if doubted
        else f"unlike other photos labeled {words[label]}"
        for label, rival, exceeds, doubted in zip(
            labels, rivals.argmax(axis=1), margin < 0, ranks[0] <= ranks[1], strict=True
        )
    ]
    table = pd.DataFrame(
        {
            "photo": photos,
            "label": of_label,
            "suggested": np.take(names, probabilities.argmax(axis=1)),
            "margin": margin,
            "unlikeness": unlikeness,
            "reason": reasons,
        }
    )
    order = np.lexsort((photos, ranks.max(axis=0), ranks.min(axis=0)))
    return table.iloc[order].reset_index(drop=True)


def _unlikeness(features: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    unlikeness = np.zeros(len(labels))
    for label in np.unique(labels):
        members = labels == label
        distance = 1 - neighbor_similarity(
            features[members], features[members], NEIGHBORS, groups[members], groups[members]
        )
        center = np.median(distance)
        spread = DEVIATION_OF_MEDIAN_DISTANCE * np.median(np.abs(distance - center))
        unlikeness[members] = (distance - center) / max(spread, 1e-12)
    return unlikeness
