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


def test_the_paired_interval_excludes_zero_where_an_unpaired_one_would_not():
    first, second = correct_predictions(900, 20, 4, 76)

    found = paired_difference(first, second, np.zeros(1000, int), seed=0)

    assert found.value == pytest.approx(0.016)
    assert 0 < found.low < found.value < found.high < 0.03
    assert found == paired_difference(first, second, np.zeros(1000, int), seed=0)


def test_losses_can_be_compared_too():
    generator = np.random.default_rng(0)
    second = generator.exponential(size=300)

    found = paired_difference(second + 0.1, second, np.zeros(300, int), seed=0)

    assert (found.low, found.high) == pytest.approx((0.1, 0.1))


def test_the_smallest_detectable_drop_is_detected_and_one_photo_less_is_not():
    assert smallest_detectable_drop(300) == pytest.approx(6 / 300)
    for newly_correct in (0, 3, 10):
        newly_wrong = round(smallest_detectable_drop(300, newly_correct) * 300) + newly_correct
        rest = 300 - newly_correct - newly_wrong
        assert mcnemar(*correct_predictions(rest, newly_wrong, newly_correct, 0)).p_value < 0.05
        assert (
            mcnemar(*correct_predictions(rest + 1, newly_wrong - 1, newly_correct, 0)).p_value
            >= 0.05
        )
