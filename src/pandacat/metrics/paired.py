"""Two networks compared on the same photos."""

from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaincinv

from pandacat.metrics.intervals import LEVEL, Interval, bootstrap, cluster_bootstrap, widened

SIGNIFICANCE = 1 - LEVEL
SHARES = (np.arange(200) + 0.5) / 200
"""At which quantiles a distribution is integrated over."""


@dataclass(frozen=True)
class McNemar:
    """How two networks differ on the same photos."""

    only_first: float
    """On how many photos only the first network is correct."""
    only_second: float
    p_value: float
    """Of the difference; it is significant below `SIGNIFICANCE`."""
    difference: Interval
    """In accuracy, above 0 where the first is better. It excludes 0 where it is significant."""


def mcnemar(first_correct: np.ndarray, second_correct: np.ndarray) -> McNemar:
    """Return McNemar's test, exact and two-sided, and the interval that is compatible with it.

    Both are `(N,)`, of the same photos: whether the predictions are correct, or, of a photo in
    several versions, how many are (0 to 1). Half a photo then counts as half.

    Given the number of differing photos, only one of which can be right, the share of the first
    network is binomial. That number is binomial, too. The bounds are quantiles of the product of
    the two confidence distributions, so there is a width when no photo differs, too.

    Sources: Q. McNemar, Note on the sampling error of the difference between correlated proportions
    or percentages, Psychometrika 12 (1947), 153-157; M. P. Fay and K. Lumbard, Confidence intervals
    for difference in proportions for matched pairs compatible with exact McNemar's or sign tests,
    Statistics in Medicine 40 (2021), 1147-1159.
    """
    differences = first_correct.astype(float) - second_correct.astype(float)
    photos = len(differences)
    only_first, only_second = (float(np.maximum(sign * differences, 0).sum()) for sign in (1, -1))
    difference = Interval(
        (only_first - only_second) / photos,
        _lower_bound(only_first, only_second, photos),
        -_lower_bound(only_second, only_first, photos),
    )
    return McNemar(only_first, only_second, _p_value(only_first, only_second), difference)


def _p_value(only_first: float, only_second: float) -> float:
    """Return the share of all ways to split the differing photos that are as uneven or more."""
    fewer, more = sorted((only_first, only_second))
    return min(1.0, 2 * float(betainc(more, fewer + 1, 0.5))) if more else 1.0


def _lower_bound(only_first: float, only_second: float, photos: int) -> float:
    from scipy.optimize import brentq

    differing = only_first + only_second
    alike, tail = max(0.0, photos - differing), SIGNIFICANCE / 2
    if not only_first:
        return -float(betaincinv(differing + 1, alike, 1 - tail)) if alike else -1.0
    fewest = betaincinv(differing, alike + 1, SHARES)
    most = betaincinv(differing + 1, alike, SHARES) if alike else np.ones(len(SHARES))

    def excess(bound: float) -> float:
        share_of_first = (1 + bound / (most if bound < 0 else fewest)) / 2
        below = betainc(only_first, only_second + 1, np.clip(share_of_first, 0, 1))
        return float(below.mean()) - tail

    return float(brentq(excess, -1, 1))


def paired_difference(
    first: np.ndarray, second: np.ndarray, strata: np.ndarray, seed: int
) -> Interval:
    """Return the mean of `first` less that of `second`, with its paired bootstrap interval.

    Both are `(N,)` losses of the same photos. Each of the `(N,)` strata, usually the labels, has
    its size in every resample. For accuracies, which few photos decide, see `mcnemar`.
    """
    differences = first - second
    return bootstrap(lambda photos: float(differences[photos].mean()), strata, seed)


def cluster_paired_difference(
    difference: Interval,
    differences: np.ndarray,
    strata: np.ndarray,
    clusters: np.ndarray,
    seed: int,
) -> tuple[Interval, float]:
    """Return a difference, its interval widened by the cluster bootstrap, and that one's p-value.

    All arrays are `(N,)`: the differences of photos, whose mean is `difference`, their strata and
    their clusters, as in `cluster_bootstrap`. The two-sided p-value is below `SIGNIFICANCE` where
    the middle of the resamples excludes 0.
    """
    means = cluster_bootstrap(
        lambda photos: differences[photos].mean(keepdims=True), strata, clusters, seed
    )[:, 0]
    tails = np.mean(means <= 0), np.mean(means >= 0)
    return widened(difference, means), min(1.0, 2 * float(min(tails)))


def smallest_detectable_drop(photos: int, significance: float = SIGNIFICANCE) -> float:
    """Return the smallest drop in accuracy that is significant by `mcnemar` on so many photos.

    Photos that turn from correct to wrong, none the other way, are counted until the exact
    two-sided p-value is below the significance. For 5 % that takes six, whatever the size of the
    set. The drop is a share in 0…1, above 1 where the set is too small to show any.
    """
    newly_wrong = 0
    while _p_value(newly_wrong, 0) >= significance:
        newly_wrong += 1
    return newly_wrong / photos
