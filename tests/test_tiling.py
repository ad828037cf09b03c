"""A second look, in tiles: when it is taken, and what it may change."""

from pathlib import Path

import numpy as np
import pytest
from conftest import EXAMPLES
from PIL import Image
from small_heads import with_head

from pandacat.config.loading import default_config
from pandacat.data.crops import crop_count
from pandacat.evaluation.export_checks import all_crops, reduced
from pandacat.models import tiling
from pandacat.models.classifier import Classifier
from pandacat.models.embed import tiled_logits
from pandacat.models.feature_classifier import FeatureClassifier
from pandacat.models.loading import imagenet_model, load_classifier
from pandacat.models.saved import OpenSetScore, Tiling

PANDA, CAT, BEAR, CHAIR = 388, 281, 294, 559
"""Classes of ImageNet: one of each label, another animal, and a thing."""
TILING = Tiling(0.6, OpenSetScore(0, 0.0, 0.5))
CROPS, TILES = 12, crop_count("tiles")
WIDTH = 8
SEEN = {PANDA: 0, CAT: 1, BEAR: 2, CHAIR: 3}
"""The feature that each class depends on."""


@pytest.fixture
def classifier() -> FeatureClassifier:
    weight = np.zeros((1000, WIDTH))
    for row, feature in SEEN.items():
        weight[row, feature] = 20
    return FeatureClassifier(with_head(weight, crops="two_scales", tiling=TILING))


def views(count: int, **shares: float) -> np.ndarray:
    """Features `(count, WIDTH)` of views of a chair, or of what else is named."""
    features = np.zeros((count, WIDTH), np.float32)
    features[:, SEEN[CHAIR]] = 1
    for name, strength in shares.items():
        features[:, SEEN[{"panda": PANDA, "cat": CAT, "bear": BEAR}[name]]] = strength
    return features


def with_one(tiles: np.ndarray, tile: np.ndarray) -> np.ndarray:
    return np.concatenate([tile, tiles[1:]])


def photo(crops: np.ndarray, tiles: np.ndarray) -> np.ndarray:
    return np.concatenate([crops, tiles])


def label(classifier: FeatureClassifier, features: np.ndarray) -> str:
    return classifier.labels[int(classifier.logits(features).argmax())]


def test_one_tile_that_shows_a_label_is_enough(classifier):
    scene = views(CROPS)
    assert classifier.is_doubtful(scene)
    for name in ("panda", "cat"):
        tiles = with_one(views(TILES), views(1, **{name: 2}))
        assert label(classifier, photo(scene, tiles)) == name
    assert label(classifier, photo(scene, views(TILES))) == "other"


def test_a_label_must_be_surer_in_one_tile_than_in_many(classifier):
    alone = with_one(views(TILES), views(1, cat=1.1))
    assert label(classifier, photo(views(CROPS), alone)) == "other"
    assert label(classifier, photo(views(CROPS), views(TILES, cat=1.1))) == "cat"


def test_the_odds_of_tiles_are_averaged(classifier):
    tiles = np.concatenate([views(15, cat=2), views(10, cat=1.5), views(TILES - 25)])
    each = np.array([classifier.logits(np.repeat(tile[None], CROPS, axis=0)) for tile in tiles])
    odds = np.exp(each[:, :-1] - each[:, -1:] + TILING.score.offset)
    logits = classifier.logits(photo(views(CROPS), tiles))
    assert logits[:-1] - logits[-1] == pytest.approx(np.log(odds.mean(axis=0)))


def test_a_tile_that_shows_another_animal_as_clearly_outweighs_it(classifier):
    tiles = with_one(views(TILES), views(1, cat=2))
    rival = with_one(tiles[::-1], views(1, bear=2.2))
    assert label(classifier, photo(views(CROPS), rival)) == "other"


def test_no_second_look_is_taken_where_another_animal_is_evident(classifier):
    bear = views(CROPS, bear=2)
    assert not classifier.is_doubtful(bear)
    tiles = with_one(views(TILES), views(1, cat=3))
    assert np.array_equal(classifier.logits(photo(bear, tiles)), classifier.logits(bear))


def test_no_second_look_is_taken_where_the_first_finds_a_label(classifier):
    panda = views(CROPS, panda=2)
    assert not classifier.is_doubtful(panda)
    tiles = views(TILES, cat=3)
    assert np.array_equal(classifier.logits(photo(panda, tiles)), classifier.logits(panda))


def test_a_second_look_lowers_no_logit_of_a_label(classifier):
    rng = np.random.default_rng(0)
    for _ in range(50):
        scene = views(CROPS, cat=rng.uniform(0, 1), bear=rng.uniform(0, 0.9))
        tiles = views(TILES, cat=rng.uniform(0, 2), bear=rng.uniform(0, 2))
        before, after = classifier.logits(scene), classifier.logits(photo(scene, tiles))
        assert (after >= before).all()
        assert after[-1] == before[-1]


def test_a_model_without_tiling_looks_once(classifier):
    once = with_head(np.zeros((1000, WIDTH)), crops="two_scales")
    assert not FeatureClassifier(once).is_doubtful(views(CROPS))


def test_other_animals_are_those_of_imagenet_that_mean_no_label(classifier):
    rows = tiling.other_animals(classifier.description.label_classes)
    assert (min(rows), max(rows), len(rows)) == (0, 397, 398 - 6)
    assert not {PANDA, CAT} & {*rows}


@pytest.fixture(scope="module")
def tiled() -> Classifier:
    """The pretrained network, which is sure enough of a kitten."""
    model = imagenet_model(default_config()).described(crops="two_scales", tiling=TILING)
    return Classifier(model, load_classifier("pretrained", models=Path("models")))


@pytest.fixture(scope="module")
def small_panda() -> Image.Image:
    return reduced(Image.open(EXAMPLES / "panda/giant_panda.jpg").convert("RGB"))


def test_a_small_animal_is_found_by_the_second_look_alone(tiled, small_panda):
    crops = tiled.features(tiled.cut(small_panda))
    assert tiled.is_doubtful(crops)
    assert label(tiled, crops) == "other"
    assert label(tiled, tiled.with_tiles(crops, small_panda)) == "panda"


def test_photos_of_a_split_are_looked_at_again_where_they_are_doubtful(tiled, small_panda):
    images = [Image.open(EXAMPLES / "panda/giant_panda.jpg").convert("RGB"), small_panda]
    features = np.stack([tiled.features(tiled.cut(image)) for image in images])
    asked = []

    def photos(rows: np.ndarray) -> list[Image.Image]:
        asked.extend(rows.tolist())
        return [images[row] for row in rows]

    logits = tiled_logits(tiled, features, photos)
    assert asked == [1]
    for own, crops, image in zip(logits, features, images, strict=True):
        assert np.array_equal(own, tiled.logits(tiled.with_tiles(crops, image)))


def test_the_explanation_of_a_small_animal_shows_where_it_is(tiled, small_panda):
    heat = tiled.heatmap(small_panda, label=0)
    height, width = heat.shape
    middle = heat[height // 3 : height * 2 // 3, width // 3 : width * 2 // 3]
    assert middle.sum() > 0.8 * heat.sum()


def test_all_crops_of_a_photo_are_those_of_both_looks(tiled, small_panda):
    assert len(all_crops(tiled, small_panda)) == CROPS + TILES
