"""A pretrained network without a backbone to speak of: a description and a head."""

from typing import Any

import numpy as np

from pandacat.config.photos import ImageSpec
from pandacat.labels import IMAGENET_CLASS_COUNT
from pandacat.models.saved import Description, SavedModel

LABEL_CLASSES = ((388,), (281, 282, 283, 284, 285))
"""Of panda and cat."""


def with_head(weight: np.ndarray, bias: np.ndarray | None = None, **described: Any) -> SavedModel:
    """Return a model with this head `(1000, D)`; `described` replaces parts of its description."""
    about = {"labels": ("panda", "cat", "other"), "label_classes": LABEL_CLASSES, "crops": "center"}
    description = Description(
        kind="pretrained",
        backbone="efficientnet_lite0",
        input_px=224,
        temperature=1.0,
        image=ImageSpec(384, 92, 178),
        trained_on="ImageNet",
        title="ImageNet",
        architecture={},
        **(about | described),
    )
    bias = np.zeros(IMAGENET_CLASS_COUNT) if bias is None else bias
    head = {"head.weight": weight.astype(np.float32), "head.bias": bias.astype(np.float32)}
    return SavedModel(description, {"backbone.x": np.ones(2, np.float32)} | head)
