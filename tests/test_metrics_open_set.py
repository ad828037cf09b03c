import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pandacat.metrics.neighbors import neighbor_similarity
from pandacat.metrics.open_set import (
    area_under_risk_coverage,
    energy,
    mahalanobis,
    open_set_figures,
    pass_rate,
    risk_coverage,
    scores,
    threshold_at_recall,
)


def test_the_threshold_lets_exactly_as_many_known_photos_through_as_asked():
    known = np.random.default_rng(0).permutation(100) / 100

    threshold = threshold_at_recall(known, 0.95)

    assert threshold == 0.05
    assert pass_rate(known, threshold).value == 0.95
    assert threshold_at_recall(np.array([3.0, 1.0, 2.0]), 0.95) == 1.0


def test_open_set_figures_by_hand_and_against_scikit_learn():
    scores_ = np.concatenate([np.arange(1, 101), [0, 0.5, 5.5, 5.6, 50]]).astype(float)
    known = np.arange(105) < 100

    figures = open_set_figures(scores_, known)

    assert figures["false_positive_rate"].value == pytest.approx(1 / 5)
    assert figures["auroc"].value == pytest.approx(roc_auc_score(known, scores_))


def test_risk_and_coverage_by_hand():
    confidences = np.array([0.9, 0.8, 0.8, 0.5])
    right = np.array([True, True, False, False])

    curve = risk_coverage(confidences, right)

    assert curve["threshold"].tolist() == [0.9, 0.8, 0.5]
    assert curve["coverage"].tolist() == [0.25, 0.75, 1.0]
    assert curve["risk"].tolist() == pytest.approx([0, 1 / 3, 1 / 2])
    area = (0 + 0.5 / 2 + 1 / 3 + 2 / 4) / 4
    assert area_under_risk_coverage(confidences, right) == pytest.approx(area)
    assert area_under_risk_coverage(confidences[::-1], right[::-1]) == pytest.approx(area)


def test_energy_is_log_sum_exp():
    assert energy(np.log([[1.0, 2.0, 5.0]])) == pytest.approx(np.log([8.0]))


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


def test_mahalanobis_counts_distance_in_units_of_spread():
    generator = np.random.default_rng(0)
    training = generator.normal(size=(4000, 2)) * [1, 10]
    features = np.array([[0.0, 10.0], [3.0, 0.0]])

    found = mahalanobis(features, training, np.zeros(4000, int))

    assert found[0] > found[1]


def test_every_score_puts_known_photos_above_others():
    generator = np.random.default_rng(0)
    centers = 4 * np.eye(5)
    kind = np.repeat([0, 1, 2], 100)
    features = centers[kind] + 0.5 * generator.normal(size=(300, 5))
    logits = 3 * features
    training_labels = np.repeat([0, 1], 50)
    training = centers[training_labels] + 0.5 * generator.normal(size=(100, 5))

    compared = scores(logits, features, training, training_labels, [(0,), (1,)])

    for name in set(compared) - {"energy"}:
        assert roc_auc_score(kind < 2, compared[name]) > 0.95, name
    assert set(compared) > {"energy", "known_probability", "nearest_neighbors", "mahalanobis"}
