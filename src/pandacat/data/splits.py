"""Splits for training, validation and testing; near-duplicates stay in one split."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

SPLITS = ("train", "validation", "test")


def assign_splits(
    labels: Sequence[str] | pd.Series,
    groups: np.ndarray,
    *,
    validation_share: float,
    test_share: float,
    seed: int,
    keys: Sequence[str] | pd.Series,
) -> list[str]:
    """Return the split of each photo: groups stay whole, labels are stratified.

    The groups of each label are ordered by a hash of `seed` and of `keys`, the hash of each
    photo's content, independent of names and positions; the first fill the test split, the next
    validation, the rest is for training. So a photo that is added moves few others.
    """
    photos = pd.DataFrame({"label": np.asarray(labels), "group": groups, "key": np.asarray(keys)})
    by_group = photos.groupby("group").agg(
        label=("label", "first"), key=("key", "min"), size=("key", "size")
    )
    hashes = [hashlib.sha256(f"{seed}:{key}".encode()).hexdigest() for key in by_group.key]
    ordered = by_group.iloc[np.argsort(hashes)]
    sizes = ordered.groupby("label")["size"]
    share_before = (sizes.cumsum() - ordered["size"]) / sizes.transform("sum")
    split = pd.Series("train", index=ordered.index)
    split[share_before < test_share + validation_share] = "validation"
    split[share_before < test_share] = "test"
    return photos.group.map(split).tolist()
