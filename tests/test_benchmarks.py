"""The benchmarks: how seconds become ratios, and scores of their own."""

import argparse
import io
import json
import runpy
from pathlib import Path

import fine_tune
import gpu
import growth
import measuring
import numpy as np
import open_set
import pytest
import small_animals
import unknown_kinds
from conftest import ROOT
from PIL import Image
from ruamel.yaml import YAML
from sklearn.metrics import roc_auc_score
from small_heads import LABEL_CLASSES, with_head

from pandacat.core.errors import PandacatError
from pandacat.models.feature_classifier import FeatureClassifier


def test_ways_are_measured_in_turn() -> None:
    order: list[str] = []
    ways = {name: lambda name=name: order.append(name) for name in ("ours", "theirs")}
    seconds = measuring.in_turn(ways, repeats=2)
    assert order == ["ours", "theirs", "ours", "theirs"]
    assert [len(runs) for runs in seconds.values()] == [2, 2]


def test_a_ratio_compares_runs_of_the_same_turn() -> None:
    values = {"ours": [10.0, 20.0, 300.0], "theirs": [5.0, 10.0, 10.0]}
    assert measuring.ratio(values, "ours", "theirs") == 2.0
    assert measuring.rates({"ours": [2.0]}, 10) == {"ours": [5.0]}


def test_a_report_is_added_to_the_others_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(measuring, "PLOT", tmp_path / "results.png")
    for name in ("one", "two"):
        values = {"ours": [2.0, 4.0, 3.0], "theirs": [1.0]}
        comparison = measuring.Comparison(name, "photos/s", values, {"times theirs": 3.0})
        measuring.report(name, comparison)
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results) == ["machine", "one", "two"]
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")
    assert "| ours         | 3 | 3 |" in capsys.readouterr().out


def test_damaged_results_are_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results.json"
    results.write_text('{"one": ')
    monkeypatch.setattr(measuring, "RESULTS", results)
    comparison = measuring.Comparison("two", "s", {"ours": [1.0]}, {})
    with pytest.raises(PandacatError, match="is damaged"):
        measuring.report("two", comparison)
    assert results.read_text() == '{"one": '


@pytest.mark.parametrize("text", ["0", "-1", "two", ""])
def test_repeats_are_at_least_one(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="from 1 up"):
        measuring.repeats(text)
    assert measuring.repeats("3") == 3


def test_growth_is_relative_to_the_smallest_run() -> None:
    runs = {10: {"seconds": 1.0, "peak_mib": 100.0}, 100: {"seconds": 8.0, "peak_mib": 130.0}}
    assert "| predict | 100 | 8.00 | 12 | 130 | 1.30 |" in growth.table({"predict": runs})


def test_accuracy_with_and_without_other() -> None:
    probabilities = np.array([[0.3, 0.1, 0.6], [0.2, 0.3, 0.5], [0.4, 0.3, 0.3], [0.1, 0.1, 0.8]])
    labels = np.array([0, 1, 1, 2])
    measured = fine_tune.metrics(labels, probabilities)
    assert measured["closed-set accuracy"] == pytest.approx(2 / 3)
    assert measured["accuracy"] == 0.25
    assert measured["AUROC of other"] == 1.0


def test_energy_is_log_sum_exp() -> None:
    assert open_set.energy(np.log([[1.0, 2.0, 5.0]])) == pytest.approx(np.log([8.0]))


def test_mahalanobis_counts_distance_in_units_of_spread() -> None:
    training = np.random.default_rng(0).normal(size=(4000, 2)) * [1, 10]
    features = np.array([[0.0, 10.0], [3.0, 0.0]])

    scores = open_set.mahalanobis(
        features, open_set.TrainingFeatures(training, np.zeros(4000, int))
    )

    assert scores[0] > scores[1]


def test_every_score_separates_in_distribution_photos_from_others() -> None:
    rng = np.random.default_rng(0)
    centers = 4 * np.eye(5)
    kind = np.repeat([0, 1, 2], 100)
    features = centers[kind] + 0.5 * rng.normal(size=(300, 5))
    labels = np.repeat([0, 1], 50)
    training = open_set.TrainingFeatures(centers[labels] + 0.5 * rng.normal(size=(100, 5)), labels)

    scores = open_set.open_set_scores(3 * features, features, training, ((0,), (1,)))

    assert len(scores) == 6
    for name in set(scores) - {"energy"}:
        assert roc_auc_score(kind < 2, scores[name]) > 0.95, name


def test_scores_are_compared_for_the_center_and_for_all_crops() -> None:
    in_distribution = np.arange(60) % 3 < 2
    scores = in_distribution[:, None] + 0.1 * np.random.default_rng(0).normal(size=(60, 5))

    table = open_set.compare({"some": scores, "none": 0 * scores}, in_distribution)

    assert set(table.crops) == {"center", "mean", "maximum"}
    assert not table.duplicated(["score", "crops"]).any()
    assert (table.loc[table.score == "some", "auroc"] == 1).all()
    assert (table.loc[table.score == "none", "auroc"] == 0.5).all()
    assert (table.auroc_low <= table.auroc).all()


@pytest.mark.parametrize(
    "name", sorted({path.stem for path in (ROOT / "benchmarks").glob("*.py")} - {"measuring"})
)
def test_every_benchmark_explains_itself(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "benchmarks" / f"{name}.py"), run_name="__main__")
    assert stop.value.code == 0
    assert "usage" in capsys.readouterr().out


def test_an_error_for_the_user_is_a_sentence() -> None:
    def main() -> None:
        raise PandacatError("photos.zip is no zip.")

    with pytest.raises(SystemExit, match=r"^error: photos\.zip is no zip\.$"):
        measuring.run(main)


@pytest.mark.parametrize("size", [(640, 480), (900, 400), (400, 900)])
def test_windows_lie_inside_the_photo_and_are_shaped_like_a_scene(size: tuple[int, int]) -> None:
    for left, top, right, bottom in small_animals.windows(*size):
        assert 0 <= left < right <= size[0] + 1e-9
        assert 0 <= top < bottom <= size[1] + 1e-9
        assert (right - left) / (bottom - top) == pytest.approx(640 / 480)


def test_a_small_animal_covers_its_share_of_the_scene() -> None:
    scene, photo = (Image.new("RGB", (640, 480), color) for color in ("white", "black"))
    for share in small_animals.SHARES:
        pasted = small_animals.composed(scene, photo, share, np.random.default_rng(0))
        assert pasted == small_animals.composed(scene, photo, share, np.random.default_rng(0))
        dark = np.asarray(Image.open(io.BytesIO(pasted)).convert("L")) < 128
        side = share * scene.height
        assert dark.sum() == pytest.approx(np.pi / 4 * (0.875 * side) ** 2, rel=0.05)


def test_small_animals_are_counted_by_size_and_empty_scenes_by_themselves() -> None:
    small, large, empty = (
        small_animals.Case(label, share, b"")
        for label, share in (("cat", 0.25), ("cat", 0.55), ("other", 0))
    )
    cat, other = np.array([0.1, 0.8, 0.1]), np.array([0.1, 0.3, 0.6])
    found = [(small, [other]), (large, [cat]), (empty, [other])]
    table = small_animals.table(found, {"ours": ("panda", "cat", "other")}).ours
    expected = {"panda or cat among three": 50, "the right one of the two": 100}
    expected |= {"among three, 0.25 of the height": 0, "among three, 0.55 of the height": 100}
    expected |= {"empty scenes": 100}
    for title, percent in expected.items():
        assert table[title].startswith(f"{percent:.1f} %")


def test_a_network_that_is_unaware_of_a_kind_never_predicts_its_classes() -> None:
    model = with_head(np.random.default_rng(0).normal(size=(1000, 4)))
    features = np.random.default_rng(1).normal(size=(20, 1, 4))
    assert unknown_kinds.kinds(model) | {"other": ()} == {
        **dict(zip(("panda", "cat"), LABEL_CLASSES, strict=True)),
        "other": (),
    }
    without = FeatureClassifier(unknown_kinds.unaware(model, LABEL_CLASSES[1]))
    probabilities = without.probabilities(features)
    assert probabilities[:, 1].max() == 0
    before = FeatureClassifier(model).probabilities(features)[:, [0, 2]]
    rest = before / before.sum(axis=1, keepdims=True)
    assert probabilities[:, [0, 2]] == pytest.approx(rest, rel=1e-5)


def test_the_benchmark_of_a_gpu_copies_all_that_no_stage_makes() -> None:
    stages = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
    made = [output for outputs in gpu.stages_of(ROOT).values() for output in outputs]
    needed = {Path(dep) for stage in stages.values() for dep in stage["deps"]}
    there = [Path(name) for name in (*gpu.COPIED, *made)]
    assert not [dep for dep in needed if not any(dep.is_relative_to(place) for place in there)]
