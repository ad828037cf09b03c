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


def whole_groups(groups: np.ndarray, given: pd.Series) -> pd.Series:
    """Return the splits that an archive gives its photos, by name of the split; NaN is `train`.

    A group that lies in several goes as a whole to the one that is held out: test, then validation.
    """
    rank = given.map(SPLITS.index, na_action="ignore").fillna(0)
    return rank.groupby(groups).transform("max").map(lambda place: SPLITS[int(place)])


def complete_splits(
    labels: pd.Series,
    groups: np.ndarray,
    given: pd.Series,
    *,
    validation_share: float,
    test_share: float,
    seed: int,
    keys: pd.Series,
) -> list[str]:
    """Return the splits `given`; one that is missing is taken from training photos.

    That is done as in `assign_splits`.
    """
    training = (given == "train").to_numpy()
    taken = assign_splits(
        labels[training],
        groups[training],
        validation_share=0 if (given == "validation").any() else validation_share,
        test_share=0 if (given == "test").any() else test_share,
        seed=seed,
        keys=keys[training],
    )
    return given.mask(training, pd.Series(taken, index=given.index[training])).tolist()
