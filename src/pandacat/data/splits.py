"""Near-duplicates share a group, and a group is never divided between splits."""

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def assign_splits(
    labels: Sequence[str] | pd.Series,
    groups: np.ndarray,
    *,
    validation_share: float,
    test_share: float,
    seed: int,
    keys: Sequence[str] | pd.Series,
) -> list[Split]:
    """Return the split of each photo; groups stay whole, labels are spread evenly.

    The groups of each label are put into an order drawn from `seed` and from `keys` (the hash of
    each photo's content), not from names or positions; the first fill the test split, the next
    validation, the rest is for training. So a photo that is added moves few others.
    """
    _, first, group_of, sizes = np.unique(
        groups, return_index=True, return_inverse=True, return_counts=True
    )
    label_of_group = np.array(labels, dtype="U")[first]
    keys_as_bytes = np.array(keys, dtype="S")
    by_group_and_key = np.lexsort([keys_as_bytes, group_of])
    least_keys = keys_as_bytes[by_group_and_key[sizes.cumsum() - sizes]]
    draws = np.fromiter((_draw(seed, key) for key in least_keys), np.uint64, len(first))
    split_of_group = np.full(len(first), "train", dtype=object)
    for label in set(label_of_group):
        of_label = np.flatnonzero(label_of_group == label)
        ordered = of_label[np.argsort(draws[of_label])]
        placed = sizes[ordered].cumsum()
        share = (placed - sizes[ordered]) / placed[-1]
        split_of_group[ordered[share < test_share + validation_share]] = "validation"
        split_of_group[ordered[share < test_share]] = "test"
    splits: list[Split] = split_of_group[group_of].tolist()
    return splits


def _draw(seed: int, key: bytes) -> int:
    """Return a number below 2^64 that nobody could foresee."""
    return int.from_bytes(hashlib.sha256(b"%d:%b" % (seed, key)).digest()[:8], "big")
