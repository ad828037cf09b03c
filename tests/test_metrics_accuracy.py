import json
import math

import numpy as np
import pytest
from sklearn.metrics import log_loss, precision_recall_fscore_support, roc_auc_score

from pandacat.labels import LABELS
from pandacat.metrics.accuracy import auroc, headline, right_between_two

PANDA, CAT, OTHER = range(3)


def some_predictions(photos=200, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, photos)
    probabilities = generator.dirichlet(np.ones(3), photos) + 0.4 * np.eye(3)[labels]
    return labels, probabilities / 1.4


def test_two_class_accuracy_ignores_other_and_counts_a_tie_as_wrong():
    labels = np.array([PANDA, PANDA, CAT, CAT, OTHER])
    probabilities = np.array(
        [[0.2, 0.1, 0.7], [0.3, 0.4, 0.3], [0.1, 0.2, 0.7], [0.5, 0.5, 0], [0, 0, 1]]
    )

    assert right_between_two(labels, probabilities).tolist() == [True, False, True, False]


def test_headline_of_five_photos_worked_out_by_hand():
    labels = np.array([PANDA, PANDA, CAT, CAT, OTHER])
    probabilities = np.array(
        [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.1, 0.5, 0.4], [0.3, 0.3, 0.4]]
    )
    verdicts = np.array([PANDA, CAT, CAT, OTHER, OTHER])

    figures = headline(labels, probabilities, verdicts, seed=0)

    assert figures["photos"] == {"panda": 2, "cat": 2, "other": 1}
    assert figures["two_class_accuracy"]["value"] == 0.75
    assert figures["accuracy"]["value"] == 0.6
    assert figures["roc_auc"]["value"] == 1.0
    expected_loss = -sum(map(math.log, [0.8, 0.3, 0.7, 0.5, 0.4])) / 5
    assert figures["log_loss"]["value"] == pytest.approx(expected_loss)
    assert figures["per_class"]["cat"]["precision"]["value"] == 0.5
    assert figures["per_class"]["panda"]["f1"]["value"] == pytest.approx(2 / 3)
    assert figures["confusion"]["cat"] == {"panda": 0, "cat": 1, "other": 1}


def test_headline_agrees_with_scikit_learn():
    labels, probabilities = some_predictions()
    verdicts = probabilities.argmax(axis=1)

    figures = headline(labels, probabilities, verdicts, seed=0)

    expected = precision_recall_fscore_support(labels, verdicts)
    for index, name in enumerate(LABELS):
        for row, measure in enumerate(["precision", "recall", "f1"]):
            found = figures["per_class"][name][measure]
            assert found["value"] == pytest.approx(expected[row][index])
            assert found["low"] < found["value"] < found["high"]
    assert figures["log_loss"]["value"] == pytest.approx(log_loss(labels, probabilities))
    known = labels != OTHER
    ratio = probabilities[known, PANDA] / probabilities[known][:, :2].sum(axis=1)
    assert figures["roc_auc"]["value"] == pytest.approx(
        roc_auc_score(labels[known] == PANDA, ratio)
    )


@pytest.mark.parametrize("missing", [[PANDA], [OTHER], [PANDA, CAT], [PANDA, CAT, OTHER]])
def test_headline_leaves_out_what_the_photos_cannot_tell(missing):
    labels, probabilities = some_predictions()
    kept = ~np.isin(labels, missing)

    figures = headline(
        labels[kept], probabilities[kept], probabilities[kept].argmax(axis=1), seed=0
    )

    json.dumps(figures, allow_nan=False)
    assert set(figures["per_class"]) == {n for i, n in enumerate(LABELS) if i not in missing}
    assert ("roc_auc" in figures) == (missing == [OTHER])
    assert ("accuracy" in figures) == kept.any()


def test_a_certain_mistake_costs_a_finite_loss():
    figures = headline(np.array([PANDA]), np.array([[0.0, 1.0, 0.0]]), np.array([CAT]), seed=0)

    assert figures["log_loss"]["value"] == pytest.approx(-math.log(1e-12))


def test_the_interval_of_the_roc_area_holds_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(1)
    truth = 0.9214  # of two normal distributions two standard deviations apart
    positive = np.arange(70) < 30
    held = 0
    for _ in range(300):
        found = auroc(generator.normal(size=70) + 2 * positive, positive)
        held += found.low <= truth <= found.high
    assert 0.92 <= held / 300 <= 1


def test_the_interval_of_a_faultless_roc_curve_keeps_its_width():
    found = auroc(np.arange(40.0), np.arange(40) >= 20)

    assert found.value == found.high == 1
    assert 0.8 < found.low < 0.97
    assert auroc(-np.arange(40.0), np.arange(40) >= 20).high == pytest.approx(1 - found.low)


def test_a_roc_curve_needs_both_kinds():
    with pytest.raises(ValueError, match="positives and negatives"):
        auroc(np.arange(3.0), np.ones(3, bool))
