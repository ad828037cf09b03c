"""One-sided tests of whether a network got worse: before and after, on the same photos.

Each returns a p-value: how probable so large a change for the worse would be by chance alone.
"""

from collections.abc import Callable, Sequence
from itertools import count
from statistics import NormalDist

import numpy as np
from scipy.special import betainc

SWAPS = 999


def mcnemar_p_value(before: np.ndarray, after: np.ndarray) -> float:
    """Return the p-value of McNemar's exact test that `(N,)` predictions are correct less often.

    Source: see `paired.mcnemar`, whose test is two-sided.
    """
    newly_wrong, newly_right = int((before & ~after).sum()), int((after & ~before).sum())
    return float(betainc(newly_wrong, newly_right + 1, 0.5)) if newly_wrong else 1.0


def delong_p_value(before: np.ndarray, after: np.ndarray, positive: np.ndarray) -> float:
    """Return the p-value of DeLong's paired test that the area under the ROC curve is smaller.

    All are `(N,)`: the `placements` of the same photos by two networks, and which of these are
    positive. The test is asymptotic. Where k positives or k negatives changed places, whichever is
    fewer, its p-value is raised to 2 ** -k, below which no sign test of so many photos can fall:
    near an area of 1 there is little or no variance. With a single photo of a kind it is 1.

    Sources: E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson, Comparing the areas under two or
    more correlated receiver operating characteristic curves, Biometrics 44 (1988), 837-845; by
    ranks: X. Sun and W. Xu, Fast implementation of DeLong's algorithm, IEEE Signal Processing
    Letters 21 (2014), 1389-1393.
    """
    kinds = [(before - after)[kind] for kind in (positive, ~positive)]
    drop, least = kinds[0].mean(), 0.5 ** min(map(np.count_nonzero, kinds))
    if drop <= 0 or min(map(len, kinds)) < 2:
        return 1.0
    variance = sum(kind.var(ddof=1) / len(kind) for kind in kinds)
    return max(least, NormalDist().cdf(-drop / np.sqrt(variance)) if variance else 0.0)


def swap_p_value(
    before: np.ndarray, after: np.ndarray, loss: Callable[[np.ndarray], float], seed: int
) -> float:
    """Return the p-value of the permutation test that a loss of the photos, `(N, …)`, is higher.

    Where the networks are equally good, what is before and what after is interchangeable, photo by
    photo. It is swapped for half of them, at random, 999 times.

    Source: E. J. G. Pitman, Significance tests which may be applied to samples from any
    populations, Supplement to the Journal of the Royal Statistical Society 4 (1937), 119-130.
    """
    generator = np.random.default_rng(seed)
    rise, as_high = loss(after) - loss(before), 1
    for _ in range(SWAPS):
        swapped = (generator.random(len(before)) < 0.5).reshape(-1, *[1] * (before.ndim - 1))
        first, second = np.where(swapped, after, before), np.where(swapped, before, after)
        as_high += loss(second) - loss(first) >= rise - 1e-12
    return as_high / (SWAPS + 1)


def testable(least: Sequence[float], significance: float) -> list[bool]:
    """Return for each test whether it can be significant at all beside the others.

    `least` is the smallest p-value that each can have. The others need not be adjusted for; what
    can be must be known before the p-values are, as from the number of photos that differ.

    Source: R. E. Tarone, A modified Bonferroni method for discrete data, Biometrics 46 (1990),
    515-522.
    """
    values = np.asarray(least, float)
    tests = next(k for k in count(1) if np.sum(values * k <= significance) <= k)
    return [bool(can) for can in values * tests <= significance]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number, in their order.

    If those below a level are called significant, the probability of calling any metric worse that
    is not is at most this level, however the tests depend on each other.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal
    of Statistics 6 (1979), 65-70.
    """
    values = np.asarray(p_values, float)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return [float(value) for value in adjusted]
