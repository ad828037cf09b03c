"""Rows of the head for labels that ImageNet lacks, fitted on the training photos."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

from pandacat.models.saved import SavedModel

L2 = 1.0
"""Weight of half the squared norm of a row, as scikit-learn's `LogisticRegression` has it."""


def add_label_rows(model: SavedModel, features: np.ndarray, classes: np.ndarray) -> SavedModel:
    """Return the model with a row in its head for each label without an ImageNet class.

    The order of the labels has no influence on the rows: each is fitted beside the ImageNet classes
    alone.

    Args:
        model: the pretrained network.
        features: `(N, D)` of the center crop of each training photo.
        classes: `(N,)`, indices of their labels.
    """
    if all(model.description.label_classes):
        return model
    weight, bias = model.tensors["head.weight"], model.tensors["head.bias"]
    offsets = logsumexp(features @ weight.T + bias, axis=1)
    label_classes = list(model.description.label_classes)
    for label, rows in enumerate(label_classes):
        if not rows:
            label_classes[label] = (len(bias),)
            row, row_bias = fit_row(features, classes == label, offsets)
            weight, bias = np.vstack([weight, row]), np.append(bias, row_bias)
    head = {"head.weight": weight, "head.bias": bias}
    return SavedModel(model.description, model.tensors | head).described(
        label_classes=tuple(label_classes)
    )


def fit_row(
    features: np.ndarray, is_label: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.float32]:
    """Return weights `(D,) float32` and bias of an L2-regularized logistic regression.

    The probability of the label is sigmoid(w · f + b - offset): with the log-sum-exp of all other
    logits as the offset, that of a softmax over them and the row. Photos of the label and all
    others count the same, however many there are.
    """
    features = features.astype(np.float64)
    counts = np.bincount(is_label, minlength=2)
    weights = len(is_label) / (2 * counts[is_label.astype(int)])

    def loss_and_gradient(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        row, bias = parameters[:-1], parameters[-1]
        margins = features @ row + bias - offsets
        losses = np.logaddexp(0, np.where(is_label, -margins, margins))
        errors = weights * (expit(margins) - is_label)
        gradient = np.append(errors @ features + L2 * row, errors.sum())
        return float(weights @ losses + L2 / 2 * row @ row), gradient

    start = np.append(np.zeros(features.shape[1]), offsets.mean())
    best = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B").x.astype(np.float32)
    return best[:-1], best[-1]
