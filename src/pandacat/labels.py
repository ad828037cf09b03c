"""The three answers, and the ImageNet classes that mean the first two."""

from typing import Literal

Label = Literal["panda", "cat", "other"]

LABELS: tuple[Label, ...] = ("panda", "cat", "other")
"""Order of every probability vector and confusion matrix. `other` is everything that is neither."""

IMAGENET_CLASS_COUNT = 1000

IMAGENET_CLASSES: dict[Label, tuple[int, ...]] = {
    "panda": (388,),
    "cat": (281, 282, 283, 284, 285),
}
"""ILSVRC-2012 indices: giant panda; tabby, tiger, Persian, Siamese and Egyptian cat."""


def label_of_imagenet_class() -> list[int]:
    """Return, for each of the 1,000 ImageNet classes, the index in `LABELS` that it belongs to."""
    indices = [LABELS.index("other")] * IMAGENET_CLASS_COUNT
    for label, classes in IMAGENET_CLASSES.items():
        for index in classes:
            indices[index] = LABELS.index(label)
    return indices
