"""Two networks compared on the same photos."""

from dataclasses import dataclass

import numpy as np

from pandacat.metrics.intervals import Interval, bootstrap

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class McNemar:
    """On how many photos only one of two networks is correct, and the p-value of the difference."""

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first_correct: np.ndarray, second_correct: np.ndarray) -> McNemar:
    """Return McNemar's test, exact and two-sided, of `(N,)` correct predictions of the same photos.

    Source: Q. McNemar, Note on the sampling error of the difference between correlated proportions
    or percentages, Psychometrika 12 (1947), 153-157; exact by the binomial distribution.
    """
    only_first = int(np.sum(first_correct & ~second_correct))
    only_second = int(np.sum(second_correct & ~first_correct))
    return McNemar(only_first, only_second, _p_value(only_first, only_second))


def _p_value(only_first: int, only_second: int) -> float:
    """Return the share of all ways to split the differing photos that are as uneven or more."""
    differing = only_first + only_second
    ways = as_uneven = 1
    for count in range(min(only_first, only_second)):
        ways = ways * (differing - count) // (count + 1)
        as_uneven += ways
    return min(1.0, 2 * as_uneven / 2**differing)


def paired_difference(
    first: np.ndarray, second: np.ndarray, strata: np.ndarray, seed: int
) -> Interval:
    """Return the mean of `first` less that of `second`, with its paired bootstrap interval.

    Both are `(N,)`, of the same photos, such as losses or whether predictions are correct. Each of
    the `(N,)` strata, usually the labels, has its size in every resample.
    """
    differences = first.astype(float) - second.astype(float)
    return bootstrap(lambda photos: float(differences[photos].mean()), strata, seed)


def smallest_detectable_drop(photos: int, newly_correct: int = 0) -> float:
    """Return the smallest drop in accuracy that is significant by `mcnemar` on so many photos.

    Photos that turn from correct to wrong are counted up until the exact two-sided p-value is
    below 5 %. With no photo newly correct that takes six, whatever the size of the set. The net
    drop is a share in 0…1, above 1 where the set is too small to show any.
    """
    newly_wrong = newly_correct
    while _p_value(newly_wrong, newly_correct) >= SIGNIFICANCE:
        newly_wrong += 1
    return (newly_wrong - newly_correct) / photos
