"""The pretrained network with one constant off the logit of `other`: what fine-tuning must beat."""

import numpy as np

from pandacat.labels import label_groups
from pandacat.metrics.open_set import threshold_at_recall
from pandacat.models.probabilities import pool_crops
from pandacat.models.saved import SavedModel
from pandacat.training.calibration import fit_temperature

RECALL = 0.95
"""The usual operating point, at which false-positive rates are compared, too."""
ROUNDING = 1e-4
"""So much more, lest the last photo be lost to the precision of the bias."""


def tune_threshold(
    model: SavedModel, log_probabilities: np.ndarray, classes: np.ndarray
) -> SavedModel:
    """Return the pretrained model with a constant off the logit of `other`, and a temperature.

    No weight is trained. The constant is such that `RECALL` of the in-distribution validation
    photos are not called `other`, given the log-probabilities `(N, V, K + 1)` of their crops and
    the labels `(N,)`. Photos of `other` have no say in it: which kinds there are differs from one
    data set to the next. The temperature, which changes no label, is that of `fit_temperature`.
    """
    logits = pool_crops(log_probabilities)
    odds = logits[:, :-1].max(axis=1) - logits[:, -1]
    constant = ROUNDING - threshold_at_recall(odds[classes < logits.shape[1] - 1], RECALL)
    logits[:, -1] -= constant
    head_bias = model.tensors["head.bias"].copy()
    of_other = label_groups(model.description.label_classes, len(head_bias))[-1]
    head_bias[of_other] -= constant
    return model.described(temperature=fit_temperature(logits, classes)).with_tensors(
        {"head.bias": head_bias}
    )
