"""One-sided tests of whether a network got worse, on the same photos."""

from math import comb

import numpy as np
import pytest

from pandacat.metrics.accuracy import placements
from pandacat.metrics.one_sided import (
    delong_p_value,
    holm,
    mcnemar_p_value,
    swap_p_value,
    testable,
)

testable.__test__ = False  # type: ignore[attr-defined]


def delong(before: np.ndarray, after: np.ndarray, positive: np.ndarray) -> float:
    return delong_p_value(placements(before, positive), placements(after, positive), positive)


def mean(values: np.ndarray) -> float:
    return float(values.mean())


@pytest.mark.parametrize(("newly_wrong", "newly_right"), [(6, 0), (6, 1), (3, 3), (0, 4), (0, 0)])
def test_mcnemar_against_a_binomial_worked_out_by_hand(newly_wrong: int, newly_right: int) -> None:
    before = np.repeat([True, False, True], [newly_wrong, newly_right, 50])
    after = np.repeat([False, True, True], [newly_wrong, newly_right, 50])
    differing = newly_wrong + newly_right
    worse = sum(comb(differing, k) for k in range(newly_wrong, differing + 1)) / 2**differing
    assert mcnemar_p_value(before, after) == pytest.approx(worse)


def scores_of(
    generator: np.random.Generator, photos: int, shared: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of two equally good networks; the first half of the photos is positive."""
    common = generator.standard_normal(photos) * np.sqrt(shared) + np.repeat([1.5, 0], photos // 2)
    first, second = common + generator.standard_normal((2, photos)) * np.sqrt(1 - shared)
    return first, second


def test_placements_count_the_photos_of_the_other_kind_that_are_on_the_right_side() -> None:
    generator = np.random.default_rng(0)
    scores, positive = generator.integers(0, 9, 60).astype(float), np.arange(60) < 25
    above = scores[positive][:, None] - scores[~positive]
    pairs = (above > 0) + (above == 0) / 2
    found = placements(scores, positive)
    assert found[positive] == pytest.approx(pairs.mean(axis=1))
    assert found[~positive] == pytest.approx(pairs.mean(axis=0))


def test_delong_against_the_covariances_of_the_paper() -> None:
    from statistics import NormalDist

    positive = np.arange(80) < 40
    before, after = scores_of(np.random.default_rng(1), 80, shared=0.5)
    after[:40] -= 0.5

    areas, variance = [], np.zeros((2, 2))
    for kind in (0, 1):  # the structural components of positives, then of negatives
        components = []
        for scores in (before, after):
            above = scores[positive][:, None] - scores[~positive]
            components.append(((above > 0) + (above == 0) / 2).mean(axis=1 - kind))
        areas = [component.mean() for component in components]
        variance += np.cov(components) / 40
    spread = np.sqrt(variance[0, 0] + variance[1, 1] - 2 * variance[0, 1])

    expected = NormalDist().cdf((areas[1] - areas[0]) / spread)
    assert 0.001 < expected < 0.2
    assert delong(before, after, positive) == pytest.approx(expected)


@pytest.mark.parametrize("shared", [0.5, 0.95])
def test_delong_calls_one_of_twenty_equal_networks_worse(shared: float) -> None:
    generator, positive = np.random.default_rng(0), np.arange(120) < 60
    p_values = [delong(*scores_of(generator, 120, shared), positive) for _ in range(1000)]
    assert 0.03 < np.mean(np.array(p_values) < 0.05) < 0.07


def test_the_paired_test_of_areas_sees_what_their_intervals_hide() -> None:
    from pandacat.metrics.accuracy import auroc

    positive = np.arange(300) < 150
    before, _ = scores_of(np.random.default_rng(0), 300, shared=1)
    after = before - 0.3 * (np.arange(300) % 3 == 0) * positive

    first, second = (auroc(scores, positive) for scores in (before, after))
    assert first.low < second.value < first.value
    assert delong(before, after, positive) < 1e-4
    assert delong(after, before, positive) == 1


@pytest.mark.parametrize("passing", [0, 1, 5, 6])
def test_near_a_perfect_area_so_many_photos_must_pass_as_in_mcnemars_test(passing: int) -> None:
    positive = np.arange(200) < 100
    before = np.where(positive, 0.9, 0.1)
    after = before.copy()
    after[100 : 100 + passing] = 0.95
    correct = before > 0.5, after > 0.5
    assert delong(before, after, positive) == mcnemar_p_value(
        *(np.where(positive, each, ~each) for each in correct)
    )


def test_areas_without_variance_are_not_certain_to_differ() -> None:
    positive = np.array([True, True, False, False])
    before, after = np.array([3.0, 3, 1, 1]), np.array([1.0, 1, 3, 3])
    assert delong(before, after, positive) == 0.5**2
    assert delong(before, before, positive) == 1
    assert delong(before[1:3], after[1:3], positive[1:3]) == 1


def test_a_permutation_test_calls_one_of_twenty_equal_networks_worse() -> None:
    generator = np.random.default_rng(0)
    p_values = []
    for seed in range(200):
        before, after = generator.exponential(size=(2, 40))
        p_values.append(swap_p_value(before, after, mean, seed))
    assert np.mean(np.array(p_values) < 0.05) < 0.09
    assert 0.4 < np.mean(p_values) < 0.6


def test_a_permutation_test_sees_that_all_photos_lost_a_little() -> None:
    before = np.random.default_rng(0).exponential(size=(40, 2))
    assert swap_p_value(before, before + 0.01, mean, seed=0) == 1 / 1000
    assert swap_p_value(before + 0.01, before, mean, seed=0) == 1


def test_holm_worked_out_by_hand() -> None:
    assert holm([0.04, 0.01, 0.5, 0.02]) == pytest.approx([0.08, 0.04, 0.5, 0.06])
    assert holm([]) == []


def test_tests_that_cannot_be_significant_do_not_count() -> None:
    # Beside one another, tests with 5 or fewer photos that differ cannot be significant.
    assert testable([0.0, 0.5**5, 0.5, 1.0], 0.05) == [True, False, False, False]
    assert testable([0.5**5, 1.0, 1.0], 0.05) == [True, False, False]
    assert testable([0.0, 0.0, 0.5**5], 0.05) == [True, True, False]
    assert testable([], 0.05) == []
