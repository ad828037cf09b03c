"""Estimates with 95 % confidence intervals."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

LEVEL = 0.95


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
