"""Fine-tuning starts from what the network knows, and trains what it is told to."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, run_stage, write_params

from pandacat import features, fine_tuning, params, shards
from pandacat.fine_tuning import Data
from pandacat.labels import IMAGENET_CLASSES
from pandacat.measure.accuracy import log_losses
from pandacat.networks import pretrained
from pandacat.networks.pretrained import PretrainedNetwork
from pandacat.params import FineTuneParams
from pandacat.recogniser import open_model, softmax


@pytest.fixture
def settings() -> FineTuneParams:
    return replace(params.load(ROOT / "params.yaml").fine_tune, epochs=1, batch_size=8)


@pytest.fixture
def network() -> PretrainedNetwork:
    return pretrained.load("efficientnet_lite0")


@pytest.fixture
def on_features(workspace: Path) -> Data:
    index = shards.read_index(workspace / "data/photos")
    return fine_tuning.from_features(index, features.read(workspace / "data/features"))


@pytest.fixture
def on_pictures(workspace: Path) -> Data:
    return fine_tuning.from_pictures(workspace / "data/photos", 64)


def copied(network: PretrainedNetwork) -> dict[str, np.ndarray]:
    return {name: values.copy() for name, values in network.tensors().items()}


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    return {name for name in before if not np.array_equal(before[name], after[name])}


def test_epoch_0_is_the_untouched_network(
    workspace: Path, network: PretrainedNetwork, on_features: Data, settings: FineTuneParams
) -> None:
    history = fine_tuning.fine_tune(network, on_features, settings)
    untouched = open_model("pretrained", models=workspace / "models")
    probabilities = untouched.probabilities(on_features.validation.inputs.numpy())
    expected = log_losses(on_features.validation.classes.numpy(), probabilities).mean()
    start = history.epochs[0]
    assert start.epoch == 0
    assert start.metrics["validation_loss"] == pytest.approx(expected, rel=1e-4)


def test_the_head_alone_is_trained_on_features(
    network: PretrainedNetwork, on_features: Data, settings: FineTuneParams
) -> None:
    before = copied(network)
    fine_tuning.fine_tune(network, on_features, settings)
    assert changed(before, network.tensors()) == {"head.weight", "head.bias"}


def test_last_stages_leave_the_first_ones_alone(
    network: PretrainedNetwork, on_pictures: Data, settings: FineTuneParams
) -> None:
    before = copied(network)
    last = replace(settings, strategy="last_stages", trained_stages=2, learning_rate=1e-5)
    fine_tuning.fine_tune(network, on_pictures, last)
    assert changed(before, network.tensors()) == {
        "trunk.body.conv_head.weight",
        "trunk.body.bn2.weight",
        "trunk.body.bn2.bias",
        "head.weight",
        "head.bias",
    }


def test_everything_trains_every_weight_but_no_statistics(
    network: PretrainedNetwork, on_pictures: Data, settings: FineTuneParams
) -> None:
    before = copied(network)
    everything = replace(settings, strategy="everything", learning_rate=1e-5)
    fine_tuning.fine_tune(network, on_pictures, everything)
    touched = changed(before, network.tensors())
    assert {"trunk.body.conv_stem.weight", "trunk.body.blocks.3.0.conv_dw.weight"} <= touched
    assert not any("running" in name for name in touched)


def test_a_stronger_anchor_keeps_the_network_closer_to_its_start(
    on_features: Data, settings: FineTuneParams
) -> None:
    moved = []
    for anchor in (0.0, 0.1, 10.0):
        network = pretrained.load("efficientnet_lite0")
        start = network.head.weight.detach().clone()
        fine_tuning.fine_tune(network, on_features, replace(settings, anchor=anchor, epochs=3))
        moved.append(float((network.head.weight.detach() - start).norm()))
    assert moved[0] > moved[1] > moved[2]


def test_a_network_that_only_gets_worse_stays_as_it_came(
    network: PretrainedNetwork, on_features: Data, settings: FineTuneParams
) -> None:
    before = copied(network)
    reckless = replace(settings, learning_rate=50.0, anchor=0.0)
    history = fine_tuning.fine_tune(network, on_features, reckless)
    assert history.best_epoch == 0
    assert not changed(before, network.tensors())


def test_only_shown_kinds_of_other_animals_move_far(
    network: PretrainedNetwork, on_features: Data, settings: FineTuneParams
) -> None:
    shown = fine_tuning.shown_others(network.head, on_features).numpy()
    start = network.head.weight.detach().numpy().copy()
    fine_tuning.fine_tune(network, on_features, replace(settings, epochs=3, freedom=50))
    moved = np.linalg.norm(network.head.weight.detach().numpy() - start, axis=1)
    assert 0 < shown.sum() < 500
    assert not shown[list(IMAGENET_CLASSES["panda"] + IMAGENET_CLASSES["cat"])].any()
    assert np.median(moved[shown]) > 10 * np.median(moved[~shown])


def test_the_temperature_undoes_boasting() -> None:
    generator = np.random.default_rng(0)
    honest = generator.normal(0, 2, (4000, 3))
    classes = np.array([generator.choice(3, p=share) for share in softmax(honest)])
    assert fine_tuning.fit_temperature(3 * honest, classes) == pytest.approx(3, rel=0.1)


def test_the_temperature_stays_put_on_a_handful_of_faultless_answers() -> None:
    logits = 4 * np.eye(3)
    assert 0.4 < fine_tuning.fit_temperature(logits, np.arange(3)) < 1


def test_the_promise_is_kept_on_new_photos() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (2, 20_000, 3))
    probabilities = softmax(logits)
    drawn = generator.random((2, 20_000, 1))
    classes = (probabilities.cumsum(axis=2) < drawn).sum(axis=2)
    promise = fine_tuning.calibrate_promise(probabilities[0], classes[0], 0.9)
    for label, threshold in enumerate(promise.thresholds):
        own = probabilities[1][classes[1] == label, label]
        assert (own >= threshold).mean() == pytest.approx(0.9, abs=0.01)


def test_a_network_with_a_trunk_of_its_own_goes_through_the_stages(
    workspace: Path, small_params: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(workspace, tmp_path / "copy"))
    stages = {"strategy": "last_stages", "trained_stages": 1, "epochs": 1}
    write_params(folder, small_params | {"fine_tune": small_params["fine_tune"] | stages})
    before = Path.cwd()
    os.chdir(folder)
    try:
        run_stage("fine_tune")
        run_stage("evaluate")
    finally:
        os.chdir(before)
    kept = features.read(folder / "data/features").trunk_key
    assert (folder / "metrics/evaluate.json").is_file()
    assert open_model("pretrained", models=folder / "models").trunk_key == kept
