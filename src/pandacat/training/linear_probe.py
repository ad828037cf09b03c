"""The usual recipe, to compare with: the 1,000 classes thrown away, two new outputs in their place.

Such a network has no way to say "other". It is saved like all others, so that anybody can try it.
"""

from dataclasses import replace

import numpy as np
from sklearn.linear_model import LogisticRegression

from pandacat.labels import IMAGENET_CLASS_COUNT, IMAGENET_CLASSES, LABELS
from pandacat.models.saved import SavedModel

NEVER = -1e4
"""Logit of the classes that were thrown away: their probability is 0."""

ROUNDS = 1000


def train(
    untouched: SavedModel, features: np.ndarray, classes: np.ndarray, *, trained_on: str, title: str
) -> SavedModel:
    """Return the pretrained network with two outputs, fitted to pandas and cats alone.

    They are a logistic regression on the features of the frozen backbone. The head keeps the shape
    of 1,000 classes: one that means panda, one that means cat, and the others are never chosen.

    Args:
        untouched: the pretrained network.
        features: `(N, D)` of training photos, the center crop of each.
        classes: `(N,)`, indices into `LABELS`; photos of `other` are left out.
        trained_on: identifies the photos, as in `Description`.
        title: of the photos, for a reader.
    """
    known = classes != LABELS.index("other")
    cats = classes[known] == LABELS.index("cat")
    fitted = LogisticRegression(max_iter=ROUNDS).fit(features[known], cats)
    panda, cat = (IMAGENET_CLASSES[label][0] for label in ("panda", "cat"))
    weight = np.zeros((IMAGENET_CLASS_COUNT, features.shape[1]), np.float32)
    bias = np.full(IMAGENET_CLASS_COUNT, NEVER, np.float32)
    weight[cat], bias[cat] = fitted.coef_[0], fitted.intercept_[0]
    bias[panda] = 0
    return SavedModel(
        replace(untouched.description, crops="center", trained_on=trained_on, title=title),
        untouched.tensors | {"head.weight": weight, "head.bias": bias},
    )
