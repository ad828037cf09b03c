"""Estimates with 95 % confidence intervals."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

LEVEL = 0.95

FEWEST_CLUSTERS = 3
"""In a stratum, so that its clusters and not its photos are resampled."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the bounds of its confidence interval."""

    value: float
    low: float
    high: float


def wilson(share: float, trials: float, level: float = LEVEL) -> Interval:
    """Return `share` of `trials` with Wilson's score interval, which has a width at 0 and 1, too.

    `trials` need not be whole, so that it can be an effective number.

    Source: E. B. Wilson, Probable inference, JASA 22 (1927), 209-212; recommended by Brown, Cai and
    DasGupta, Interval estimation for a binomial proportion, Statistical Science 16 (2001), 101-133.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    center = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    reach = z * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    reach /= 1 + z**2 / trials
    low, high = max(0.0, min(share, center - reach)), min(1.0, max(share, center + reach))
    return Interval(share, low, high)


def proportion(hits: np.ndarray) -> Interval:
    """Return the mean of `(N,)` hits (1) and misses (0) with its Wilson interval."""
    return wilson(float(np.mean(hits)), len(hits))


def mean_of_independent(estimates: Sequence[Interval]) -> Interval:
    """Return the mean of estimates from different photos, such as the recalls of labels.

    Source: G. Y. Zou and A. Donner, Construction of confidence limits about effect measures: a
    general approach, Statistics in Medicine 27 (2008), 1693-1702.
    """
    value = sum(each.value for each in estimates) / len(estimates)
    below = math.hypot(*(each.value - each.low for each in estimates)) / len(estimates)
    above = math.hypot(*(each.high - each.value for each in estimates)) / len(estimates)
    return Interval(value, max(0.0, value - below), min(1.0, value + above))


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    strata: np.ndarray,
    seed: int,
    resamples: int = 1000,
) -> Interval:
    """Return `statistic` of all photos with its stratified percentile bootstrap interval.

    It takes `(N,)` indices of photos, with repeats, and returns a finite number. Each resample has
    as many photos of each of the `(N,)` strata as there are.

    Source: Efron and Tibshirani, An introduction to the bootstrap (1993), chapter 13.
    """
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    values = [
        statistic(np.concatenate([generator.choice(group, len(group)) for group in members]))
        for _ in range(resamples)
    ]
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(statistic(np.arange(len(strata)))), float(low), float(high))


def cluster_bootstrap(
    statistics: Callable[[np.ndarray], np.ndarray],
    strata: np.ndarray,
    clusters: np.ndarray,
    seed: int,
    resamples: int = 1000,
) -> np.ndarray:
    """Return `(resamples, M)`: statistics of photos whose clusters were drawn anew.

    `statistics` takes `(N,)` indices of photos, with repeats, and returns `(M,)`. Photos of one
    cluster, such as a source, are alike, so whole clusters are drawn: of the k of a stratum k - 1,
    with replacement, the spread of whose mean is that of k clusters from all that there are. Their
    photos are repeated or thinned out evenly to the number that the stratum has. Strata of fewer
    than `FEWEST_CLUSTERS` say nothing of others: their photos are drawn instead.

    Source: J. N. K. Rao, C. F. J. Wu and K. Yue, Some recent work on resampling methods for complex
    surveys, Survey Methodology 18 (1992), 209-217.
    """
    generator = np.random.default_rng(seed)
    groups: list[tuple[int, list[np.ndarray], int]] = []
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        names = np.unique(clusters[members])
        if len(names) < FEWEST_CLUSTERS:
            groups.append((len(members), list(members[:, None]), len(members)))
        else:
            units = [members[clusters[members] == name] for name in names]
            groups.append((len(members), units, len(units) - 1))

    def draw(photos: int, units: list[np.ndarray], count: int) -> np.ndarray:
        chosen = np.concatenate([units[unit] for unit in generator.integers(0, len(units), count)])
        return chosen[((np.arange(photos) + 0.5) * len(chosen) / photos).astype(int)]

    resampled = (np.concatenate([draw(*group) for group in groups]) for _ in range(resamples))
    return np.array([statistics(photos) for photos in resampled])


def widened(interval: Interval, values: np.ndarray) -> Interval:
    """Return the interval, made to include the middle 95 % of `(resamples,)` values; NaN aside."""
    low = float(np.nanquantile(values, (1 - LEVEL) / 2, method="lower"))
    high = float(np.nanquantile(values, (1 + LEVEL) / 2, method="higher"))
    return Interval(interval.value, min(interval.low, low), max(interval.high, high))
