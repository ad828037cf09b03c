"""How much a photo resembles training photos of the labels, which counts against `other`.

A network is sure of many photos that resemble nothing it was trained on. So the cosine between the
features of a photo's best crop and those of its k-th nearest training photo, scaled and shifted, is
added to its log-odds of all labels against `other` (Sun et al., Out-of-distribution detection with
deep nearest neighbors, ICML 2022; the sum with the log-odds is our own). NumPy only.
"""

import numpy as np

from pandacat.metrics.neighbors import unit_length
from pandacat.models.saved import OpenSetScore

BANK = "neighbors.features"
"""The tensor `(M, D) float16` of a saved model: features of training photos, of length 1."""


def similarity(features: np.ndarray, bank: np.ndarray, neighbors: int) -> np.ndarray:
    """Return `(…,)`: the cosine of the features `(…, D)` of crops with their k-th nearest row.

    Where the bank `(M, D)` has fewer rows than k (`neighbors`), the farthest counts.
    """
    cosines = unit_length(features) @ bank.T
    rank = min(neighbors, len(bank))
    return np.asarray(np.partition(cosines, -rank, axis=-1)[..., -rank])


def add_score(
    logits: np.ndarray, features: np.ndarray, bank: np.ndarray | None, score: OpenSetScore
) -> np.ndarray:
    """Return the logits `(…, K + 1)` of photos whose crops have the features `(…, V, D)`.

    All but those of `other`, the last, have the score of the best crop added.

    Raises:
        ValueError: the score needs neighbors, and there are none.
    """
    added = np.full(logits.shape[:-1], score.offset)
    if score.scale:
        if bank is None:
            raise ValueError(f"it lacks {BANK}")
        added += score.scale * similarity(features, bank, score.neighbors).max(axis=-1)
    return np.concatenate([logits[..., :-1] + added[..., None], logits[..., -1:]], axis=-1)
