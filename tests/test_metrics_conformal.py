import numpy as np
import pytest

from pandacat.metrics.conformal import threshold


def measured_coverage(sets, labels):
    return sets[np.arange(len(labels)), labels].mean()


def some_photos(photos=600, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, photos)
    ease = np.array([2.0, 2.0, 0.5])  # one label is harder than the others
    evidence = generator.normal(size=(photos, 3)) + np.diag(ease)[labels]
    probabilities = np.exp(evidence)
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


def test_the_threshold_allows_as_many_misses_as_the_coverage_does():
    own = np.random.default_rng(0).permutation(np.arange(1, 20) / 20)

    assert threshold(own, 0.9) == pytest.approx(2 / 20)
    assert threshold(own, 0.95) == pytest.approx(1 / 20)


def test_with_too_few_photos_for_the_coverage_every_label_is_in_every_set():
    assert threshold(np.full(10, 0.9), 0.95) == 0
    assert threshold(np.array([]), 0.95) == 0


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_over_many_splits_the_sets_contain_the_true_label_at_the_coverage(coverage):
    labels, probabilities = some_photos()
    own = probabilities[np.arange(600), labels]
    generator = np.random.default_rng(1)
    measured = []
    for _ in range(300):
        order = generator.permutation(600)
        validation, test = order[:200], order[200:]
        sets = probabilities[test] >= threshold(own[validation], coverage)
        measured.append(measured_coverage(sets, labels[test]))

    # Between the coverage and 1 / (photos + 1) more, give or take three standard errors.
    slack = 3 * np.std(measured) / np.sqrt(len(measured))
    assert coverage - slack <= np.mean(measured) <= coverage + 1 / 201 + slack


def test_the_coverage_can_hold_for_each_label():
    labels, probabilities = some_photos(6000)
    half = np.arange(6000) < 3000
    own = probabilities[np.arange(6000), labels]

    def lowest_coverage(thresholds):
        sets, truth = probabilities[~half] >= thresholds, labels[~half]
        return min(measured_coverage(sets[truth == k], truth[truth == k]) for k in range(3))

    overall = threshold(own[half], 0.9)
    by_label = [threshold(own[half & (labels == k)], 0.9) for k in range(3)]

    assert lowest_coverage(overall) < 0.88
    assert lowest_coverage(by_label) > 0.88
