"""Fine-tuning starts from the pretrained network, and trains what its strategy names."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, run_stage, write_params

from pandacat.config.loading import load_config
from pandacat.config.training import FineTuneParams
from pandacat.data.features import read_features
from pandacat.metrics.accuracy import log_losses
from pandacat.metrics.conformal import prediction_sets
from pandacat.models.classifier import Classifier
from pandacat.models.feature_classifier import FeatureClassifier
from pandacat.models.loading import load_classifier
from pandacat.models.probabilities import softmax
from pandacat.models.saved import SavedModel, load_model
from pandacat.training.batches import Dataset
from pandacat.training.calibration import (
    calibrate,
    fit_conformal_thresholds,
    fit_temperature,
    keep_neighbors,
)
from pandacat.training.fine_tune import UpdatedHead, classes_seen_in_other, fine_tune
from pandacat.training.photo_dataset import photo_features, photo_pixels

LABELS = ("panda", "cat", "other")


@pytest.fixture
def settings() -> FineTuneParams:
    return replace(load_config(ROOT / "params.yaml").fine_tune, steps=1, batch_size=8)


@pytest.fixture
def pretrained(workspace: Path) -> SavedModel:
    return load_model(workspace / "models/pretrained")


@pytest.fixture
def features(workspace: Path) -> Dataset:
    return photo_features(workspace / "data/photos", read_features(workspace / "data/features"))


@pytest.fixture
def pixels(workspace: Path) -> Dataset:
    return photo_pixels(workspace / "data/photos", 64)


def changed(before: SavedModel, after: SavedModel) -> set[str]:
    assert before.tensors.keys() == after.tensors.keys()
    return {
        name
        for name, start in before.tensors.items()
        if not np.array_equal(start, after.tensors[name])
    }


def test_epoch_0_is_the_pretrained_network(
    workspace: Path, pretrained: SavedModel, features: Dataset, settings: FineTuneParams
) -> None:
    _, history = fine_tune(pretrained, features, settings)
    classifier = load_classifier("pretrained", models=workspace / "models")
    probabilities = classifier.probabilities(features.validation.inputs.numpy())
    expected = log_losses(features.validation.classes.numpy(), probabilities).mean()
    start = history.epochs[0]
    assert start.epoch == 0
    assert start.metrics["validation_loss"] == pytest.approx(expected, rel=1e-4)


def test_the_head_alone_is_trained_on_features(
    pretrained: SavedModel, features: Dataset, settings: FineTuneParams
) -> None:
    model, _ = fine_tune(pretrained, features, settings)
    assert changed(pretrained, model) == {"head.weight", "head.bias"}
    assert model.description.trained_on == features.fingerprint
    assert model.description.title == features.title


def test_last_stages_leave_the_first_ones_alone(
    pretrained: SavedModel, pixels: Dataset, settings: FineTuneParams
) -> None:
    last = replace(settings, strategy="last_stages", trained_stages=2, learning_rate=1e-5)
    model, _ = fine_tune(pretrained, pixels, last)
    assert changed(pretrained, model) == {
        "backbone.body.conv_head.weight",
        "backbone.body.bn2.weight",
        "backbone.body.bn2.bias",
        "head.weight",
        "head.bias",
    }


def test_everything_trains_every_weight_but_no_statistics(
    pretrained: SavedModel, pixels: Dataset, settings: FineTuneParams
) -> None:
    everything = replace(settings, strategy="everything", learning_rate=1e-5)
    model, _ = fine_tune(pretrained, pixels, everything)
    trained = changed(pretrained, model)
    assert {"backbone.body.conv_stem.weight", "backbone.body.blocks.3.0.conv_dw.weight"} <= trained
    assert not any("running" in name for name in trained)


def test_steps_become_whole_epochs_and_one_at_least(
    pretrained: SavedModel, features: Dataset, settings: FineTuneParams
) -> None:
    photos = len(features.train)
    for batches, epochs in ((1, 6), (2, 3), (6, 1), (photos, 1)):
        chosen = replace(settings, steps=6, batch_size=-(-photos // batches), patience=None)
        _, history = fine_tune(pretrained, features, chosen)
        assert history.epochs[-1].epoch == epochs


def test_a_stronger_l2_sp_keeps_the_network_closer_to_its_start(
    pretrained: SavedModel, features: Dataset, settings: FineTuneParams
) -> None:
    distances = []
    for l2_sp in (0.0, 0.1, 10.0):
        model, _ = fine_tune(pretrained, features, replace(settings, l2_sp=l2_sp, steps=10))
        difference = model.tensors["head.weight"] - pretrained.tensors["head.weight"]
        distances.append(np.linalg.norm(difference))
    assert distances[0] > distances[1] > distances[2]


def test_a_network_that_only_gets_worse_stays_pretrained(
    pretrained: SavedModel, features: Dataset, settings: FineTuneParams
) -> None:
    reckless = replace(settings, learning_rate=50.0, l2_sp=0.0)
    model, history = fine_tune(pretrained, features, reckless)
    assert history.best.epoch == 0
    assert not changed(pretrained, model)


def test_rows_of_classes_seen_in_other_move_farther(
    pretrained: SavedModel, features: Dataset, settings: FineTuneParams
) -> None:
    label_classes = pretrained.description.label_classes
    head = UpdatedHead(pretrained.tensors["head.weight"], pretrained.tensors["head.bias"])
    seen = np.zeros(1000, bool)
    seen[classes_seen_in_other(head, features.train, label_classes, photos=1)] = True
    chosen = replace(settings, steps=10, seen_class_scale=50, seen_class_photos=1)
    model, _ = fine_tune(pretrained, features, chosen)
    difference = model.tensors["head.weight"] - pretrained.tensors["head.weight"]
    distances = np.linalg.norm(difference, axis=1)
    assert 0 < seen.sum() < 500
    assert not seen[np.concatenate(label_classes)].any()
    assert np.median(distances[seen]) > 10 * np.median(distances[~seen])


class Constant(torch.nn.Module):
    """A head that gives the same logits whatever it is given."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.logits


def test_a_class_is_seen_in_other_if_enough_photos_show_it(features: Dataset) -> None:
    class_count = 1000
    of_other = features.train.classes == len(LABELS) - 1
    photos, views = int(of_other.sum()), features.train.inputs.shape[1]
    logits = torch.zeros(photos, views, class_count)
    logits[:, :, 10] = 1
    logits[:2, 1, 20] = 2  # in an augmented copy of two photos
    logits[:3, 0, 30] = 3
    logits[4, :, 40] = 3  # in one photo and all of its copies
    label_classes = ((388,), (281,))

    def seen(at_least: int) -> list[int]:
        return classes_seen_in_other(Constant(logits), features.train, label_classes, at_least)

    assert seen(1) == [10, 20, 30, 40]
    assert seen(2) == [10, 20, 30]
    assert seen(3) == [10, 30]


def test_the_weights_lie_between_the_pretrained_and_the_trained_ones(
    pretrained: SavedModel, features: Dataset, settings: FineTuneParams
) -> None:
    whole, quarter = (
        fine_tune(pretrained, features, replace(settings, interpolation=share))[0]
        for share in (1.0, 0.25)
    )
    for name in ("head.weight", "head.bias"):
        start, end = pretrained.tensors[name], whole.tensors[name]
        expected = start + 0.25 * (end - start)
        np.testing.assert_allclose(quarter.tensors[name], expected, atol=1e-7)


def test_the_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    calibrated = rng.normal(0, 2, (4000, 3))
    classes = np.array([rng.choice(3, p=share) for share in softmax(calibrated)])
    assert fit_temperature(3 * calibrated, classes) == pytest.approx(3, rel=0.1)


def test_the_temperature_is_bounded_on_a_handful_of_correct_predictions() -> None:
    logits = 4 * np.eye(3)
    assert 0.4 < fit_temperature(logits, np.arange(3)) < 1


def photos_of_a_calibrated_network(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of pandas, cats and others, many of them sure, and their classes."""
    rng = np.random.default_rng(0)
    probabilities = softmax(rng.normal(0, 4, (count, 3)) + np.array([0, -1, 1]))
    return probabilities, (probabilities.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1)


def test_in_nine_of_ten_calibrations_the_sets_of_95_percent_of_each_labels_photos_hold_it() -> None:
    probabilities, classes = photos_of_a_calibrated_network(12_000)
    pools = [np.flatnonzero(classes == label) for label in range(3)]
    rng = np.random.default_rng(1)
    reached = []
    for _ in range(1000):
        drawn = np.concatenate([rng.choice(pool, 100) for pool in pools])
        conformal = fit_conformal_thresholds(
            probabilities[drawn], classes[drawn], LABELS, coverage=0.95, confidence=0.9
        )
        sets = prediction_sets(probabilities, conformal.thresholds)
        reached.append([sets[pool, label].mean() >= 0.95 for label, pool in enumerate(pools)])
        surer = probabilities.max(axis=1) > 0.9
        assert sets[surer, probabilities[surer].argmax(axis=1)].all()
    assert (np.mean(reached, axis=0) >= 0.9).all()


def test_too_few_photos_for_the_coverage_are_reported(capsys: pytest.CaptureFixture) -> None:
    probabilities = np.tile([0.5, 0.3, 0.2], (66, 1))
    few = np.array([0] * 21 + [1] * 22 + [2] * 23)

    def thresholds(**levels: float) -> tuple[float, ...]:
        return fit_conformal_thresholds(probabilities, few, LABELS, **levels).thresholds

    assert thresholds(coverage=0.9, confidence=0.9) == (0, 0.3, 0.2)
    reported = capsys.readouterr().err
    assert "fine_tune.coverage 0.9 with fine_tune.coverage_confidence 0.9 needs 22" in reported
    assert "22 validation photos of panda, and there are 21" in reported
    assert "of cat" not in reported
    assert "Lower one of them, raise preprocess.validation_share, or add photos." in reported
    thresholds(coverage=0.89, confidence=0.9)
    thresholds(coverage=0.9, confidence=0.88)
    few[-1] = 0
    thresholds(coverage=0.9, confidence=0.9)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("label_count", [1, 2, 3])
def test_a_model_is_calibrated_with_any_number_of_labels(
    pretrained: SavedModel, settings: FineTuneParams, label_count: int
) -> None:
    labels = ("panda", "cat", "fox")[:label_count]
    rows = ((388,), (281, 282), (277,))[:label_count]
    model = pretrained.described(labels=(*labels, "other"), label_classes=rows)
    classes = np.arange(90) % (label_count + 1)
    own = model.tensors["head.weight"][[388, 281, 277, 0]][:label_count]
    directions = np.vstack([own, model.tensors["head.weight"][:1]])
    features = directions[classes][:, None] + np.random.default_rng(0).normal(
        size=(90, 1, directions.shape[1])
    )
    model = keep_neighbors(model, features[:, 0], 50)
    chosen = replace(settings, coverage=0.8, coverage_confidence=0.9)
    model = calibrate(
        model,
        features,
        classes,
        chosen.calibration,
        lambda model: FeatureClassifier(model).logits(features),
    )
    calibrated = model.description
    assert calibrated.temperature == fit_temperature(Classifier(model).logits(features), classes)
    assert len(calibrated.conformal.thresholds) == label_count + 1
    assert all(0 < threshold <= 0.5 for threshold in calibrated.conformal.thresholds)


def test_a_network_with_a_backbone_of_its_own_goes_through_the_stages(
    workspace: Path, small_params: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(workspace, tmp_path / "copy"))
    stages = {"strategy": "last_stages", "trained_stages": 1, "steps": 4, "batch_size": 8}
    write_params(folder, small_params | {"fine_tune": small_params["fine_tune"] | stages})
    before = Path.cwd()
    os.chdir(folder)
    try:
        run_stage("fine_tune")
        run_stage("evaluate")
    finally:
        os.chdir(before)
    stored = read_features(folder / "data/features").backbone_key
    assert (folder / "metrics/evaluate.json").is_file()
    assert load_classifier("pretrained", models=folder / "models").backbone_key == stored
    assert load_classifier("fine-tuned", models=folder / "models").backbone_key != stored
