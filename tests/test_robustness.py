import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import PROBABILITY_COLUMNS
from PIL import Image

from pandacat.config import schema
from pandacat.config.loading import load_config
from pandacat.core.tables import read_table
from pandacat.data import store
from pandacat.data.images import encode_jpeg
from pandacat.evaluation import robustness
from pandacat.evaluation.corruptions import CORRUPTIONS
from pandacat.evaluation.shortcuts import header_properties
from pandacat.labels import LABELS
from pandacat.models.loading import load_classifier

LABEL_OF = pd.Series(["cat"] * 12 + ["panda"] * 6 + ["other"] * 6)
PANDA, CAT, OTHER = np.eye(3) * 0.7 + 0.1


def table(answers: dict[str, list[np.ndarray]], labels: list[str], **columns: object):
    """Return a table of predictions; photo k is called `photo k`."""
    names = [f"photo {k}" for k in range(len(labels))]
    return pd.concat(
        [
            pd.DataFrame(rows, columns=PROBABILITY_COLUMNS).assign(
                path=names, label=labels, split="test", network=network, **columns
            )
            for network, rows in answers.items()
        ],
        ignore_index=True,
    )


def test_no_photo_is_dealt_twice_before_each_was_dealt_once():
    first, second = robustness.deal(LABEL_OF, hands=2, size=12, seed=0)

    assert sorted([*first, *second]) == list(range(24))


def test_every_hand_has_the_labels_in_their_shares():
    for hand in robustness.deal(LABEL_OF, hands=9, size=8, seed=0):
        counts = LABEL_OF[hand].value_counts()
        assert counts["cat"] == 4
        assert 1 <= counts["panda"] <= 3


def test_a_hand_holds_at_most_all_photos_and_depends_on_the_seed_alone():
    (all_of_them,) = robustness.deal(LABEL_OF, hands=1, size=1000, seed=0)
    (again,) = robustness.deal(LABEL_OF, hands=1, size=1000, seed=0)
    (others,) = robustness.deal(LABEL_OF, hands=1, size=1000, seed=1)

    assert sorted(all_of_them) == list(range(24))
    assert (all_of_them == again).all()
    assert (all_of_them != others).any()


def step_at(quality: int) -> float:
    data = encode_jpeg(Image.new("RGB", (16, 16)), quality)
    return float(header_properties(data)["quantization"])


def test_each_label_borrows_the_quality_of_the_label_that_was_saved_least_like_it():
    typical = {"panda": step_at(95), "cat": step_at(60), "other": step_at(70)}

    assert robustness.borrowed_qualities(typical) == {"panda": 60, "cat": 95, "other": 95}


def test_files_that_are_no_jpeg_count_as_the_best_quality():
    assert robustness.borrowed_qualities({"panda": 0.0, "cat": step_at(50)}) == {
        "panda": 50,
        "cat": 100,
    }


def test_accuracies_by_hand_and_several_versions_of_a_photo_count_once():
    one = table({"a": [PANDA, CAT, CAT]}, ["panda", "panda", "other"], severity=1)
    two = one.assign(severity=2)

    (row,) = robustness.accuracies(pd.concat([one, two]), []).to_dict("records")

    assert (row["two_class_accuracy"], row["accuracy"]) == pytest.approx((1 / 2, 1 / 3))
    alone = robustness.accuracies(one, []).iloc[0]
    assert row["photos"] == 3
    assert row["two_class_accuracy_low"] == alone.two_class_accuracy_low


def test_what_others_alone_can_not_tell_is_left_open():
    found = robustness.accuracies(table({"a": [CAT]}, ["other"], severity=3), ["severity"]).iloc[0]

    assert found.accuracy == 0
    assert np.isnan(found.two_class_accuracy)


def test_flips_by_hand():
    labels = ["panda", "cat", "other", "cat"]
    before = table({"a": [PANDA, CAT, OTHER, OTHER]}, labels)
    after = table({"a": [CAT, CAT, OTHER, CAT]}, labels, quality=60)

    found = robustness.changed_predictions(before, after).set_index("label")

    assert found.changed.to_dict() == {"panda": 1, "cat": 0.5, "other": 0, "all": 0.5}
    assert found.swapped.to_dict() == {"panda": 1, "cat": 0, "other": 0, "all": 0.25}
    assert found.loc["all", ["right_before", "right_after"]].tolist() == [0.75, 0.75]


def test_being_ahead_is_judged_photo_by_photo():
    labels = ["panda", "cat"] * 10
    right, wrong = [PANDA, CAT] * 10, [CAT, CAT] * 10

    found = robustness.paired_differences(
        table({"rival": wrong, "fine_tuned": right}, labels), seed=0
    )

    assert found["rival"]["two_class_accuracy"] == {"value": 0.5, "low": 0.5, "high": 0.5}


@pytest.fixture
def settings(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> schema.Config:
    monkeypatch.chdir(workspace)
    return load_config()


def corrupted_with(settings: schema.Config, workspace: Path, photos: int) -> pd.DataFrame:
    classifiers = {"scratch": load_classifier("scratch-photos", models=workspace / "models")}
    chosen = replace(settings.robustness, photos=photos)
    return robustness.predict_corrupted(classifiers, workspace / "data/photos", chosen)


def test_a_photo_is_corrupted_the_same_however_many_others_are(settings, workspace):
    key = ["path", "corruption", "severity"]
    few = corrupted_with(settings, workspace, 1).set_index(key)
    many = corrupted_with(settings, workspace, 3).set_index(key)

    assert len(many) == 3 * len(few)
    both = many.loc[many.index.intersection(few.index)]
    assert len(both) > 0
    np.testing.assert_allclose(
        both[PROBABILITY_COLUMNS], few.loc[both.index][PROBABILITY_COLUMNS], atol=1e-6
    )


def test_the_number_of_cores_changes_nothing(settings, workspace, monkeypatch):
    one = corrupted_with(settings, workspace, 2)
    monkeypatch.setattr("pandacat.core.parallel.core_count", lambda: 5)

    pd.testing.assert_frame_equal(corrupted_with(settings, workspace, 2), one)


def test_every_corruption_and_severity_is_looked_at_by_every_network(workspace):
    judged = pd.read_csv(workspace / "data/predictions/corrupted.csv")

    kinds = judged.groupby("network")[["corruption", "severity"]].apply(
        lambda rows: set(map(tuple, rows.to_numpy()))
    )
    wanted = {(name, severity) for name in CORRUPTIONS for severity in (1, 5)}
    assert set(kinds.index) == {"scratch", "pretrained", "linear_probe", "fine_tuned"}
    assert all(found == wanted for found in kinds)


def test_only_test_photos_are_saved_again_all_of_them_where_they_are_few(workspace):
    index = store.read_index(workspace / "data/photos")
    recompressed = read_table(workspace / "data/predictions/recompressed.csv")

    assert set(recompressed.path) == set(index.name[index.split == "test"])
    assert recompressed.groupby("label").quality.nunique().eq(1).all()
    assert set(recompressed.label) == set(LABELS)


def test_the_figures_are_those_of_the_tables(workspace):
    figures = json.loads((workspace / "metrics/robustness.json").read_text())["test"]
    cells = pd.read_csv(workspace / "plots/corruptions.csv")
    for network, rows in cells.groupby("network"):
        mean = np.average(rows.accuracy, weights=rows.photos)
        found = figures[network]["corrupted"]["accuracy"]
        assert found["value"] == pytest.approx(mean, abs=1e-5)
        assert found["low"] <= found["value"] <= found["high"]
    flips = pd.read_csv(workspace / "plots/changed_predictions.csv")
    for row in flips[flips.label == "all"].itertuples():
        assert figures[row.network]["changed_when_recompressed"]["value"] == pytest.approx(
            row.changed, abs=1e-5
        )
    assert "fine_tuned_difference" in figures["linear_probe"]
    assert "fine_tuned_difference" not in figures["fine_tuned"]
