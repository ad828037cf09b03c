"""Whether one network is better than another, judged on the same photos."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from pandacat.metrics.arrays import BoolArray, FloatArray, IntArray
from pandacat.metrics.intervals import RESAMPLES, Interval, bootstrap

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class McNemar:
    """On how many photos only one of two networks is right, and how likely that is by chance."""

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first_right: BoolArray, second_right: BoolArray) -> McNemar:
    """Return McNemar's test, exact and two-sided, of `(N,)` right answers on the same photos.

    Source: Q. McNemar, Note on the sampling error of the difference between correlated proportions
    or percentages, Psychometrika 12 (1947), 153-157; exact by the binomial distribution.
    """
    only_first = int(np.sum(first_right & ~second_right))
    only_second = int(np.sum(second_right & ~first_right))
    return McNemar(only_first, only_second, _p_value(only_first, only_second))


def _p_value(only_first: int, only_second: int) -> float:
    differing = only_first + only_second
    return float(binomtest(only_first, differing).pvalue) if differing else 1.0


def paired_difference(
    first: FloatArray | BoolArray,
    second: FloatArray | BoolArray,
    strata: IntArray,
    seed: int,
    resamples: int = RESAMPLES,
) -> Interval:
    """Return the mean of `first` less that of `second`, with its paired bootstrap interval.

    Args:
        first: `(N,)`, of each photo, be it right answers or losses.
        second: `(N,)`, of the same photos.
        strata: `(N,)`, kept in size in each resample; the labels as a rule.
        seed: of the resampling.
        resamples: how many.
    """
    differences = first.astype(float) - second.astype(float)
    return bootstrap(lambda photos: float(differences[photos].mean()), strata, seed, resamples)


def smallest_detectable_drop(photos: int, newly_right: int = 0) -> float:
    """Return the smallest drop in accuracy that `mcnemar` tells from chance on so many photos.

    Photos that turn from right to wrong are counted up until the exact two-sided p-value is below
    5 %. With no photo newly right that takes six, whatever the size of the set.

    Args:
        photos: in the test set.
        newly_right: how many turn from wrong to right at the same time, and so blur the picture.

    Returns:
        The net drop as a share in 0…1; above 1 where the set is too small to show any.
    """
    newly_wrong = newly_right
    while _p_value(newly_wrong, newly_right) >= SIGNIFICANCE:
        newly_wrong += 1
    return (newly_wrong - newly_right) / photos
