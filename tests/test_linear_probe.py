"""The linear probe: what it can say and what it can't."""

from typing import Any

import numpy as np
import pytest
from small_heads import with_head

from pandacat.labels import IMAGENET_CLASS_COUNT
from pandacat.models.probabilities import label_log_probabilities, softmax
from pandacat.models.saved import SavedModel
from pandacat.training.linear_probe import train_linear_probe

WIDTH = 8
THESE = "0" * 64
ORIGIN: Any = {"trained_on": THESE, "title": "Animals", "drawn": True}
CENTERS = 3 * np.eye(3, WIDTH)


@pytest.fixture(scope="module")
def pretrained() -> SavedModel:
    return with_head(np.ones((IMAGENET_CLASS_COUNT, WIDTH)))


@pytest.fixture(scope="module")
def trained(pretrained: SavedModel) -> SavedModel:
    classes = np.arange(90) % 3
    features = CENTERS[classes] + np.random.default_rng(0).normal(size=(90, WIDTH))
    return train_linear_probe(pretrained, features, classes, **ORIGIN)


def probabilities(model: SavedModel, features: np.ndarray) -> np.ndarray:
    logits = features @ model.tensors["head.weight"].T + model.tensors["head.bias"]
    classes = model.description.label_classes
    return softmax(label_log_probabilities(logits.astype(float), classes))


def test_the_two_outputs_tell_pandas_from_cats(trained: SavedModel) -> None:
    panda, cat, _ = probabilities(trained, CENTERS)

    assert panda[0] > 0.9
    assert cat[1] > 0.9


def test_it_can_not_say_other(trained: SavedModel) -> None:
    strange = np.random.default_rng(1).normal(size=(50, WIDTH)) * 20

    assert (probabilities(trained, strange)[:, 2] == 0).all()


def test_backbone_and_shape_stay_and_it_says_what_it_was_trained_on(
    trained: SavedModel, pretrained: SavedModel
) -> None:
    assert (trained.tensors["backbone.x"] == pretrained.tensors["backbone.x"]).all()
    for name in ("head.weight", "head.bias"):
        assert trained.tensors[name].shape == pretrained.tensors[name].shape
        assert trained.tensors[name].dtype == np.float32
    assert {name: getattr(trained.description, name) for name in ORIGIN} == ORIGIN
    assert pretrained.tensors["head.weight"].min() == 1


@pytest.mark.parametrize("label_count", [1, 2, 3])
def test_it_predicts_any_number_of_labels(pretrained: SavedModel, label_count: int) -> None:
    labels = ("panda", "cat", "fox")[:label_count]
    rows = ((388,), (281, 282, 283, 284, 285), (277,))[:label_count]
    model = pretrained.described(labels=(*labels, "other"), label_classes=rows)
    classes = np.arange(40 * (label_count + 1)) % (label_count + 1)
    centers = 6 * np.eye(4, WIDTH)[[*range(label_count), 3]]
    features = centers[classes] + np.random.default_rng(0).normal(size=(len(classes), WIDTH))
    trained = train_linear_probe(model, features, classes, **ORIGIN)

    predicted = probabilities(trained, centers)
    assert (predicted.argmax(axis=1)[:label_count] == np.arange(label_count)).all()
    assert (predicted[:, -1] == 0).all()
    if label_count == 1:
        assert (predicted[:, 0] == 1).all()
