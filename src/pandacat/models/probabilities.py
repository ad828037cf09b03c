"""From the logits of a head to the probabilities of labels. NumPy only."""

import numpy as np

from pandacat.labels import LabelClasses, label_groups


def label_log_probabilities(logits: np.ndarray, label_classes: LabelClasses) -> np.ndarray:
    """Return `(…, K + 1)` log-probabilities of the labels for `(…, C)` logits of a head.

    Each label's probability is the sum over the classes that mean it; `other`, the last, gets the
    sum over all that mean none.
    """
    log_probabilities = log_softmax(logits)
    return np.stack(
        [
            np.logaddexp.reduce(log_probabilities[..., rows], axis=-1)
            for rows in label_groups(label_classes, logits.shape[-1])
        ],
        axis=-1,
    )


def pool_crops(log_probabilities: np.ndarray) -> np.ndarray:
    """Return `(…, K + 1)` logits of photos from the log-probabilities `(…, V, K + 1)` of crops.

    The odds of each label against `other` are averaged over the crops: a crop that surely holds the
    animal outweighs many that see none of it. The logit of `other` is 0. A single crop keeps its
    probabilities.
    """
    odds = log_probabilities - log_probabilities[..., -1:]
    pooled: np.ndarray = np.logaddexp.reduce(odds, axis=-2) - np.log(odds.shape[-2])
    return pooled


def class_probabilities(
    logits: np.ndarray, label_classes: LabelClasses, label_probabilities: np.ndarray
) -> np.ndarray:
    """Return the probabilities `(C,)` of the classes of a head for one photo.

    Those of each label's classes sum to its probability in `label_probabilities` `(K + 1,)`, which
    is pooled and calibrated; they share it in the proportions of their odds against `other`, which
    are averaged over the crops as in `pool_crops`, whose logits are `(V, C)`.
    """
    others = label_log_probabilities(logits, label_classes)[:, -1:]
    odds = np.logaddexp.reduce(log_softmax(logits) - others, axis=0)
    probabilities = np.empty_like(odds)
    groups = label_groups(label_classes, len(odds))
    for probability, rows in zip(label_probabilities, groups, strict=True):
        probabilities[rows] = probability * softmax(odds[rows])
    return probabilities


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities along the last axis."""
    probabilities: np.ndarray = np.exp(log_softmax(logits))
    return probabilities


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return log-probabilities along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
