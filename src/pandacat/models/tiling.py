"""A second look at a photo, in tiles, for an animal that is small in its scene.

In the first look, some crops show such an animal small and most don't show it: the photo is called
`other`. Where no other animal is evident either, the photo is cut into tiles (sliced inference:
Akyon, Altinuc and Temizel, "Slicing aided hyper inference and fine-tuning for small object
detection", ICIP 2022). The odds of a label are averaged over the tiles, as they are over crops, so
that a single tile has to be very sure. They raise its log-odds, unless a tile resembles another
animal as much: parts of a raccoon can look like a cat, but the raccoon's head does not. NumPy only.
"""

import numpy as np

from pandacat.config.fields import CropScheme
from pandacat.labels import IMAGENET_ANIMAL_COUNT, LabelClasses
from pandacat.models.probabilities import pool_crops

SCHEME: CropScheme = "tiles"
"""Of `data.crops`."""


def other_animals(label_classes: LabelClasses) -> list[int]:
    """Return the rows of a head that are ImageNet's animals and mean `other`."""
    own = {row for rows in label_classes for row in rows}
    return [row for row in range(IMAGENET_ANIMAL_COUNT) if row not in own]


def is_doubtful(
    logits: np.ndarray, class_probabilities: np.ndarray, rows: list[int], largest: float
) -> np.ndarray:
    """Return for which photos `(…,)` `other` is most probable, though no other animal is evident.

    `logits` `(…, K + 1)` are of photos, `class_probabilities` `(…, V, C)` of their crops, over
    which the probability of the animals in `rows` is averaged; `largest` is too much of it.
    """
    animals = class_probabilities[..., rows].sum(axis=-1).mean(axis=-1)
    return np.asarray((logits[..., :-1].max(axis=-1) < logits[..., -1]) & (animals < largest))


def refined(
    logits: np.ndarray,
    tile_logits: np.ndarray,
    tile_class_logits: np.ndarray,
    rows: list[int],
) -> np.ndarray:
    """Return the logits `(…, K + 1)` of photos after the second look.

    Those of labels may rise to the log of their mean odds over the tiles, whose logits are
    `(…, T, K + 1)`, less the highest log-odds of the animals in `rows`, where these are more
    probable than all else. The logits of the head's classes for the tiles, `(…, T, C)`, say how
    probable they are.
    """
    rest = np.setdiff1d(np.arange(tile_class_logits.shape[-1]), rows)
    rivals = np.logaddexp.reduce(tile_class_logits[..., rows], axis=-1)
    rivals = rivals - np.logaddexp.reduce(tile_class_logits[..., rest], axis=-1)
    least = np.maximum(rivals.max(axis=-1), 0)
    found = pool_crops(tile_logits) - least[..., None]
    labels = np.maximum(logits[..., :-1], found[..., :-1])
    return np.concatenate([labels, logits[..., -1:]], axis=-1)
