import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from pandacat.metrics.neighbors import neighbor_similarity
from pandacat.metrics.open_set import (
    in_distribution_score,
    open_set_metrics,
    risk_coverage,
    threshold_at_recall,
)


def test_the_threshold_accepts_exactly_the_recall():
    scores = np.random.default_rng(0).permutation(100) / 100

    threshold = threshold_at_recall(scores, 0.95)

    assert threshold == 0.05
    assert np.mean(scores >= threshold) == 0.95
    assert threshold_at_recall(np.array([3.0, 1.0, 2.0]), 0.95) == 1.0


def test_the_score_is_the_largest_probability_of_an_in_distribution_label():
    assert in_distribution_score(np.array([[0.2, 0.1, 0.7], [0.3, 0.4, 0.3]])).tolist() == [
        0.2,
        0.4,
    ]
    assert in_distribution_score(np.array([[0.2, 0.8]])).tolist() == [0.2]


def test_open_set_metrics_by_hand_and_against_scikit_learn():
    scores = np.concatenate([np.arange(1, 101), [0, 0.5, 5.5, 5.6, 50]]).astype(float)
    in_distribution = np.arange(105) < 100

    metrics = open_set_metrics(scores, in_distribution)

    assert metrics["false_positive_rate"].value == pytest.approx(1 / 5)
    assert metrics["auroc"].value == pytest.approx(roc_auc_score(in_distribution, scores))


def test_risk_and_coverage_by_hand_with_two_equal_confidences():
    confidences = np.array([0.9, 0.8, 0.8, 0.5])
    correct = np.array([True, True, False, False])

    curve = risk_coverage(confidences, correct)

    assert curve["coverage"].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve["risk"].tolist() == pytest.approx([0, 1 / 4, 1 / 3, 1 / 2])
    in_another_order = risk_coverage(confidences[::-1], correct[::-1])
    pd.testing.assert_frame_equal(in_another_order, curve)


def test_neighbor_similarity_of_a_few_directions():
    references = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]])
    queries = np.array([[5.0, 0.0]])

    assert neighbor_similarity(queries, references, 1) == pytest.approx([1])
    assert neighbor_similarity(queries, references, 2) == pytest.approx([0])
    assert neighbor_similarity(queries, references, 99) == pytest.approx([-1])


def test_a_photo_and_its_near_duplicates_are_not_its_neighbors():
    features = np.array([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0]])
    groups = np.array([0, 0, 1])

    similarity = neighbor_similarity(features, features, 1, groups, groups)

    assert similarity == pytest.approx([0, 0.01, 0.01], abs=1e-3)
