import numpy as np
import pytest

from pandacat.metrics.calibration import (
    calibration_error_by_chance,
    expected_calibration_error,
    reliability,
)


def test_calibration_error_of_two_bins_worked_out_by_hand():
    confidences = np.array([0.6, 0.6, 0.9, 0.9])
    correct = np.array([True, False, True, True])

    assert expected_calibration_error(confidences, correct, bins=2) == pytest.approx(0.1)
    curve = reliability(confidences, correct, bins=2)
    assert curve["confidence"].tolist() == pytest.approx([0.6, 0.9])
    assert curve["accuracy"].tolist() == [0.5, 1.0]


def test_bins_hold_equally_many_photos():
    confidences = np.random.default_rng(0).beta(8, 1, 300)

    curve = reliability(confidences, np.ones(300, bool), bins=15)

    assert curve["photos"].tolist() == [20] * 15


def test_equal_confidences_share_a_bin_so_order_does_not_matter():
    confidences = np.array([0.7] * 10 + [1.0] * 90)
    correct = np.random.default_rng(0).random(100) < 0.9
    shuffled = np.random.default_rng(1).permutation(100)

    curve = reliability(confidences, correct)

    assert curve["photos"].tolist() == [10, 90]
    assert expected_calibration_error(confidences, correct) == pytest.approx(
        expected_calibration_error(confidences[shuffled], correct[shuffled])
    )


def test_chance_explains_the_error_of_a_calibrated_network_and_not_of_an_overconfident_one():
    generator = np.random.default_rng(0)
    confidences = generator.uniform(0.6, 1, 500)
    limit = calibration_error_by_chance(confidences, seed=0)

    calibrated = generator.random(500) < confidences
    overconfident = generator.random(500) < confidences - 0.15

    assert expected_calibration_error(confidences, calibrated) < limit
    assert expected_calibration_error(confidences, overconfident) > limit
