"""A label that ImageNet lacks gets a row of its own in the head."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, run_stage, write_params
from sklearn.linear_model import LogisticRegression
from small_heads import with_head

from pandacat.config.loading import load_config
from pandacat.labels import IMAGENET_CLASS_COUNT, LabelClasses
from pandacat.models.explanation import grad_cam
from pandacat.models.loading import load_classifier
from pandacat.models.probabilities import label_log_probabilities
from pandacat.models.saved import SavedModel, load_model
from pandacat.training.batches import Dataset, Examples
from pandacat.training.fine_tune import fine_tune
from pandacat.training.label_rows import add_label_rows
from pandacat.training.linear_probe import train_linear_probe

WIDTH = 12
PANDA, CAT = (388,), (281, 282)
CASES = [
    (("okapi",), ((),)),
    (("panda", "okapi"), (PANDA, ())),
    (("okapi", "panda", "cat"), ((), PANDA, CAT)),
    (("okapi", "panda", "quoll"), ((), PANDA, ())),
]


def imagenet_model(labels: tuple[str, ...], label_classes: LabelClasses) -> SavedModel:
    """Return a made-up network that knows pandas by feature 3 and cats by feature 4."""
    weight = 0.1 * np.random.default_rng(0).normal(size=(IMAGENET_CLASS_COUNT, WIDTH))
    weight[PANDA, 3] = weight[CAT, 4] = 4
    return with_head(weight, labels=(*labels, "other"), label_classes=label_classes)


def photos(labels: tuple[str, ...], *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features and classes of photos, each label with a feature of its own."""
    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.arange(150) % (len(labels) + 1))
    own_feature = {"other": 0, "okapi": 1, "quoll": 2, "panda": 3, "cat": 4}
    columns = np.array([own_feature[label] for label in (*labels, "other")])
    features = rng.normal(size=(len(classes), WIDTH))
    features[range(len(classes)), columns[classes]] += 6
    return features.astype(np.float32), classes


def predicted(model: SavedModel, features: np.ndarray) -> np.ndarray:
    logits = features @ model.tensors["head.weight"].T + model.tensors["head.bias"]
    logs = label_log_probabilities(logits.astype(np.float64), model.description.label_classes)
    return logs.argmax(axis=1)


@pytest.mark.parametrize(("labels", "label_classes"), CASES)
def test_each_label_without_an_imagenet_class_is_predicted_on_new_photos(
    labels: tuple[str, ...], label_classes: LabelClasses
) -> None:
    model = add_label_rows(imagenet_model(labels, label_classes), *photos(labels, seed=1))
    features, classes = photos(labels, seed=2)
    assert (predicted(model, features) == classes).mean() > 0.97


@pytest.mark.parametrize(("labels", "label_classes"), CASES)
def test_rows_are_appended_and_all_others_stay(
    labels: tuple[str, ...], label_classes: LabelClasses
) -> None:
    start = imagenet_model(labels, label_classes)
    model = add_label_rows(start, *photos(labels, seed=1))
    new = [rows for rows in model.description.label_classes if rows[0] >= IMAGENET_CLASS_COUNT]
    assert new == [(IMAGENET_CLASS_COUNT + number,) for number in range(label_classes.count(()))]
    for old_rows, rows in zip(label_classes, model.description.label_classes, strict=True):
        assert rows == old_rows or not old_rows
    for name in ("head.weight", "head.bias"):
        values = model.tensors[name]
        assert len(values) == IMAGENET_CLASS_COUNT + len(new)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values[:IMAGENET_CLASS_COUNT], start.tensors[name])
    np.testing.assert_array_equal(model.tensors["backbone.x"], start.tensors["backbone.x"])


def test_a_model_whose_labels_all_have_classes_stays_as_it_is() -> None:
    labels = ("panda", "cat")
    model = imagenet_model(labels, (PANDA, CAT))
    assert add_label_rows(model, *photos(labels, seed=1)) is model


def test_the_rows_are_the_same_every_time_and_in_any_order_of_labels() -> None:
    features, classes = photos(("okapi", "quoll"), seed=1)
    swapped = np.array([1, 0, 2])[classes]
    one, again = (
        add_label_rows(imagenet_model(("okapi", "quoll"), ((), ())), features, classes)
        for _ in range(2)
    )
    other = add_label_rows(imagenet_model(("quoll", "okapi"), ((), ())), features, swapped)
    first, second = (one.tensors["head.weight"][-rows] for rows in (2, 1))
    np.testing.assert_array_equal(one.tensors["head.weight"], again.tensors["head.weight"])
    np.testing.assert_array_equal(other.tensors["head.weight"][-2:], [second, first])


def test_beside_equal_logits_a_row_is_a_logistic_regression() -> None:
    """The offset is the same for all photos then, and part of the intercept."""
    model = imagenet_model(("okapi",), ((),))
    model.tensors["head.weight"][:] = 0
    features, classes = photos(("okapi",), seed=1)
    features = features / 4  # so that the two overlap
    row = add_label_rows(model, features, classes)
    expected = LogisticRegression(class_weight="balanced", tol=1e-8, max_iter=10_000)
    expected.fit(features, classes == 0)
    np.testing.assert_allclose(row.tensors["head.weight"][-1], expected.coef_[0], atol=2e-3)
    bias = row.tensors["head.bias"][-1] - np.log(IMAGENET_CLASS_COUNT)
    assert bias == pytest.approx(expected.intercept_[0], abs=2e-3)


@pytest.mark.parametrize(("labels", "label_classes"), CASES)
def test_the_head_with_its_rows_is_fine_tuned_and_probed(
    labels: tuple[str, ...], label_classes: LabelClasses
) -> None:
    features, classes = photos(labels, seed=1)
    model = add_label_rows(imagenet_model(labels, label_classes), features, classes)
    examples = Examples(torch.from_numpy(features[:, None]), torch.from_numpy(classes))
    dataset = Dataset("animals", "0" * 64, (*labels, "other"), examples, examples)
    params = replace(load_config(ROOT / "params.yaml").fine_tune, steps=4, batch_size=80)
    tuned, history = fine_tune(model, dataset, params)
    probe = train_linear_probe(
        model, features, classes, trained_on="0" * 64, title="animals", drawn=True
    )
    best = history.best.metrics["validation_loss"]
    assert best <= history.epochs[0].metrics["validation_loss"]
    for other in (tuned, probe):
        assert other.description.label_classes == model.description.label_classes
        assert other.tensors["head.weight"].shape == model.tensors["head.weight"].shape
    assert (predicted(tuned, features) == classes).mean() > 0.97
    in_distribution = classes < len(labels)
    assert (predicted(probe, features) == classes)[in_distribution].all()
    assert set(predicted(probe, features)) <= set(range(len(labels)))


def test_grad_cam_explains_a_label_with_a_row_of_its_own() -> None:
    maps = np.zeros((1, 1, 8, 8), np.float32)
    maps[..., 4:, 4:] = 1
    weight = np.zeros((IMAGENET_CLASS_COUNT + 1, 1), np.float32)
    weight[-1] = 1
    logits = maps.mean(axis=(2, 3)) @ weight.T
    evidence = grad_cam(logits, maps, weight, 1, (PANDA, (IMAGENET_CLASS_COUNT,)))
    assert (evidence[0] > 0).tolist() == (maps[0, 0] > 0).tolist()


def test_the_stages_carry_the_row_into_all_models(
    workspace: Path, small_params: dict[str, Any], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(workspace, tmp_path / "copy"))
    labels = small_params["labels"] | {"cat": small_params["labels"]["cat"] | {"imagenet": []}}
    write_params(folder, small_params | {"labels": labels})
    before = Path.cwd()
    os.chdir(folder)
    try:
        for stage in ("predict_pretrained", "fine_tune", "train_linear_probe"):
            run_stage(stage)
    finally:
        os.chdir(before)
    for name in ("pretrained", "fine-tuned", "linear-probe"):
        model = load_model(folder / "models" / name)
        assert model.description.label_classes == (PANDA, (IMAGENET_CLASS_COUNT,))
        assert model.tensors["head.weight"].shape == (IMAGENET_CLASS_COUNT + 1, 1280)
        prediction = load_classifier(name, models=folder / "models").predict(
            ROOT / "examples/cat/kitten.jpg"
        )
        assert sum(prediction.probabilities.values()) == pytest.approx(1)
