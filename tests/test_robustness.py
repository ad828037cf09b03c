import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import PROBABILITY_COLUMNS
from PIL import Image

from pandacat.config.loading import load_config
from pandacat.core.tables import read_table
from pandacat.data import store
from pandacat.data.images import encode_jpeg
from pandacat.evaluation.compare import compare_networks
from pandacat.evaluation.corruptions import CORRUPTIONS
from pandacat.evaluation.networks import NETWORKS
from pandacat.evaluation.perturbed_predictions import (
    lowest_quality,
    predict_corrupted,
    stratified_subsets,
)
from pandacat.evaluation.robustness_metrics import (
    accuracies,
    changed_predictions,
    robustness_metrics,
)
from pandacat.evaluation.shortcuts import header_properties
from pandacat.models.loading import load_classifier

LABEL_OF = pd.Series(["cat"] * 12 + ["panda"] * 6 + ["other"] * 6)
PANDA, CAT, OTHER = np.eye(3) * 0.7 + 0.1


def table(networks: dict[str, list[np.ndarray]], labels: list[str], **columns: int) -> pd.DataFrame:
    """Return a table of predictions; photo k is called `photo k`."""
    names = [f"photo {k}" for k in range(len(labels))]
    return pd.concat(
        [
            pd.DataFrame(rows, columns=PROBABILITY_COLUMNS).assign(
                path=names, label=labels, split="test", network=network, **columns
            )
            for network, rows in networks.items()
        ],
        ignore_index=True,
    )


def test_no_photo_is_drawn_twice_before_each_was_drawn_once():
    first, second = stratified_subsets(LABEL_OF, count=2, size=12, seed=0)

    assert sorted([*first, *second]) == list(range(24))


def test_every_subset_has_the_labels_in_their_shares():
    for subset in stratified_subsets(LABEL_OF, count=9, size=8, seed=0):
        counts = LABEL_OF[subset].value_counts()
        assert counts["cat"] == 4
        assert 1 <= counts["panda"] <= 3


def test_a_subset_holds_at_most_all_photos_and_depends_on_the_seed_alone():
    (all_of_them,) = stratified_subsets(LABEL_OF, count=1, size=1000, seed=0)
    (again,) = stratified_subsets(LABEL_OF, count=1, size=1000, seed=0)
    (others,) = stratified_subsets(LABEL_OF, count=1, size=1000, seed=1)

    assert sorted(all_of_them) == list(range(24))
    assert (all_of_them == again).all()
    assert (all_of_them != others).any()


def step_at(quality: int) -> float:
    data = encode_jpeg(Image.new("RGB", (16, 16)), quality)
    return float(header_properties(data)["quantization"])


def test_all_photos_get_the_quality_of_the_label_that_is_compressed_most():
    typical = {"panda": step_at(95), "cat": step_at(60), "other": step_at(70)}

    assert lowest_quality(typical) == 60
    assert lowest_quality({"panda": 0.0, "cat": step_at(95)}) == 95  # a PNG is not compressed


def test_accuracies_by_hand_with_several_versions_of_a_photo_counted_once():
    one = table({"a": [PANDA, CAT, CAT]}, ["panda", "panda", "other"], severity=1)
    two = one.assign(severity=2)

    (row,) = accuracies(pd.concat([one, two]), []).to_dict("records")

    assert (row["two_class_accuracy"], row["accuracy"]) == pytest.approx((1 / 2, 1 / 3))
    alone = accuracies(one, []).iloc[0]
    assert row["photos"] == 3
    assert row["two_class_accuracy_low"] == alone.two_class_accuracy_low


def test_the_accuracy_of_a_pair_is_nan_without_photos_of_it():
    row = accuracies(table({"a": [CAT]}, ["other"], severity=3), ["severity"]).iloc[0]

    assert row.accuracy == 0
    assert np.isnan(row.two_class_accuracy)


def test_a_pair_is_compared_only_where_there_are_two_in_distribution_labels():
    one = table({"fine_tuned": [PANDA, CAT], "scratch": [CAT, CAT]}, ["panda", "cat"], severity=1)
    one["quality"] = 60
    one.insert(2, "p_fox", 0.0)

    metrics = robustness_metrics(one, one, one, seed=0)["test"]

    assert set(metrics["fine_tuned"]["corrupted"]) == {"accuracy"}
    assert set(metrics["scratch"]["fine_tuned_difference"]) == {"accuracy"}
    assert "swapped_when_recompressed" not in metrics["fine_tuned"]


def test_changed_predictions_by_hand():
    labels = ["panda", "cat", "other", "cat"]
    before = table({"a": [PANDA, CAT, OTHER, OTHER]}, labels)
    after = table({"a": [CAT, CAT, OTHER, CAT]}, labels, quality=60)

    rows = changed_predictions(before, after).set_index("label")

    assert rows.changed.to_dict() == {"panda": 1, "cat": 0.5, "other": 0, "all": 0.5}
    assert rows.to_cat.to_dict() == {"panda": 1, "cat": 0.5, "other": 0, "all": 0.5}
    assert not rows[["to_panda", "to_other"]].any(axis=None)
    assert (rows.quality == 60).all()
    assert rows.swapped.to_dict() == {"panda": 1, "cat": 0, "other": 0, "all": 0.25}
    assert rows.loc["all", ["correct_before", "correct_after"]].tolist() == [0.75, 0.75]


def test_differences_are_paired_photo_by_photo():
    labels = ["panda", "cat"] * 10
    correct, wrong = [PANDA, CAT] * 10, [CAT, CAT] * 10

    one = table({"scratch": wrong, "fine_tuned": correct}, labels)
    versions = pd.concat([one.assign(severity=1), one.assign(severity=2)])

    differences = compare_networks(versions, seed=0).set_index("measure")

    two = differences.loc["two_class_accuracy"]
    assert (two.difference, two.only_ours, two.only_theirs) == (0.5, 10, 0)
    alone = compare_networks(one, seed=0).set_index("measure").loc["two_class_accuracy"]
    assert (two.low, two.high, two.p_value) == (alone.low, alone.high, alone.p_value)


@pytest.fixture
def corrupted_with(workspace: Path) -> Callable[[int], pd.DataFrame]:
    """Return a function that predicts so many photos for each corruption and severity."""
    classifiers = {"scratch": load_classifier("scratch-photos", models=workspace / "models")}
    params = load_config(workspace / "params.yaml").robustness

    def predict(photos: int) -> pd.DataFrame:
        return predict_corrupted(
            classifiers, workspace / "data/photos", replace(params, photos=photos)
        )

    return predict


def test_a_photo_is_corrupted_the_same_however_many_others_are(corrupted_with):
    key = ["path", "corruption", "severity"]
    few = corrupted_with(1).set_index(key)
    many = corrupted_with(3).set_index(key)

    assert len(many) == 3 * len(few)
    both = many.loc[many.index.intersection(few.index)]
    assert len(both) > 0
    np.testing.assert_allclose(
        both[PROBABILITY_COLUMNS], few.loc[both.index][PROBABILITY_COLUMNS], atol=1e-6
    )


def test_the_number_of_cores_changes_nothing(corrupted_with, monkeypatch):
    one = corrupted_with(2)
    monkeypatch.setattr("pandacat.core.parallel.core_count", lambda: 5)

    pd.testing.assert_frame_equal(corrupted_with(2), one)


def test_every_network_predicts_every_corruption_and_severity(workspace):
    corrupted = pd.read_csv(workspace / "data/predictions/corrupted.csv")

    kinds = {
        network: set(zip(rows.corruption, rows.severity, strict=True))
        for network, rows in corrupted.groupby("network")
    }
    expected = {(name, severity) for name in CORRUPTIONS for severity in (1, 5)}
    assert kinds == dict.fromkeys(NETWORKS, expected)


def test_only_test_photos_are_recompressed_all_of_them_where_they_are_few(workspace):
    index = store.read_index(workspace / "data/photos")
    recompressed = read_table(workspace / "data/predictions/recompressed.csv")

    assert set(recompressed.path) == set(index.name[index.split == "test"])
    assert recompressed.quality.nunique() == 1
    assert set(recompressed.label) == {"panda", "cat", "other"}


def test_the_metrics_are_those_of_the_tables(workspace):
    metrics = json.loads((workspace / "metrics/robustness.json").read_text())["test"]
    cells = pd.read_csv(workspace / "plots/corruptions.csv")
    for network, rows in cells.groupby("network"):
        mean = np.average(rows.accuracy, weights=rows.photos)
        accuracy = metrics[network]["corrupted"]["accuracy"]
        assert accuracy["value"] == pytest.approx(mean, abs=1e-5)
        assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    changed = pd.read_csv(workspace / "plots/changed_predictions.csv")
    for row in changed.itertuples():
        figures = metrics[row.network]["changed_when_recompressed"][row.label]
        assert figures["value"] == pytest.approx(row.changed, abs=1e-5)
        assert sum(figures["to"].values()) == pytest.approx(row.changed * row.photos, abs=1e-2)
    assert "fine_tuned_difference" in metrics["linear_probe"]
    assert "fine_tuned_difference" not in metrics["fine_tuned"]
