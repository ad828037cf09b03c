"""The pretrained network with one constant off the logit of `other`: what fine-tuning must beat."""

import numpy as np

from pandacat.labels import label_groups
from pandacat.models.probabilities import pool_crops
from pandacat.models.saved import SavedModel
from pandacat.training.calibration import fit_temperature, offset_at_recall

RECALL = 0.95
"""The usual operating point, at which false-positive rates are compared, too."""


def tune_threshold(
    model: SavedModel, log_probabilities: np.ndarray, classes: np.ndarray
) -> SavedModel:
    """Return the pretrained model with a constant off the logit of `other`, and a temperature.

    No weight is trained. The constant is that of `offset_at_recall` for `RECALL` of the validation
    photos, given the log-probabilities `(N, V, K + 1)` of their crops and the labels `(N,)`. The
    temperature, which changes no label, is that of `fit_temperature`.
    """
    logits = pool_crops(log_probabilities)
    constant = offset_at_recall(logits, classes, RECALL)
    logits[:, -1] -= constant
    head_bias = model.tensors["head.bias"].copy()
    of_other = label_groups(model.description.label_classes, len(head_bias))[-1]
    head_bias[of_other] -= constant
    return model.described(temperature=fit_temperature(logits, classes)).with_tensors(
        {"head.bias": head_bias}
    )
