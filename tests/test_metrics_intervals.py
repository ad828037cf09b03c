from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binomtest

from pandacat.metrics.intervals import bootstrap, mean_of_independent, proportion, wilson


@pytest.mark.parametrize(("hits", "trials"), [(0, 20), (7, 31), (299, 300), (40, 40)])
def test_wilson_agrees_with_scipy(hits, trials):
    expected = binomtest(hits, trials).proportion_ci(method="wilson")

    found = wilson(hits / trials, trials)

    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.low <= found.value <= found.high


def test_wilson_has_a_width_without_a_single_error():
    assert wilson(1.0, 100).low == pytest.approx(0.963, abs=5e-4)


def test_a_proportion_is_that_of_its_hits():
    assert proportion(np.array([True, False, True, True])) == wilson(0.75, 4)


def mean_of(values: np.ndarray) -> Callable[[np.ndarray], float]:
    return lambda photos: float(values[photos].mean())


def test_bootstrap_interval_of_a_mean_covers_the_truth_at_its_level():
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        values = generator.exponential(size=60)
        found = bootstrap(mean_of(values), np.zeros(60, int), seed, resamples=200)
        covered += found.low <= 1 <= found.high
    assert 0.88 <= covered / 200 <= 0.98


def test_bootstrap_preserves_the_strata_and_repeats_with_its_seed():
    strata = np.repeat([0, 1], [30, 5])
    counts = []

    def count(photos):
        counts.append(np.bincount(strata[photos]).tolist())
        return float(photos.sum())

    assert bootstrap(count, strata, seed=3) == bootstrap(count, strata, seed=3)
    assert set(map(tuple, counts)) == {(30, 5)}


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (0.98, 0.9, 0.7), (1.0, 1.0, 0.95)])
def test_the_interval_of_a_mean_of_recalls_covers_the_truth_at_its_level(shares):
    generator, photos = np.random.default_rng(0), (60, 50, 200)
    covered = 0
    for _ in range(1000):
        hits = generator.binomial(photos, shares)
        found = mean_of_independent([wilson(h / n, n) for h, n in zip(hits, photos, strict=True)])
        covered += found.low <= np.mean(shares) <= found.high
    assert 0.935 <= covered / 1000 <= 1
