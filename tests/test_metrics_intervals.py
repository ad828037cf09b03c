import numpy as np
import pytest
from scipy.stats import binomtest

from pandacat.metrics.intervals import bootstrap, wilson


@pytest.mark.parametrize(("hits", "trials"), [(0, 20), (7, 31), (299, 300), (40, 40)])
def test_wilson_agrees_with_scipy(hits, trials):
    expected = binomtest(hits, trials).proportion_ci(method="wilson")

    found = wilson(hits / trials, trials)

    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.low <= found.value <= found.high


def test_wilson_keeps_its_width_without_a_single_mistake():
    assert wilson(1.0, 100).low == pytest.approx(0.963, abs=5e-4)


def test_bootstrap_interval_of_a_mean_holds_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        values = generator.exponential(size=60)
        found = bootstrap(
            lambda photos, values=values: float(values[photos].mean()),
            np.zeros(60, int),
            seed,
            resamples=200,
        )
        held += found.low <= 1 <= found.high
    assert 0.88 <= held / 200 <= 0.98


def test_bootstrap_keeps_the_strata_and_repeats_with_its_seed():
    strata = np.repeat([0, 1], [30, 5])
    seen = []

    def count(photos):
        seen.append(np.bincount(strata[photos]).tolist())
        return float(photos.sum())

    assert bootstrap(count, strata, seed=3) == bootstrap(count, strata, seed=3)
    assert set(map(tuple, seen)) == {(30, 5)}
