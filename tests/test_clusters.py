"""Intervals of metrics on photos that come in clusters: several of one source and kind."""

import numpy as np
import pandas as pd
import pytest
from conftest import PROBABILITY_COLUMNS

from pandacat.evaluation.clusters import clusters_of
from pandacat.evaluation.compare import compare_networks, evaluate
from pandacat.metrics.intervals import (
    Interval,
    cluster_bootstrap,
    mean_of_independent,
    proportion,
    widened,
)
from pandacat.metrics.paired import cluster_paired_difference, mcnemar

KINDS = {"panda": (40, 22, 6), "cat": (20, 16, 15, 5, 2), "other": (40, 40, 38, 30, 29, 11, 8, 4)}
"""By label, how many photos there are of each source or kind."""

LABELS = np.repeat(list(KINDS), [sum(sizes) for sizes in KINDS.values()])
SIZES = np.concatenate(list(KINDS.values()))
CLUSTERS = np.repeat(np.arange(len(SIZES)), SIZES)


def test_kinds_that_differ_are_seen_in_the_intervals():
    generator, covered = np.random.default_rng(0), np.zeros(2)
    for seed in range(120):
        easy = generator.beta(0.94 * 9, 0.06 * 9, len(SIZES))  # a tenth of the variance is theirs
        correct = (generator.random(len(LABELS)) < easy[CLUSTERS]).astype(float)
        recalls = [proportion(correct[label == LABELS]) for label in KINDS]
        photos_alone = mean_of_independent(recalls)

        def score(photos, correct=correct):
            recalls = [correct[photos][label == LABELS].mean() for label in KINDS]
            return np.mean(recalls, keepdims=True)

        resampled = cluster_bootstrap(score, LABELS, CLUSTERS, seed, resamples=200)
        both = photos_alone, widened(photos_alone, resampled[:, 0])
        covered += [each.low <= 0.94 <= each.high for each in both]
    photos_only, by_kind = covered / 120
    assert photos_only < 0.8
    assert by_kind > 0.88


def drawn_photos(clusters, strata, resamples=200):
    """Return which photos are in each resample, `(resamples, N)`, sorted."""
    strata = np.asarray(strata)
    indices = cluster_bootstrap(np.sort, strata, np.asarray(clusters), seed=0, resamples=resamples)
    assert all((np.bincount(strata[photos]) == np.bincount(strata)).all() for photos in indices)
    return indices


def test_whole_clusters_are_drawn_and_labels_keep_their_sizes():
    clusters = [0] * 6 + [1] * 2 + [2] * 4 + [3, 4, 5]
    strata = [0] * 12 + [1] * 3
    for photos in drawn_photos(clusters, strata):
        first = {photo for photo in photos if photo < 12}
        kinds = {clusters[photo] for photo in first}
        assert len(kinds) in (1, 2)
        if len(kinds) == 1:
            assert first == {photo for photo in range(12) if clusters[photo] in kinds}


@pytest.mark.parametrize("clusters", [[0] * 8, [0, 1] * 4])
def test_photos_are_drawn_of_a_label_with_fewer_than_three_clusters(clusters):
    drawn = {tuple(photos) for photos in drawn_photos(clusters, [0] * 8)}
    assert len(drawn) > 150


def test_the_spread_of_resamples_is_that_of_a_mean_of_clusters():
    values = np.random.default_rng(0).standard_normal(5)
    of_photos, clusters = np.repeat(values, 7), np.repeat(np.arange(5), 7)
    means = cluster_bootstrap(
        lambda photos: of_photos[photos].mean(keepdims=True), clusters * 0, clusters, seed=0
    )
    assert means.std() == pytest.approx(values.std(ddof=1) / np.sqrt(5), rel=0.06)


def test_an_interval_is_widened_and_never_narrowed():
    values = np.array([*np.linspace(0.7, 0.95, 999), np.nan])
    wide = widened(Interval(0.9, 0.85, 0.97), values)
    assert (wide.value, wide.high) == (0.9, 0.97)
    assert 0.7 < wide.low < 0.71


def test_the_kind_is_what_a_name_has_before_two_underscores():
    table = pd.DataFrame({"path": ["cat/a__1.jpg", "cat/a__2__b.jpg", "x__y/c_d.jpg"]})
    clusters = clusters_of(table)
    assert clusters is not None
    assert list(clusters) == ["a", "a", "x__y/c_d.jpg"]
    assert clusters_of(table[2:]) is None


def field_test(**correct_by_kind):
    """Return predictions of 12 kinds of four photos; networks are correct on the first kinds."""
    tables = []
    for network, correct in correct_by_kind.items():
        kinds = np.repeat(np.arange(12), 4)
        labels = kinds // 4
        predicted = np.where(kinds % 4 < correct, labels, (labels + 1) % 3)
        table = pd.DataFrame(np.eye(3)[predicted] * 0.7 + 0.1, columns=PROBABILITY_COLUMNS)
        names = np.array(["panda", "cat", "other"])[labels]
        path = [
            f"{name}/k{kind}__{photo}.jpg"
            for photo, (name, kind) in enumerate(zip(names, kinds, strict=True))
        ]
        tables.append(table.assign(path=path, label=names, split="field_test", network=network))
    return pd.concat(tables, ignore_index=True)


def test_networks_that_differ_on_few_kinds_do_not_clearly_differ():
    table = field_test(fine_tuned=4, pretrained=3)
    alone = compare_networks(table, seed=0).set_index("measure")
    clustered = compare_networks(table, seed=0, clusters=clusters_of(table)).set_index("measure")
    assert alone.p_value["accuracy"] < 0.001
    assert clustered.p_value["accuracy"] > 0.01
    assert (clustered.difference == alone.difference).all()
    assert (clustered.low < alone.low).any()


def test_a_difference_is_significant_where_its_interval_excludes_zero():
    generator = np.random.default_rng(0)
    outcomes = set()
    for seed in range(25):
        first, second = (generator.random((2, len(LABELS))) < [[0.95], [0.9]]).astype(float)
        test = mcnemar(first, second)
        wide, p_value = cluster_paired_difference(
            test.difference, first - second, LABELS, CLUSTERS, seed
        )
        significant = max(p_value, test.p_value) < 0.05
        assert significant == (not wide.low <= 0 <= wide.high)
        outcomes.add(significant)
    assert outcomes == {True, False}


def test_all_intervals_are_widened_around_the_same_values():
    table = field_test(fine_tuned=3, pretrained=2)
    clusters = clusters_of(table)
    differences = compare_networks(table, seed=0)
    alone, clustered = (
        evaluate(table, differences, seed=0, clusters=each)["fine_tuned"]
        for each in (None, clusters)
    )
    pairs = list(intervals(alone, clustered))
    assert len(pairs) > 12
    for before, after in pairs:
        assert after["value"] == before["value"]
        assert after["low"] <= before["low"]
        assert before["high"] <= after["high"]
        assert after != before
    assert alone["confusion"] == clustered["confusion"]


def intervals(alone, clustered):
    """Yield all intervals of both, but those of differences."""
    for key, value in alone.items():
        if isinstance(value, dict) and "low" in value:
            yield value, clustered[key]
        elif isinstance(value, dict):
            yield from intervals(value, clustered[key])
