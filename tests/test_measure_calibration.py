import numpy as np
import pytest
from scipy.special import softmax

from pandacat.measure.calibration import (
    apply_temperature,
    calibration_error_by_chance,
    expected_calibration_error,
    fit_temperature,
    reliability,
)


def calibrated_logits(photos=4000, seed=0):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(photos, 3)) * 2
    labels = np.array([generator.choice(3, p=row) for row in softmax(logits, axis=1)])
    return logits, labels


def test_calibration_error_of_two_bins_worked_out_by_hand():
    confidences = np.array([0.6, 0.6, 0.9, 0.9])
    right = np.array([True, False, True, True])

    assert expected_calibration_error(confidences, right, bins=2) == pytest.approx(0.1)
    curve = reliability(confidences, right, bins=2)
    assert curve["confidence"].tolist() == pytest.approx([0.6, 0.9])
    assert curve["accuracy"].tolist() == [0.5, 1.0]


def test_bins_hold_equally_many_photos():
    confidences = np.random.default_rng(0).beta(8, 1, 300)

    curve = reliability(confidences, np.ones(300, bool), bins=15)

    assert curve["photos"].tolist() == [20] * 15


def test_equal_confidences_share_a_bin_so_order_does_not_matter():
    confidences = np.array([0.7] * 10 + [1.0] * 90)
    right = np.random.default_rng(0).random(100) < 0.9
    shuffled = np.random.default_rng(1).permutation(100)

    curve = reliability(confidences, right)

    assert curve["photos"].tolist() == [10, 90]
    assert expected_calibration_error(confidences, right) == pytest.approx(
        expected_calibration_error(confidences[shuffled], right[shuffled])
    )


def test_chance_alone_explains_the_error_of_a_calibrated_network_but_not_of_an_overconfident_one():
    generator = np.random.default_rng(0)
    confidences = generator.uniform(0.6, 1, 500)
    limit = calibration_error_by_chance(confidences, seed=0)

    honest = generator.random(500) < confidences
    overconfident = generator.random(500) < confidences - 0.15

    assert expected_calibration_error(confidences, honest) < limit
    assert expected_calibration_error(confidences, overconfident) > limit


@pytest.mark.parametrize("distortion", [0.5, 1.0, 3.0])
def test_the_fitted_temperature_undoes_a_known_distortion(distortion):
    logits, labels = calibrated_logits()

    temperature = fit_temperature(logits * distortion, labels)

    assert temperature == pytest.approx(distortion, rel=0.06)


def test_the_fitted_temperature_is_the_best_of_a_grid():
    logits, labels = calibrated_logits(500)
    logits = logits * 2

    def loss(temperature):
        own = apply_temperature(logits, temperature)[np.arange(500), labels]
        return -np.log(own).sum() + np.log(temperature) ** 2 / 2

    best = fit_temperature(logits, labels)

    assert loss(best) <= min(loss(t) for t in np.geomspace(0.1, 10, 200)) + 1e-6


def test_a_network_without_mistakes_is_not_made_much_surer():
    logits = 9 * np.eye(3)[np.arange(300) % 3]

    assert 0.8 < fit_temperature(logits, np.arange(300) % 3) <= 1


def test_temperature_keeps_the_verdict_and_sums_to_one():
    logits, _ = calibrated_logits(50)

    cooled = apply_temperature(logits, 0.3)

    assert (cooled.argmax(axis=1) == logits.argmax(axis=1)).all()
    assert cooled.sum(axis=1) == pytest.approx(np.ones(50))


def test_log_probabilities_serve_as_logits():
    logits, labels = calibrated_logits(300)

    assert fit_temperature(np.log(softmax(logits, axis=1)), labels) == pytest.approx(
        fit_temperature(logits, labels)
    )
