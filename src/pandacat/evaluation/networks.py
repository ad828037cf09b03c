"""The networks that are compared, and the way from photos to their predictions."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from pandacat.core.parallel import ordered_map
from pandacat.data import store
from pandacat.data.features import Features
from pandacat.evaluation.predictions import prediction_table
from pandacat.models.classifier import Classifier, backbone_key
from pandacat.models.embed import split_features, tiled_logits
from pandacat.models.saved import load_model

NETWORKS = {
    "scratch": "scratch-photos",
    "pretrained": "pretrained",
    "tuned_threshold": "tuned-threshold",
    "linear_probe": "linear-probe",
    "fine_tuned": "fine-tuned",
}
"""The saved model of each network, by its name in tables and metrics."""

Classifiers = Mapping[str, Classifier]
"""By their names in tables and metrics."""

Item = TypeVar("Item")
NamedImage = tuple[dict[str, Any], Image.Image]
"""An image of a photo, and what is said of it, the photo's `name` among it."""


def load_networks(models: Path) -> dict[str, Classifier]:
    """Return all networks that are compared, from the folder of saved models.

    Those with the same backbone share its engine.
    """
    classifiers: dict[str, Classifier] = {}
    by_backbone: dict[str, Classifier] = {}
    for network, name in NETWORKS.items():
        model = load_model(models / name)
        key = backbone_key(model)
        classifiers[network] = Classifier(model, by_backbone.get(key, "auto"))
        by_backbone.setdefault(key, classifiers[network])
    return classifiers


def predict_split(
    classifiers: Classifiers, split: str, *, photo_folder: Path, stored: Features
) -> pd.DataFrame:
    """Return the predictions of a split's photos; each backbone runs once."""
    index = store.read_index(photo_folder)
    extract = partial(split_features, split, photo_folder=photo_folder, stored=stored)
    images = partial(store.split_images, photo_folder, split)
    features = {
        key: extract(classifier, crops=classifier.description.crops)
        for key, classifier in _by_backbone(classifiers).items()
    }
    probabilities = []
    for classifier in classifiers.values():
        own = features[classifier.backbone_key][:, : classifier.crop_count]
        probabilities.append(classifier.calibrated(tiled_logits(classifier, own, images)))
    return _tables(classifiers, index[index.split == split], probabilities)


def predict_images(
    classifiers: Classifiers,
    photos: pd.DataFrame,
    items: Iterable[Item],
    images: Callable[[Item], Iterator[NamedImage]],
    title: str,
) -> pd.DataFrame:
    """Return the predictions of RGB images of photos; each backbone runs once on each.

    `images` yields those of an item, each with what is said of it, in columns of their own; `name`
    is that of a row of `photos`, which has its `label` and `split`.
    """

    def predict(item: Item) -> list[tuple[dict[str, Any], list[np.ndarray]]]:
        return [(about, predict_image(classifiers, image)) for about, image in images(item)]

    workers = max(classifier.workers for classifier in classifiers.values())
    results = ordered_map(predict, items, workers=workers)
    bar = tqdm(results, desc=title, unit="photo", disable=None)
    about, probabilities = zip(*(image for item in bar for image in item), strict=True)
    columns = pd.DataFrame(list(about))
    rows = photos.set_index("name", drop=False).loc[columns.pop("name")]
    return _tables(
        classifiers, rows, list(map(np.stack, zip(*probabilities, strict=True))), columns
    )


def predict_image(classifiers: Classifiers, image: Image.Image) -> list[np.ndarray]:
    """Return the probabilities `(K + 1,)` that each network gives for one RGB image.

    Networks that share a backbone share the passes of their crops through it.
    """
    features = {
        key: classifier.features(classifier.cut(image))
        for key, classifier in _by_backbone(classifiers).items()
    }
    probabilities = []
    for classifier in classifiers.values():
        own = features[classifier.backbone_key][: classifier.crop_count]
        probabilities.append(classifier.probabilities(classifier.with_tiles(own, image)))
    return probabilities


def _by_backbone(classifiers: Classifiers) -> dict[str, Classifier]:
    """Return for each backbone, by its key, the classifier that takes the most crops."""
    by_crops = sorted(classifiers.values(), key=lambda classifier: classifier.crop_count)
    return {classifier.backbone_key: classifier for classifier in by_crops}


def _tables(
    classifiers: Classifiers,
    photos: pd.DataFrame,
    probabilities: Sequence[np.ndarray],
    columns: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return a table of predictions with a column `network`, network by network."""
    columns = pd.DataFrame(index=range(len(photos))) if columns is None else columns
    tables = [
        prediction_table(photos, of_network, classifier.labels).join(columns).assign(network=name)
        for (name, classifier), of_network in zip(classifiers.items(), probabilities, strict=True)
    ]
    return pd.concat(tables, ignore_index=True)
