"""The linear probe: a logistic regression on frozen features, and nothing else.

It is the usual recipe, to compare with. The 1,000 classes are thrown away, so it can't say `other`.
It is saved like all other models, so that anybody can try it.
"""

from dataclasses import replace

import numpy as np
from sklearn.linear_model import LogisticRegression

from pandacat.models.saved import SavedModel

NEVER = -1e4
"""Logit of the classes that were thrown away: their probability is 0."""

MAX_ITERATIONS = 1000


def train_linear_probe(
    pretrained: SavedModel,
    features: np.ndarray,
    classes: np.ndarray,
    *,
    trained_on: str,
    title: str,
) -> SavedModel:
    """Return the pretrained network with one output for each in-distribution label.

    The head keeps its shape: one row that means each label, and the others are never chosen. With a
    single label there is nothing to tell apart, and it is always predicted.

    Args:
        pretrained: the network with its ImageNet head.
        features: `(N, D)` of the center crop of each training photo.
        classes: `(N,)`, indices of the labels; photos of `other` are left out.
        trained_on: identifies the photos, as in `Description`.
        title: of the photos, for a reader.
    """
    label_classes = pretrained.description.label_classes
    rows = [classes[0] for classes in label_classes]
    weight = np.zeros_like(pretrained.tensors["head.weight"])
    bias = np.full_like(pretrained.tensors["head.bias"], NEVER)
    bias[rows[0]] = 0
    in_distribution = classes < len(label_classes)
    if len(label_classes) > 1:
        regression = LogisticRegression(max_iter=MAX_ITERATIONS)
        regression.fit(features[in_distribution], classes[in_distribution])
        fitted = rows[1:] if len(rows) == 2 else rows  # of two, one is fitted and the other is 0
        weight[fitted], bias[fitted] = regression.coef_, regression.intercept_
    return SavedModel(
        replace(pretrained.description, crops="center", trained_on=trained_on, title=title),
        pretrained.tensors | {"head.weight": weight, "head.bias": bias},
    )
