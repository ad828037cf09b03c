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
    names: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """Return all photos, the most suspicious first.

    First come the photos whose label is probably wrong, then all others, in two rankings that are
    interleaved: by doubt about the label, and by unlikeness to the other photos of the label. Their
    rank is the better of the two.

    Doubt is the margin of confident learning: the probability of the given label less that of the
    likeliest other one, each less its class's threshold, its mean over the photos that have the
    label. So a label that is hard to tell is not suspected for that. A label is probably wrong
    where another one reaches its threshold and exceeds it by more. The probabilities are those of a
    logistic regression on the features, `(N, D)`, fitted without the photo and its group.
    Unlikeness is the cosine distance to the tenth nearest photo of the same label outside the
    group. Groups, `(N,)`, are of near-duplicates, labels, `(N,)`, indices into `names`.

    Source: Northcutt, Jiang and Chuang, Confident learning: estimating uncertainty in dataset
    labels, JAIR 70 (2021), 1373-1411.

    Returns:
        Columns `photo` (row in the arguments), `label`, `suggested` (the label of the greatest
        probability less threshold), `margin` (below 0 another label is likelier), `unlikeness`
        (standard deviations above the median of its label) and `reason`, a sentence.
    """
    photos = np.arange(len(labels))
    excess = _excess(features, labels, groups, len(names), seed)
    rivals = excess.copy()
    rivals[photos, labels] = -np.inf
    margin = excess[photos, labels] - rivals.max(axis=1)
    wrong = (margin < 0) & (rivals.max(axis=1) >= 0)
    unlikeness = _unlikeness(features, labels, groups)
    ranks = rankdata([margin, -unlikeness], method="ordinal", axis=1)
    words = [listed([name]) for name in names]
    reasons = [
        f"labeled {words[label]}, but {words[other]} is {'likelier' if exceeds else 'close'}"
        if surely or doubted
        else f"unlike other photos labeled {words[label]}"
        for label, other, exceeds, surely, doubted in zip(
            labels, rivals.argmax(axis=1), margin < 0, wrong, ranks[0] <= ranks[1], strict=True
        )
    ]
    table = pd.DataFrame(
        {
            "photo": photos,
            "label": np.take(names, labels),
            "suggested": np.take(names, excess.argmax(axis=1)),
            "margin": margin,
            "unlikeness": unlikeness,
            "reason": reasons,
        }
    )
    best = np.where(wrong, ranks[0], ranks.min(axis=0))
    order = np.lexsort((photos, ranks.max(axis=0), best, ~wrong))
    return table.iloc[order].reset_index(drop=True)


def _excess(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, label_count: int, seed: int
) -> np.ndarray:
    """Return out-of-fold probabilities less thresholds, `(N, K + 1)`; -inf for absent labels."""
    out_of_fold = cross_val_predict(
        LogisticRegression(C=10, max_iter=1000),
        unit_length(features),
        labels,
        groups=groups,
        cv=StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed),
        method="predict_proba",
    )
    present = np.unique(labels)
    thresholds = [out_of_fold[labels == label, place].mean() for place, label in enumerate(present)]
    excess = np.full((len(labels), label_count), -np.inf)
    excess[:, present] = out_of_fold - thresholds
    return excess


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
