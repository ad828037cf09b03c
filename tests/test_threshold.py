"""The pretrained network with a tuned threshold: nothing but the odds of other changes."""

import numpy as np
import pytest
from small_heads import LABEL_CLASSES, with_head

from pandacat.labels import IMAGENET_CLASS_COUNT, label_groups
from pandacat.models.probabilities import label_log_probabilities, log_softmax, pool_crops, softmax
from pandacat.models.saved import SavedModel
from pandacat.training.calibration import fit_temperature
from pandacat.training.threshold import tune_threshold

OTHERS = label_groups(LABEL_CLASSES, IMAGENET_CLASS_COUNT)[-1]
WIDTH = 8


@pytest.fixture(scope="module")
def pretrained() -> SavedModel:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(IMAGENET_CLASS_COUNT, WIDTH)), rng.normal(size=1000)
    return with_head(weight, bias, crops="two_scales")


def constant_off_other(before: SavedModel, after: SavedModel) -> float:
    change = before.tensors["head.bias"] - after.tensors["head.bias"]
    assert np.ptp(change[OTHERS]) < 1e-5
    assert not np.delete(change, OTHERS).any()
    assert after.tensors["head.weight"] is before.tensors["head.weight"]
    return float(change[OTHERS].mean())


def test_all_but_one_in_twenty_pandas_and_cats_are_no_longer_called_other(
    pretrained: SavedModel,
) -> None:
    rng = np.random.default_rng(1)
    features, classes = rng.normal(size=(300, 12, WIDTH)), rng.integers(0, 3, 300)

    def logits(model: SavedModel) -> np.ndarray:
        of_crops = features @ model.tensors["head.weight"].T + model.tensors["head.bias"]
        return label_log_probabilities(of_crops, LABEL_CLASSES)

    tuned = tune_threshold(pretrained, logits(pretrained), classes)

    constant = constant_off_other(pretrained, tuned)
    before, after = (pool_crops(logits(model)) for model in (pretrained, tuned))
    np.testing.assert_allclose(softmax(after), softmax(before - [0, 0, constant]), atol=1e-5)
    known = after[classes < 2]
    assert 0.95 <= (known[:, :2].max(axis=1) > known[:, 2]).mean() < 0.96


def test_photos_of_other_have_no_say_in_the_constant(pretrained: SavedModel) -> None:
    rng = np.random.default_rng(0)
    logs = log_softmax(rng.normal(0, 3, (200, 1, 3)))
    classes = rng.integers(0, 3, 200)
    others = classes == 2
    harder = np.where(others[:, None, None], log_softmax(logs + np.array([4, 0, 0])), logs)

    constants = [
        constant_off_other(pretrained, tune_threshold(pretrained, *photos))
        for photos in ((logs, classes), (harder, classes), (logs[~others], classes[~others]))
    ]

    assert constants == pytest.approx([constants[0]] * 3)


def test_the_temperature_is_fitted_with_the_constant(pretrained: SavedModel) -> None:
    rng = np.random.default_rng(0)
    calibrated = log_softmax(rng.normal(0, 3, (4000, 3)))
    classes = np.array([rng.choice(3, p=share) for share in np.exp(calibrated)])
    odds = np.sort((calibrated[:, :2].max(axis=1) - calibrated[:, 2])[classes < 2])
    accepting = calibrated + np.array([0, 0, odds[len(odds) // 20]])  # 95 % as they are

    tuned = tune_threshold(pretrained, log_softmax(accepting)[:, None], classes)

    assert constant_off_other(pretrained, tuned) == pytest.approx(0, abs=0.01)
    shifted = accepting - accepting[:, 2:]
    assert tuned.description.temperature == pytest.approx(fit_temperature(shifted, classes), 1e-2)
