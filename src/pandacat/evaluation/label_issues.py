"""Photos whose label is probably wrong, and pictures that are not of an animal at all."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from pandacat.labels import listed
from pandacat.metrics.arrays import FloatArray, IntArray
from pandacat.metrics.neighbors import neighbor_similarity, unit_length

FOLDS = 5
NEIGHBORS = 10
DEVIATION_OF_MEDIAN_DISTANCE = 1.4826
"""Standard deviations in one median absolute deviation, where values are normally distributed."""


def rank_label_issues(
    features: FloatArray,
    labels: IntArray,
    groups: IntArray,
    zero_shot: FloatArray,
    names: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """Return all photos, the most suspicious first.

    Two rankings are interleaved: by doubt about the label, and by unlikeness to the other photos of
    the label. A photo's rank is the better of its two.

    Doubt is the margin of confident learning: the probability of the given label less that of the
    likeliest other one, averaged over the zero-shot network and a logistic regression on its
    features, fitted without the photo and its group. Unlikeness is the cosine distance to the
    tenth nearest photo of the same label outside the group.

    Source: Northcutt, Jiang and Chuang, Confident learning: estimating uncertainty in dataset
    labels, JAIR 70 (2021), 1373-1411.

    Args:
        features: `(N, D)` of a network that has not been trained on these labels.
        labels: `(N,)`.
        groups: `(N,)` of near-duplicates.
        zero_shot: `(N, K + 1)`, that network's own probabilities.
        names: of the labels.
        seed: of the folds.

    Returns:
        Columns `photo` (row in the arguments), `label`, `suggested` (the likeliest label), `margin`
        (-1 to 1; below 0 another label is likelier), `unlikeness` (standard deviations above the
        median of its label) and `reason`, a sentence.
    """
    probabilities = (zero_shot + _out_of_fold(features, labels, groups, len(names), seed)) / 2
    photos = np.arange(len(labels))
    rivals = probabilities.copy()
    rivals[photos, labels] = -1
    margin = probabilities[photos, labels] - rivals.max(axis=1)
    unlikeness = _unlikeness(features, labels, groups)
    margin_rank, unlikeness_rank = _ranks(margin), _ranks(-unlikeness)
    words = [listed([name]) for name in names]
    reasons = [
        f"labeled {words[label]}, but {words[rival]} is {'likelier' if exceeds else 'close'}"
        if by_doubt
        else f"unlike other photos labeled {words[label]}"
        for label, rival, exceeds, by_doubt in zip(
            labels, rivals.argmax(axis=1), margin < 0, margin_rank <= unlikeness_rank, strict=True
        )
    ]
    table = pd.DataFrame(
        {
            "photo": photos,
            "label": np.take(names, labels),
            "suggested": np.take(names, probabilities.argmax(axis=1)),
            "margin": margin,
            "unlikeness": unlikeness,
            "reason": reasons,
        }
    )
    ranks = np.sort([margin_rank, unlikeness_rank], axis=0)
    return table.iloc[np.lexsort((photos, *ranks[::-1]))].reset_index(drop=True)


def _out_of_fold(
    features: FloatArray, labels: IntArray, groups: IntArray, label_count: int, seed: int
) -> FloatArray:
    """Return `(N, label_count)` probabilities of regressions fitted on the other folds."""
    unit = unit_length(features)
    probabilities = np.zeros((len(labels), label_count))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for train, test in folds.split(unit, labels, groups):
        regression = LogisticRegression(C=10, max_iter=1000).fit(unit[train], labels[train])
        probabilities[np.ix_(test, regression.classes_)] = regression.predict_proba(unit[test])
    return probabilities


def _unlikeness(features: FloatArray, labels: IntArray, groups: IntArray) -> FloatArray:
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


def _ranks(values: FloatArray) -> IntArray:
    """Return the rank of each value, the smallest first, from 0."""
    return np.argsort(np.argsort(values, kind="stable"), kind="stable")
