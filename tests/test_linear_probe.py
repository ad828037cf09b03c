import numpy as np
import pytest

from pandacat.labels import IMAGENET_CLASS_COUNT, LABELS
from pandacat.models.probabilities import softmax
from pandacat.models.saved import Description, SavedModel
from pandacat.training import linear_probe

WIDTH = 8
THESE = "0" * 64
CENTERS = 3 * np.eye(3, WIDTH)


@pytest.fixture(scope="module")
def untouched() -> SavedModel:
    about = Description(
        kind="pretrained",
        backbone="efficientnet_lite0",
        labels=LABELS,
        crops="center",
        input_px=224,
        temperature=1.0,
        image_px=384,
        trained_on="ImageNet",
        title="ImageNet",
        architecture={},
    )
    head = {
        "head.weight": np.ones((IMAGENET_CLASS_COUNT, WIDTH), np.float32),
        "head.bias": np.zeros(IMAGENET_CLASS_COUNT, np.float32),
    }
    return SavedModel(about, {"backbone.x": np.ones(2, np.float32)} | head)


@pytest.fixture(scope="module")
def trained(untouched: SavedModel) -> SavedModel:
    classes = np.arange(90) % 3
    features = CENTERS[classes] + np.random.default_rng(0).normal(size=(90, WIDTH))
    return linear_probe.train(untouched, features, classes, trained_on=THESE, title="Animals")


def probabilities(model: SavedModel, features: np.ndarray) -> np.ndarray:
    logits = features @ model.tensors["head.weight"].T + model.tensors["head.bias"]
    return softmax(group_log_probabilities(logits.astype(float)))


def test_the_two_outputs_tell_pandas_from_cats(trained: SavedModel) -> None:
    panda, cat, _ = probabilities(trained, CENTERS)

    assert panda[0] > 0.9
    assert cat[1] > 0.9


def test_it_can_not_say_other(trained: SavedModel) -> None:
    strange = np.random.default_rng(1).normal(size=(50, WIDTH)) * 20

    assert (probabilities(trained, strange)[:, 2] == 0).all()


def test_trunk_and_shape_stay_and_it_says_what_it_was_trained_on(
    trained: SavedModel, untouched: SavedModel
) -> None:
    assert (trained.tensors["backbone.x"] == untouched.tensors["backbone.x"]).all()
    for name in ("head.weight", "head.bias"):
        assert trained.tensors[name].shape == untouched.tensors[name].shape
        assert trained.tensors[name].dtype == np.float32
    assert (trained.description.trained_on, trained.description.title) == (THESE, "Animals")
    assert untouched.tensors["head.weight"].min() == 1
