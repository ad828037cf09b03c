import json
import math

import numpy as np
import pytest
from sklearn.metrics import (
    balanced_accuracy_score,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

from pandacat.metrics.accuracy import auroc, correct_by_measure, headline

LABELS = ("panda", "cat", "other")
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

    correct = correct_by_measure(labels, probabilities)["two_class_accuracy"]

    assert correct[:4].tolist() == [1, 0, 1, 0]
    assert np.isnan(correct[4])


@pytest.mark.parametrize("names", [("panda", "other"), ("panda", "cat", "fox", "other")])
def test_a_pair_is_compared_only_where_there_are_two_in_distribution_labels(names):
    labels = np.arange(40) % len(names)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(len(names)), 40)

    metrics = headline(labels, probabilities, names, seed=0)

    assert set(correct_by_measure(labels, probabilities)) == {"accuracy"}
    assert not {"two_class_accuracy", "roc_auc"} & set(metrics)
    assert set(metrics["per_class"]) == set(metrics["photos"]) == set(names)


def test_confusion_has_a_row_and_a_column_for_labels_that_never_occur():
    metrics = headline(np.array([PANDA, PANDA, OTHER]), np.eye(3)[[0, 2, 2]], LABELS, seed=0)

    assert metrics["confusion"] == {
        "panda": {"panda": 1, "cat": 0, "other": 1},
        "cat": {"panda": 0, "cat": 0, "other": 0},
        "other": {"panda": 0, "cat": 0, "other": 1},
    }


def test_headline_of_five_photos_worked_out_by_hand():
    labels = np.array([PANDA, PANDA, CAT, CAT, OTHER])
    probabilities = np.array(
        [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.1, 0.4, 0.5], [0.3, 0.3, 0.4]]
    )

    metrics = headline(labels, probabilities, LABELS, seed=0)

    assert metrics["photos"] == {"panda": 2, "cat": 2, "other": 1}
    assert metrics["two_class_accuracy"]["value"] == 0.75
    assert metrics["accuracy"]["value"] == 0.6
    assert metrics["roc_auc"]["value"] == 1.0
    expected_loss = -sum(map(math.log, [0.8, 0.3, 0.7, 0.4, 0.4])) / 5
    assert metrics["log_loss"]["value"] == pytest.approx(expected_loss)
    assert metrics["per_class"]["cat"]["precision"]["value"] == 0.5
    assert metrics["per_class"]["panda"]["f1"]["value"] == pytest.approx(2 / 3)
    assert metrics["confusion"]["cat"] == {"panda": 0, "cat": 1, "other": 1}


def test_headline_agrees_with_scikit_learn():
    labels, probabilities = some_predictions()

    metrics = headline(labels, probabilities, LABELS, seed=0)

    expected = precision_recall_fscore_support(labels, probabilities.argmax(axis=1))
    for index, name in enumerate(LABELS):
        for row, measure in enumerate(["precision", "recall", "f1"]):
            found = metrics["per_class"][name][measure]
            assert found["value"] == pytest.approx(expected[row][index])
            assert found["low"] < found["value"] < found["high"]
    assert metrics["log_loss"]["value"] == pytest.approx(log_loss(labels, probabilities))
    balanced = metrics["balanced_accuracy"]
    assert balanced["low"] < balanced["value"] < balanced["high"]
    assert balanced["value"] == pytest.approx(
        balanced_accuracy_score(labels, probabilities.argmax(axis=1))
    )
    pair = labels != OTHER
    ratio = probabilities[pair, PANDA] / probabilities[pair][:, :2].sum(axis=1)
    assert metrics["roc_auc"]["value"] == pytest.approx(roc_auc_score(labels[pair] == PANDA, ratio))


@pytest.mark.parametrize("missing", [[PANDA], [OTHER], [PANDA, CAT], [PANDA, CAT, OTHER]])
def test_headline_leaves_out_what_the_photos_do_not_define(missing):
    labels, probabilities = some_predictions()
    present = ~np.isin(labels, missing)

    metrics = headline(labels[present], probabilities[present], LABELS, seed=0)

    json.dumps(metrics, allow_nan=False)
    assert set(metrics["per_class"]) == {n for i, n in enumerate(LABELS) if i not in missing}
    assert ("roc_auc" in metrics) == (missing == [OTHER])
    assert ("accuracy" in metrics) == ("balanced_accuracy" in metrics) == present.any()
    assert ("two_class_accuracy" in metrics) == bool({PANDA, CAT} - set(missing))


def test_the_loss_of_an_error_at_full_confidence_is_finite():
    metrics = headline(np.array([PANDA]), np.array([[0.0, 1.0, 0.0]]), LABELS, seed=0)

    assert metrics["log_loss"]["value"] == pytest.approx(-math.log(1e-12))


def test_the_interval_of_the_roc_area_covers_the_truth_at_its_level():
    generator = np.random.default_rng(1)
    truth = 0.9214  # of two normal distributions two standard deviations apart
    positive = np.arange(70) < 30
    covered = 0
    for _ in range(300):
        found = auroc(generator.normal(size=70) + 2 * positive, positive)
        covered += found.low <= truth <= found.high
    assert 0.92 <= covered / 300 <= 1


def test_the_interval_of_a_perfect_roc_curve_has_a_width():
    found = auroc(np.arange(40.0), np.arange(40) >= 20)

    assert found.value == found.high == 1
    assert 0.8 < found.low < 0.97
    assert auroc(-np.arange(40.0), np.arange(40) >= 20).high == pytest.approx(1 - found.low)


def test_a_roc_curve_needs_both_kinds():
    with pytest.raises(ValueError, match="positives and negatives"):
        auroc(np.arange(3.0), np.ones(3, bool))
