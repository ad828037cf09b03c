import numpy as np
import pytest

from pandacat.metrics.conformal import photos_needed, prediction_sets, threshold


@pytest.mark.parametrize(
    ("photos", "rank"), [(44, 0), (45, 1), (76, 1), (77, 2), (100, 2), (150, 4), (1000, 41)]
)
def test_the_threshold_is_the_order_statistic_that_reaches_the_coverage_with_confidence(
    photos, rank
):
    own = np.random.default_rng(0).permutation(np.arange(1, photos + 1) / (4 * photos))

    assert threshold(own, 0.95, 0.9) == pytest.approx(rank / (4 * photos))


@pytest.mark.parametrize(("coverage", "confidence"), [(0.95, 0.9), (0.9, 0.9), (0.5, 0.5)])
def test_with_too_few_photos_a_label_is_in_every_set(coverage, confidence):
    needed = photos_needed(coverage, confidence)

    assert threshold(np.full(needed, 0.3), coverage, confidence) == 0.3
    assert threshold(np.full(needed - 1, 0.3), coverage, confidence) == 0
    assert threshold(np.array([]), coverage, confidence) == 0


@pytest.mark.parametrize("photos", [48, 100, 150, 600])
@pytest.mark.parametrize(("coverage", "confidence"), [(0.95, 0.9), (0.8, 0.7)])
def test_the_coverage_is_reached_with_the_confidence(photos, coverage, confidence):
    # Of probabilities that are uniform up to a half, the share 1 - 2 t reaches a threshold t.
    own = np.random.default_rng(photos).random((1000, photos)) / 2
    reached = [1 - 2 * threshold(calibration, coverage, confidence) for calibration in own]

    success = np.mean(np.array(reached) >= coverage)
    assert success >= confidence - 2 * np.sqrt(confidence * (1 - confidence) / 1000)
    assert np.mean(reached) < coverage + 0.05  # and not for the price of sets that hold all


def test_no_label_that_is_likelier_than_not_is_ruled_out():
    assert threshold(np.full(100, 0.995), 0.95, 0.9) == 0.5


def test_sets_hold_all_labels_that_reach_their_threshold_and_the_most_probable():
    probabilities = np.array(
        [[0.6, 0.3, 0.1], [0.0, 0.02, 0.98], [0.05, 0.35, 0.6], [0.2, 0.3, 0.5]]
    )

    sets = prediction_sets(probabilities, [0.1, 0.3, 0.7])

    assert sets.tolist() == [
        [True, True, False],
        [False, False, True],
        [False, True, True],
        [True, True, True],
    ]
