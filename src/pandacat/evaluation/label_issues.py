"""Photos whose label is probably wrong, and pictures that are no photo of an animal at all."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from pandacat.labels import LABELS
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
    seed: int,
) -> pd.DataFrame:
    """Return all photos, the most suspicious first.

    Two lists are made and merged like a zip: photos whose label the network doubts, and photos
    unlike the others of their label. A photo's place is the better of its two.

    The doubt is the margin of confident learning: the probability of the given label less that of
    the likeliest other one, averaged over the zero-shot network and a logistic regression on its
    features that has seen neither the photo nor its group. Unlikeness is the cosine distance to the
    tenth nearest photo of the same label outside the group.

    Source: Northcutt, Jiang and Chuang, Confident learning: estimating uncertainty in dataset
    labels, JAIR 70 (2021), 1373-1411.

    Args:
        features: `(N, D)` of a network that has not been trained on these labels.
        labels: `(N,)`.
        groups: `(N,)` of near-duplicates.
        zero_shot: `(N, 3)`, that network's own probabilities.
        seed: of the folds.

    Returns:
        Columns `photo` (row in the arguments), `label`, `suggested` (the likeliest label), `margin`
        (-1 to 1; below 0 another label is likelier), `unlikeness` (standard deviations above the
        median of its label) and `reason`, a sentence.
    """
    probabilities = (zero_shot + _out_of_fold(features, labels, groups, seed)) / 2
    photos = np.arange(len(labels))
    own = probabilities[photos, labels]
    rivals = probabilities.copy()
    rivals[photos, labels] = -1
    margin = own - rivals.max(axis=1)
    unlikeness = _unlikeness(features, labels, groups)
    place_of_margin, place_of_unlikeness = _places(margin), _places(-unlikeness)
    reasons = [
        f"labeled {LABELS[label]}, but {LABELS[rival]} is {'likelier' if likelier else 'close'}"
        if doubted
        else f"unlike other photos labeled {LABELS[label]}"
        for label, rival, likelier, doubted in zip(
            labels,
            rivals.argmax(axis=1),
            margin < 0,
            place_of_margin <= place_of_unlikeness,
            strict=True,
        )
    ]
    table = pd.DataFrame(
        {
            "photo": photos,
            "label": [LABELS[label] for label in labels],
            "suggested": [LABELS[label] for label in probabilities.argmax(axis=1)],
            "margin": margin,
            "unlikeness": unlikeness,
            "reason": reasons,
        }
    )
    place = np.minimum(place_of_margin, place_of_unlikeness)
    other_place = np.maximum(place_of_margin, place_of_unlikeness)
    return table.iloc[np.lexsort((photos, other_place, place))].reset_index(drop=True)


def _out_of_fold(features: FloatArray, labels: IntArray, groups: IntArray, seed: int) -> FloatArray:
    unit = unit_length(features)
    probabilities = np.zeros((len(labels), len(LABELS)))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for learn, test in folds.split(unit, labels, groups):
        regression = LogisticRegression(C=10, max_iter=1000).fit(unit[learn], labels[learn])
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


def _places(values: FloatArray) -> IntArray:
    """Return the rank of each value, the smallest first, from 0."""
    return np.argsort(np.argsort(values, kind="stable"), kind="stable")
