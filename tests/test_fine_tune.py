"""Fine-tuning starts from what the network knows, and trains what it is told to."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, run_stage, write_params

from pandacat.config.loading import load_config
from pandacat.config.training import FineTuneParams
from pandacat.data import store
from pandacat.data.features import read_features
from pandacat.labels import IMAGENET_CLASSES
from pandacat.metrics.accuracy import log_losses
from pandacat.models import pretrained
from pandacat.models.loading import load_classifier
from pandacat.models.probabilities import softmax
from pandacat.models.saved import SavedModel, load_model
from pandacat.training import fine_tune
from pandacat.training.calibration import fit_conformal_thresholds, fit_temperature
from pandacat.training.fine_tune import Data


@pytest.fixture
def settings() -> FineTuneParams:
    return replace(load_config(ROOT / "params.yaml").fine_tune, steps=1, batch_size=8)


@pytest.fixture
def untouched(workspace: Path) -> SavedModel:
    return load_model(workspace / "models/pretrained")


@pytest.fixture
def on_features(workspace: Path) -> Data:
    index = store.read_index(workspace / "data/photos")
    return fine_tune.from_features(index, read_features(workspace / "data/features"))


@pytest.fixture
def on_pictures(workspace: Path) -> Data:
    return fine_tune.from_pictures(workspace / "data/photos", 64)


def changed(before: SavedModel, after: dict[str, np.ndarray]) -> set[str]:
    assert before.tensors.keys() == after.keys()
    return {
        name for name, start in before.tensors.items() if not np.array_equal(start, after[name])
    }


def test_epoch_0_is_the_untouched_network(
    workspace: Path, untouched: SavedModel, on_features: Data, settings: FineTuneParams
) -> None:
    _, history = fine_tune.fine_tune(untouched, on_features, settings)
    classifier = load_classifier("pretrained", models=workspace / "models")
    probabilities = classifier.probabilities(on_features.validation.inputs.numpy())
    expected = log_losses(on_features.validation.classes.numpy(), probabilities).mean()
    start = history.epochs[0]
    assert start.epoch == 0
    assert start.metrics["validation_loss"] == pytest.approx(expected, rel=1e-4)


def test_the_head_alone_is_trained_on_features(
    untouched: SavedModel, on_features: Data, settings: FineTuneParams
) -> None:
    tensors, _ = fine_tune.fine_tune(untouched, on_features, settings)
    assert changed(untouched, tensors) == {"head.weight", "head.bias"}


def test_last_stages_leave_the_first_ones_alone(
    untouched: SavedModel, on_pictures: Data, settings: FineTuneParams
) -> None:
    last = replace(settings, strategy="last_stages", trained_stages=2, learning_rate=1e-5)
    tensors, _ = fine_tune.fine_tune(untouched, on_pictures, last)
    assert changed(untouched, tensors) == {
        "backbone.body.conv_head.weight",
        "backbone.body.bn2.weight",
        "backbone.body.bn2.bias",
        "head.weight",
        "head.bias",
    }


def test_everything_trains_every_weight_but_no_statistics(
    untouched: SavedModel, on_pictures: Data, settings: FineTuneParams
) -> None:
    everything = replace(settings, strategy="everything", learning_rate=1e-5)
    tensors, _ = fine_tune.fine_tune(untouched, on_pictures, everything)
    touched = changed(untouched, tensors)
    assert {"backbone.body.conv_stem.weight", "backbone.body.blocks.3.0.conv_dw.weight"} <= touched
    assert not any("running" in name for name in touched)


def test_the_fewer_photos_the_more_often_they_are_seen_and_once_at_least(
    untouched: SavedModel, on_features: Data, settings: FineTuneParams
) -> None:
    photos = len(on_features.train)
    for batches, epochs in ((1, 6), (2, 3), (6, 1), (photos, 1)):
        chosen = replace(settings, steps=6, batch_size=-(-photos // batches), patience=None)
        _, history = fine_tune.fine_tune(untouched, on_features, chosen)
        assert history.epochs[-1].epoch == epochs


def test_a_stronger_anchor_keeps_the_network_closer_to_its_start(
    untouched: SavedModel, on_features: Data, settings: FineTuneParams
) -> None:
    moved = []
    for l2_sp in (0.0, 0.1, 10.0):
        chosen = replace(settings, l2_sp=l2_sp, steps=10)
        tensors, _ = fine_tune.fine_tune(untouched, on_features, chosen)
        moved.append(np.linalg.norm(tensors["head.weight"] - untouched.tensors["head.weight"]))
    assert moved[0] > moved[1] > moved[2]


def test_a_network_that_only_gets_worse_stays_as_it_came(
    untouched: SavedModel, on_features: Data, settings: FineTuneParams
) -> None:
    reckless = replace(settings, learning_rate=50.0, l2_sp=0.0)
    tensors, history = fine_tune.fine_tune(untouched, on_features, reckless)
    assert history.best_epoch == 0
    assert not changed(untouched, tensors)


def test_only_shown_kinds_of_other_animals_move_far(
    untouched: SavedModel, on_features: Data, settings: FineTuneParams
) -> None:
    head = pretrained.restore_head(untouched.tensors)
    shown = fine_tune.classes_seen_in_other(head, on_features).numpy()
    chosen = replace(settings, steps=10, seen_class_scale=50)
    tensors, _ = fine_tune.fine_tune(untouched, on_features, chosen)
    steps = tensors["head.weight"] - untouched.tensors["head.weight"]
    moved = np.linalg.norm(steps, axis=1)
    assert 0 < shown.sum() < 500
    assert not shown[list(IMAGENET_CLASSES["panda"] + IMAGENET_CLASSES["cat"])].any()
    assert np.median(moved[shown]) > 10 * np.median(moved[~shown])


def test_the_temperature_undoes_boasting() -> None:
    generator = np.random.default_rng(0)
    honest = generator.normal(0, 2, (4000, 3))
    classes = np.array([generator.choice(3, p=share) for share in softmax(honest)])
    assert fit_temperature(3 * honest, classes) == pytest.approx(3, rel=0.1)


def test_the_temperature_stays_put_on_a_handful_of_faultless_answers() -> None:
    logits = 4 * np.eye(3)
    assert 0.4 < fit_temperature(logits, np.arange(3)) < 1


def test_the_promise_is_kept_on_new_photos() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (2, 20_000, 3))
    probabilities = softmax(logits)
    drawn = generator.random((2, 20_000, 1))
    classes = (probabilities.cumsum(axis=2) < drawn).sum(axis=2)
    promise = fit_conformal_thresholds(probabilities[0], classes[0], 0.9)
    for label, threshold in enumerate(promise.thresholds):
        own = probabilities[1][classes[1] == label, label]
        assert (own >= threshold).mean() == pytest.approx(0.9, abs=0.01)


def test_a_promise_that_too_few_photos_can_keep_is_told(capsys: pytest.CaptureFixture) -> None:
    probabilities = np.tile([0.5, 0.3, 0.2], (30, 1))
    few = np.array([0] * 8 + [1] * 9 + [2] * 13)
    assert fit_conformal_thresholds(probabilities, few, 0.9).thresholds == (0, 0.3)
    told = capsys.readouterr().err
    assert "needs 9 validation photos of panda, and as many of cat; there are 8 and 9" in told


def test_a_network_with_a_trunk_of_its_own_goes_through_the_stages(
    workspace: Path, small_params: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(workspace, tmp_path / "copy"))
    stages = {"strategy": "last_stages", "trained_stages": 1, "steps": 1}
    write_params(folder, small_params | {"fine_tune": small_params["fine_tune"] | stages})
    before = Path.cwd()
    os.chdir(folder)
    try:
        run_stage("fine_tune")
        run_stage("evaluate")
    finally:
        os.chdir(before)
    kept = read_features(folder / "data/features").backbone_key
    assert (folder / "metrics/evaluate.json").is_file()
    assert load_classifier("pretrained", models=folder / "models").backbone_key == kept
