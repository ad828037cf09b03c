"""The linear probe: a logistic regression on frozen features, to compare with.

The ImageNet classes are discarded, so it never predicts `other`.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression

from pandacat.models.saved import SavedModel

DISCARDED = -1e4
"""Logit of the discarded classes: their probability is 0."""

MAX_ITERATIONS = 1000


def train_linear_probe(
    model: SavedModel,
    features: np.ndarray,
    classes: np.ndarray,
    *,
    trained_on: str,
    title: str,
    drawn: bool,
) -> SavedModel:
    """Return the pretrained model with one output for each in-distribution label.

    It is fitted on the features `(N, D)` of the center crops of the training photos and their
    labels `(N,)`; photos of `other` are left out. The head keeps its shape: one row means each
    label, and the others have probability 0. A single label is always predicted. `trained_on`,
    `title` and `drawn` are those of `Description`.
    """
    rows = [classes[0] for classes in model.description.label_classes]
    weight = np.zeros_like(model.tensors["head.weight"])
    bias = np.full_like(model.tensors["head.bias"], DISCARDED)
    bias[rows[0]] = 0
    if len(rows) > 1:
        regression = LogisticRegression(max_iter=MAX_ITERATIONS)
        in_distribution = classes < len(rows)
        regression.fit(features[in_distribution], classes[in_distribution])
        fitted = rows[1:] if len(rows) == 2 else rows  # of two, one is fitted and the other is 0
        weight[fitted], bias[fitted] = regression.coef_, regression.intercept_
    described = model.described(trained_on=trained_on, title=title, drawn=drawn)
    return described.with_tensors({"head.weight": weight, "head.bias": bias})
