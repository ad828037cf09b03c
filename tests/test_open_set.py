"""Photos that resemble no training photo are other, and the share of labels that are kept."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from conftest import ROOT
from small_heads import with_head

from pandacat.config.loading import load_config
from pandacat.config.training import FineTuneParams
from pandacat.core.errors import PandacatError
from pandacat.models import open_set
from pandacat.models.classifier import Classifier
from pandacat.models.feature_classifier import FeatureClassifier
from pandacat.models.loading import imagenet_model
from pandacat.models.saved import OpenSetScore, SavedModel
from pandacat.training.calibration import calibrate, keep_neighbors

WIDTH = 16


@pytest.fixture
def params() -> FineTuneParams:
    return load_config(ROOT / "params.yaml").fine_tune


@pytest.fixture
def model() -> SavedModel:
    return with_head(np.random.default_rng(0).normal(size=(1000, WIDTH)), crops="two_scales")


def photos(classes: np.ndarray, seed: int = 1) -> np.ndarray:
    """Features `(N, 12, WIDTH)` around a direction of their own for each class, noisy."""
    rng = np.random.default_rng(seed)
    directions = np.eye(WIDTH)[classes]
    noise = rng.normal(0, 0.3, (len(classes), 12, WIDTH))
    return (4 * directions[:, None] + noise).astype(np.float32)


def calibrated(
    model: SavedModel, features: np.ndarray, classes: np.ndarray, params: FineTuneParams
) -> SavedModel:
    """The model calibrated on photos of which the second look shows nothing."""
    look_again = partial(first_look, features=features)
    return calibrate(model, features, classes, params.calibration, look_again)


def first_look(model: SavedModel, features: np.ndarray) -> np.ndarray:
    return FeatureClassifier(model).logits(features)


def test_the_similarity_is_that_to_the_kth_nearest_training_photo() -> None:
    rng = np.random.default_rng(0)
    features, bank = rng.normal(size=(5, 3, 8)), rng.normal(size=(20, 8))
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    similarities = open_set.similarity(features, bank, 4).max(axis=1)
    for photo, found in zip(features, similarities, strict=True):
        of_crops = [sorted(crop @ row / np.linalg.norm(crop) for row in bank)[-4] for crop in photo]
        assert found == pytest.approx(max(of_crops))


def test_of_fewer_neighbors_than_asked_for_the_farthest_counts() -> None:
    features, bank = np.array([[1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    assert open_set.similarity(features, bank, 10) == pytest.approx([0])


def test_the_score_changes_the_odds_of_other_and_of_nothing_else(model: SavedModel) -> None:
    features = photos(np.arange(9) % 3)
    known = keep_neighbors(model, features[:6, 0], 100)
    scored = known.described(open_set=OpenSetScore(2, 3.0, -1.0))
    before, after = (Classifier(one).logits(features) for one in (known, scored))
    bank = known.tensors[open_set.BANK].astype(np.float32)
    added = 3 * open_set.similarity(features, bank, 2).max(axis=1) - 1
    np.testing.assert_allclose(after - before, np.stack([added, added, 0 * added], 1), atol=1e-6)


def test_what_resembles_no_training_photo_is_likelier_other(
    model: SavedModel, params: FineTuneParams
) -> None:
    classes = np.arange(300) % 3
    trained = keep_neighbors(model, photos(classes[classes < 2], seed=2)[:, 0], 1000)
    trained = calibrated(trained, photos(classes), classes, params)
    alike, unlike = (Classifier(trained).logits(photos(np.full(50, kind))) for kind in (0, 9))
    alone = Classifier(trained.described(open_set=None))
    alike_alone, unlike_alone = (alone.logits(photos(np.full(50, kind))) for kind in (0, 9))
    gain = (alike - alike_alone)[:, 0].mean() - (unlike - unlike_alone)[:, 0].mean()
    assert gain > 2  # of log-odds


@pytest.mark.parametrize("neighbors", [0, 10])
@pytest.mark.parametrize("recall", [0.9, 0.98])
def test_as_many_validation_photos_of_the_labels_keep_one_as_asked_for(
    model: SavedModel, params: FineTuneParams, neighbors: int, recall: float
) -> None:
    classes = np.arange(600) % 3
    features = photos(classes)
    trained = keep_neighbors(model, features[classes < 2, 0], 1000)
    chosen = replace(params, neighbors=neighbors, label_recall=recall)
    fitted = calibrated(trained, features, classes, chosen)
    logits = Classifier(fitted).logits(features)[classes < 2]
    kept = (logits[:, :2].max(axis=1) > logits[:, 2]).mean()
    assert recall <= kept < recall + 0.01
    assert (fitted.description.open_set.scale > 0) == (neighbors > 0)


def test_the_similarity_spreads_as_much_as_the_log_odds(
    model: SavedModel, params: FineTuneParams
) -> None:
    classes = np.arange(300) % 3
    features = photos(classes)
    trained = keep_neighbors(model, features[classes < 2, 0], 1000)
    score = calibrated(trained, features, classes, params).description.open_set
    logits = Classifier(trained).logits(features)
    bank = trained.tensors[open_set.BANK].astype(np.float32)
    similarities = open_set.similarity(features, bank, score.neighbors).max(axis=1)
    spread = score.scale * similarities.std()
    assert spread == pytest.approx((logits[:, :2].max(axis=1) - logits[:, 2]).std())


def test_no_more_training_photos_are_kept_than_asked_for(model: SavedModel) -> None:
    features = photos(np.arange(30) % 2)[:, 0]
    bank = keep_neighbors(model, features, 10).tensors[open_set.BANK]
    assert bank.shape == (10, WIDTH)
    np.testing.assert_allclose(np.linalg.norm(bank.astype(np.float32), axis=1), 1, atol=1e-3)
    for end in (0, -1):
        expected = features[end] / np.linalg.norm(features[end])
        np.testing.assert_allclose(bank[end], expected, atol=1e-3)


def test_a_model_that_lost_its_neighbors_is_refused() -> None:
    model = imagenet_model(load_config(ROOT / "params.yaml"))
    lost = model.described(open_set=OpenSetScore(10, 3.0, -1.0))
    with pytest.raises(PandacatError, match=r"lacks neighbors\.features"):
        Classifier(lost).compiled()
