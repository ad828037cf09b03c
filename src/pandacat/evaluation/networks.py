"""The networks that are compared, and the way from photos to their predictions."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from pandacat.data import store
from pandacat.data.features import Features
from pandacat.evaluation.predictions import prediction_table
from pandacat.models.classifier import Classifier, by_backbone
from pandacat.models.embed import split_features
from pandacat.models.saved import load_model

NETWORKS = {
    "scratch": "scratch-photos",
    "pretrained": "pretrained",
    "linear_probe": "linear-probe",
    "fine_tuned": "fine-tuned",
}
"""The saved model of each network, by its name in tables and metrics."""

Classifiers = Mapping[str, Classifier]
"""By their names in tables and metrics."""


@dataclass(frozen=True)
class ExtractedPhotos:
    """Labeled photos and their features."""

    index: pd.DataFrame
    """`name`, `label` and `split` of each photo."""
    features: Mapping[str, np.ndarray]
    """`(N, V, D) float32` by backbone key, for the most crops that any network of it takes."""


def load_networks(models: Path) -> dict[str, Classifier]:
    """Return all networks that are compared, from the folder of saved models."""
    return {network: Classifier(load_model(models / name)) for network, name in NETWORKS.items()}


def extract_split(
    classifiers: Classifiers, split: str, *, photo_folder: Path, stored: Features
) -> ExtractedPhotos:
    """Return the photos of a split with their features; each backbone runs once."""
    index = store.read_index(photo_folder)
    extract = partial(split_features, split, photo_folder=photo_folder, stored=stored)
    features = {
        key: extract(classifier, crops=classifier.description.crops)
        for key, classifier in by_backbone(classifiers.values()).items()
    }
    return ExtractedPhotos(index[index.split == split], features)


def predict(classifiers: Classifiers, photos: ExtractedPhotos) -> pd.DataFrame:
    """Return the predictions of each network: a table of predictions with a column `network`."""
    tables = []
    for name, classifier in classifiers.items():
        features = photos.features[classifier.backbone_key][:, : classifier.crop_count]
        probabilities = classifier.probabilities(features)
        table = prediction_table(photos.index, probabilities, classifier.labels)
        tables.append(table.assign(network=name))
    return pd.concat(tables, ignore_index=True)
