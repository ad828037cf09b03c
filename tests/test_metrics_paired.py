from math import comb

import numpy as np
import pytest

from pandacat.metrics.paired import mcnemar, paired_difference, smallest_detectable_drop


def correct_predictions(both, only_first, only_second, neither):
    first = np.repeat([True, True, False, False], [both, only_first, only_second, neither])
    second = np.repeat([True, False, True, False], [both, only_first, only_second, neither])
    return first, second


def test_mcnemar_against_a_binomial_worked_out_by_hand():
    found = mcnemar(*correct_predictions(80, 1, 6, 13))

    assert (found.only_first, found.only_second) == (1, 6)
    assert found.p_value == pytest.approx(2 * (1 + 7) / 2**7)


def test_mcnemar_of_equal_predictions_finds_no_difference():
    assert mcnemar(*correct_predictions(50, 0, 0, 3)).p_value == 1


def test_mcnemar_rarely_raises_a_false_alarm():
    generator = np.random.default_rng(0)
    alarms = sum(
        mcnemar(generator.random(200) < 0.9, generator.random(200) < 0.9).p_value < 0.05
        for _ in range(500)
    )
    assert alarms / 500 < 0.07


def significant(found):
    assert (found.p_value < 0.05) == (not found.difference.low <= 0 <= found.difference.high)
    return found.p_value < 0.05


@pytest.mark.parametrize("differing", [0, 1, 4, 5, 6, 9, 17, 19, 40])
def test_of_equal_networks_one_in_twenty_at_most_is_called_better(differing):
    splits = [(better, differing - better) for better in range(differing + 1)]
    alarms = [
        significant(mcnemar(*correct_predictions(80 - differing, *split, 0))) for split in splits
    ]

    share = sum(comb(differing, k) for k, alarm in enumerate(alarms) if alarm) / 2**differing
    assert share <= 0.05
    assert any(alarms) == (differing > 5)


def test_the_interval_of_a_difference_knows_that_no_photo_differed_by_chance():
    none = mcnemar(*correct_predictions(90, 0, 0, 10)).difference

    # With 3.6 % of photos the first way, none of 100 would be in 2.5 % of cases.
    assert (none.low, none.high) == pytest.approx((-0.0362, 0.0362), abs=1e-4)


@pytest.mark.parametrize("shares", [(0, 0), (0.02, 0.02), (0.02, 0), (0.06, 0.02), (0.3, 0.05)])
@pytest.mark.parametrize("photos", [30, 200])
def test_the_interval_of_a_difference_contains_the_true_one(shares, photos):
    generator = np.random.default_rng(0)
    draws = generator.multinomial(photos, [*shares, 1 - sum(shares)], size=2000)
    splits, times = np.unique(draws, axis=0, return_counts=True)
    intervals = [mcnemar(*correct_predictions(rest, a, b, 0)).difference for a, b, rest in splits]

    difference = shares[0] - shares[1]
    covered = [
        each.low <= difference + 1e-9 and difference - 1e-9 <= each.high for each in intervals
    ]
    assert times[covered].sum() / times.sum() >= 0.945
    assert all(each.low <= each.value <= each.high for each in intervals)


@pytest.mark.parametrize(
    ("only_first", "only_second", "alike"), [(9, 2, 50), (2, 1, 7), (20, 0, 0)]
)
def test_the_bounds_are_quantiles_of_products_drawn_at_random(only_first, only_second, alike):
    generator, draws = np.random.default_rng(0), 400_000
    found = mcnemar(*correct_predictions(alike, only_first, only_second, 0)).difference

    share = generator.beta(only_first, only_second + 1, draws)
    differing = only_first + only_second
    fewest = generator.beta(differing, alike + 1, draws)
    most = generator.beta(differing + 1, alike, draws) if alike else np.ones(draws)
    lower = np.where(share > 0.5, fewest, most) * (2 * share - 1)
    assert found.low == pytest.approx(np.quantile(lower, 0.025), abs=0.003)


def test_the_paired_interval_excludes_zero_where_an_unpaired_one_would_not():
    found = mcnemar(*correct_predictions(900, 20, 4, 76)).difference

    assert found.value == pytest.approx(0.016)
    assert 0 < found.low < found.value < found.high < 0.03


def test_versions_of_a_photo_count_as_shares_of_it():
    first, second = np.full(40, 0.75), np.full(40, 0.5)
    first[:4], second[:4] = 0, 0.25

    found = mcnemar(first, second)

    assert (found.only_first, found.only_second) == (9, 1)
    assert (found.p_value, significant(found)) == (pytest.approx(2 * (1 + 10) / 2**10), True)


def test_losses_can_be_compared_too():
    generator = np.random.default_rng(0)
    second = generator.exponential(size=300)

    found = paired_difference(second + 0.1, second, np.zeros(300, int), seed=0)

    assert (found.low, found.high) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize(("significance", "photos"), [(0.05, 6), (0.1 / 9, 8)])
def test_the_smallest_detectable_drop_is_detected_and_one_photo_less_is_not(significance, photos):
    assert smallest_detectable_drop(300, significance) == pytest.approx(photos / 300)
    for newly_wrong in (photos - 1, photos):
        found = mcnemar(*correct_predictions(300 - newly_wrong, newly_wrong, 0, 0))
        assert (found.p_value < significance) == (newly_wrong == photos)
