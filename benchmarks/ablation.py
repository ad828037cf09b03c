"""Ablation of fine-tuning: networks trained without one part of it each, on the same features.

All look once; `small_animals.py` measures what the second look, in tiles, adds. Compared are
validation photos, as they are, corrupted, and small in a scene; and, with --field-test, photos of
other sources. The last are for information: no choice was made by them.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import measuring
import numpy as np
import pandas as pd
from open_set import features_of
from PIL import Image
from tqdm import tqdm

from pandacat.config.loading import load_config
from pandacat.config.training import FineTuneParams
from pandacat.core import paths
from pandacat.core.parallel import ordered_map
from pandacat.data import store
from pandacat.data.features import read_features
from pandacat.data.images import decode_jpeg
from pandacat.evaluation.corruptions import CORRUPTIONS, corrupt
from pandacat.evaluation.field_test import read_field_test
from pandacat.metrics.accuracy import log_losses
from pandacat.metrics.open_set import in_distribution_score, open_set_metrics
from pandacat.models.classifier import Classifier
from pandacat.models.feature_classifier import FeatureClassifier
from pandacat.models.probabilities import softmax
from pandacat.models.saved import SavedModel, load_model
from pandacat.training.batches import Dataset, Examples
from pandacat.training.calibration import calibrate, keep_neighbors
from pandacat.training.fine_tune import fine_tune
from pandacat.training.photo_dataset import photo_features

SEVERITY = 3
SMALL = "small_in_scene"

CALIBRATION: tuple[Mapping[str, Any], ...] = (
    {"neighbors": 0},
    {"label_recall": 0.95},
    {"label_recall": 0.97},
    {"label_recall": 0.99},
)
"""Changes of the parameters that need no training; one row each."""
TRAINING: tuple[Mapping[str, Any], ...] = (
    {"interpolation": 1.0},
    {"interpolation": 0.25},
    {"seen_class_photos": 1},
    {"seen_class_scale": 1.0},
    {"l2_sp": 1.0},
    {"l2_sp": 0.01},
    {"l2_sp": 0.0},
    {"steps": 400},
)
"""Those that do."""


@dataclass(frozen=True)
class Photos:
    """Photos and their features."""

    features: np.ndarray
    """`(N, V, D)`."""
    labels: np.ndarray
    """`(N,)`, indices."""


def without_copies(dataset: Dataset) -> Dataset:
    """Leave the augmented copies out."""
    train = dataset.train
    return replace(dataset, train=Examples(train.inputs[:, :1], train.classes))


def models(
    pretrained: SavedModel, dataset: Dataset, params: FineTuneParams
) -> Iterator[tuple[str, SavedModel]]:
    """Yield networks and their names."""
    inputs, classes = dataset.train.inputs.numpy(), dataset.train.classes.numpy()
    centers = inputs[classes < len(dataset.labels) - 1, 0]
    validation = dataset.validation.inputs.numpy(), dataset.validation.classes.numpy()

    def trained(data: Dataset, chosen: FineTuneParams) -> SavedModel:
        model, _ = fine_tune(pretrained, data, chosen)
        model = keep_neighbors(model, centers, chosen.neighbor_photos)
        return calibrated(model, chosen)

    def calibrated(model: SavedModel, chosen: FineTuneParams) -> SavedModel:
        settings = chosen.calibration._replace(tiling=replace(chosen.tiling, other_animals=0))
        return calibrate(
            model,
            *validation,
            settings,
            lambda model: FeatureClassifier(model).logits(validation[0]),
        )

    def named(change: Mapping[str, Any]) -> str:
        return ", ".join(f"{name} {value:g}" for name, value in change.items())

    yield "pretrained", pretrained
    yield "tuned threshold", load_model(paths.MODELS / "tuned-threshold")
    ours = trained(dataset, params)
    yield "as in params.yaml", ours
    for change in CALIBRATION:
        yield named(change), calibrated(ours, replace(params, **change))
    for change in TRAINING:
        yield named(change), trained(dataset, replace(params, **change))
    yield "no augmented copies", trained(without_copies(dataset), params)


def corrupted_photos(
    classifier: Classifier, photos: pd.DataFrame, kinds: Sequence[str], severity: int
) -> Photos:
    """Return photos of the index, each corrupted in some ways."""
    photos = photos.set_index("name")

    def features(item: tuple[str, bytes]) -> np.ndarray:
        name, jpeg = item
        pixels = np.asarray(decode_jpeg(jpeg))
        rng = np.random.default_rng(int(photos.sha256[name][:16], 16))
        images = (Image.fromarray(corrupt(pixels, kind, severity, rng)) for kind in kinds)
        return np.stack([classifier.features(classifier.cut(image)) for image in images])

    jpegs = list(store.iter_jpegs(paths.PHOTOS, photos.index))
    bar = tqdm(ordered_map(features, jpegs), total=len(jpegs), desc="corrupted", unit="photo")
    labels = [classifier.labels.index(photos.label[name]) for name, _ in jpegs]
    return Photos(np.concatenate(list(bar)), np.repeat(labels, len(kinds)))


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over the photos."""
    return float(log_losses(labels, softmax(logits)).mean())


def accuracy(logits: np.ndarray, labels: np.ndarray | int) -> float:
    """Return the share of correct predictions, in percent."""
    return float(100 * (logits.argmax(axis=1) == labels).mean())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--field-test", type=Path, help="a zip of labeled photos to test on")
    parser.add_argument("--photos", type=int, default=60, help="validation photos to corrupt")
    options = parser.parse_args()
    field_test = options.field_test and options.field_test.resolve()
    measuring.project()
    config = load_config()
    crops = config.predict_pretrained.crops
    pretrained = load_model(paths.MODELS / "pretrained").described(crops=crops)
    classifier = Classifier(pretrained)
    dataset = photo_features(paths.PHOTOS, read_features(paths.FEATURES))
    validation = Photos(dataset.validation.inputs.numpy(), dataset.validation.classes.numpy())
    known = len(dataset.labels) - 1
    index = store.read_index(paths.PHOTOS)
    photos = index[index.split == "validation"].sort_values("fingerprint")
    corrupted = corrupted_photos(classifier, photos.head(options.photos), CORRUPTIONS, SEVERITY)
    animals = photos[photos.label.isin(dataset.labels[:known])]
    small = corrupted_photos(classifier, animals, [SMALL], severity=5)
    field = None
    if field_test:
        others = read_field_test(field_test, config, photo_folder=paths.PHOTOS)
        labels = others.label.map(dataset.labels.index).to_numpy()
        field = Photos(features_of(others.jpeg, classifier), labels)

    rows = {}
    for name, model in models(pretrained, dataset, config.fine_tune):
        ours = FeatureClassifier(model)
        logits = ours.logits(validation.features)
        of_small = ours.logits(small.features)
        row = {
            "validation loss": log_loss(logits / model.description.temperature, validation.labels),
            "accuracy, %": accuracy(logits, validation.labels),
            "corrupted, %": accuracy(ours.logits(corrupted.features), corrupted.labels),
            "small, %": accuracy(of_small, small.labels),
            "small, the right animal, %": accuracy(of_small[:, :known], small.labels),
        }
        if field:
            probabilities = ours.probabilities(field.features)
            scores = in_distribution_score(probabilities)
            metrics = open_set_metrics(scores, field.labels < known)
            recalls = [
                accuracy(probabilities[field.labels == label], label) for label in range(known + 1)
            ]
            row |= {
                "field test, %": accuracy(probabilities, field.labels),
                "balanced, %": float(np.mean(recalls)),
                "AUROC": metrics["auroc"].value,
                "FPR at 95 % TPR, %": 100 * metrics["false_positive_rate"].value,
            }
        rows[name] = row
        print(name, {key: round(value, 4) for key, value in row.items()}, flush=True)
    print(pd.DataFrame(rows).T.round(4).to_string())


if __name__ == "__main__":
    measuring.run(main)
