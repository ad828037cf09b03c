"""Ablation of fine-tuning: heads trained without one part of it each, on the same stored features.

Compared are validation photos, as they are and corrupted; photos of `other` as predicted by
networks trained without any; and, with --field-test, photos of another source. The last are for
information: no choice was made by them.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

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
from pandacat.labels import LabelClasses
from pandacat.metrics.accuracy import log_losses
from pandacat.metrics.open_set import in_distribution_score, open_set_metrics
from pandacat.models.classifier import Classifier
from pandacat.models.probabilities import label_log_probabilities, pool_crops, softmax
from pandacat.models.saved import SavedModel, load_model
from pandacat.training.batches import Dataset, Examples
from pandacat.training.calibration import fit_temperature
from pandacat.training.fine_tune import fine_tune
from pandacat.training.photo_dataset import photo_features

SEVERITY = 3

Pool = Callable[[np.ndarray], np.ndarray]
"""From log-probabilities `(N, V, K + 1)` of crops to logits `(N, K + 1)` of photos."""


@dataclass(frozen=True)
class Photos:
    """Photos and their features."""

    features: np.ndarray
    """`(N, V, D)`."""
    labels: np.ndarray
    """`(N,)`, indices."""


@dataclass(frozen=True)
class Head:
    """The last layer of a network, and how its crops are pooled."""

    weight: np.ndarray
    bias: np.ndarray
    label_classes: LabelClasses
    pool: Pool = pool_crops

    def logits(self, photos: Photos) -> np.ndarray:
        """Return `(N, K + 1)`, not calibrated."""
        logits = photos.features @ self.weight.T + self.bias
        return self.pool(label_log_probabilities(logits, self.label_classes))


def average_probabilities(log_probabilities: np.ndarray) -> np.ndarray:
    """Pool in the usual way; compare `pool_crops`."""
    mean: np.ndarray = np.log(np.exp(log_probabilities).mean(axis=-2))
    return mean


def center_only(log_probabilities: np.ndarray) -> np.ndarray:
    """Use the first crop alone."""
    center: np.ndarray = log_probabilities[:, 0]
    return center


def head_of(model: SavedModel) -> Head:
    """Return the head of a model."""
    tensors = model.tensors
    return Head(tensors["head.weight"], tensors["head.bias"], model.description.label_classes)


def without_copies(dataset: Dataset) -> Dataset:
    """Leave the augmented copies out."""
    train = dataset.train
    return replace(dataset, train=Examples(train.inputs[:, :1], train.classes))


def without_others(dataset: Dataset) -> Dataset:
    """Leave the training photos of `other` out."""
    train = dataset.train
    in_distribution = train.classes < len(dataset.labels) - 1
    return replace(
        dataset, train=Examples(train.inputs[in_distribution], train.classes[in_distribution])
    )


def between(start: Head, end: Head, share: float) -> Head:
    """Return the head at this share of the straight line from start to end.

    Source: Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022 (WiSE-FT).
    """
    return replace(
        start,
        weight=start.weight + share * (end.weight - start.weight),
        bias=start.bias + share * (end.bias - start.bias),
    )


def heads(
    pretrained: SavedModel, dataset: Dataset, params: FineTuneParams
) -> Iterator[tuple[str, Head, Head]]:
    """Yield a name, the head, and the same trained without photos of `other`."""

    def trained(some: Dataset, params: FineTuneParams) -> tuple[Head, Head]:
        models = (fine_tune(pretrained, part, params)[0] for part in (some, without_others(some)))
        head, blind = map(head_of, models)
        return head, blind

    start = head_of(pretrained)
    ours, blind = trained(dataset, params)
    for name, pool in (("center crop", center_only), ("all crops", pool_crops)):
        yield f"pretrained, {name}", replace(start, pool=pool), replace(start, pool=pool)
    yield "as in params.yaml", ours, blind
    for name, pool in (
        ("probabilities averaged instead of odds", average_probabilities),
        ("center crop alone", center_only),
    ):
        yield name, replace(ours, pool=pool), replace(blind, pool=pool)
    yield "half-way from the start", between(start, ours, 0.5), between(start, blind, 0.5)
    changed = {
        "no augmented copies": (without_copies(dataset), params),
        "seen_class_scale 1": (dataset, replace(params, seen_class_scale=1.0)),
        "seen_class_scale 100": (dataset, replace(params, seen_class_scale=100.0)),
        **{f"l2_sp {l2_sp:g}": (dataset, replace(params, l2_sp=l2_sp)) for l2_sp in (1, 0.01, 0)},
    }
    for name, (some, with_changes) in changed.items():
        yield name, *trained(some, with_changes)


def corrupted_photos(classifier: Classifier, count: int) -> Photos:
    """Return so many validation photos, each corrupted in every way."""
    index = store.read_index(paths.PHOTOS)
    photos = index[index.split == "validation"].sort_values("fingerprint").head(count)
    photos = photos.set_index("name")

    def features(item: tuple[str, bytes]) -> np.ndarray:
        name, jpeg = item
        pixels = np.asarray(decode_jpeg(jpeg))
        rng = np.random.default_rng(int(photos.sha256[name][:16], 16))
        images = (Image.fromarray(corrupt(pixels, kind, SEVERITY, rng)) for kind in CORRUPTIONS)
        return np.stack([classifier.features(classifier.cut(image)) for image in images])

    jpegs = list(store.iter_jpegs(paths.PHOTOS, photos.index))
    bar = tqdm(ordered_map(features, jpegs), total=len(jpegs), desc="corrupted", unit="photo")
    labels = [classifier.labels.index(photos.label[name]) for name, _ in jpegs]
    return Photos(np.concatenate(list(bar)), np.repeat(labels, len(CORRUPTIONS)))


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over the photos."""
    return float(log_losses(labels, softmax(logits)).mean())


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
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
    pretrained = load_model(paths.MODELS / "pretrained")
    classifier = Classifier(pretrained.described(crops=config.predict_pretrained.crops))
    dataset = photo_features(paths.PHOTOS, read_features(paths.FEATURES))
    validation = Photos(dataset.validation.inputs.numpy(), dataset.validation.classes.numpy())
    other = len(dataset.labels) - 1
    is_other = validation.labels == other
    others = Photos(validation.features[is_other], validation.labels[is_other])
    corrupted = corrupted_photos(classifier, options.photos)
    field = None
    if field_test:
        photos = read_field_test(field_test, config, photo_folder=paths.PHOTOS)
        labels = photos.label.map(dataset.labels.index).to_numpy()
        field = Photos(features_of(photos.jpeg, classifier), labels)

    rows = {}
    for name, head, blind in heads(pretrained, dataset, config.fine_tune):
        logits = head.logits(validation)
        temperature = fit_temperature(logits, validation.labels)
        row = {
            "validation loss": log_loss(logits / temperature, validation.labels),
            "accuracy, %": accuracy(logits, validation.labels),
            "corrupted, %": accuracy(head.logits(corrupted), corrupted.labels),
            "unseen loss": log_loss(blind.logits(others) / temperature, others.labels),
        }
        if field:
            logits = head.logits(field) / temperature
            scores = in_distribution_score(softmax(logits))
            metrics = open_set_metrics(scores, field.labels < other)
            row |= {
                "field test, %": accuracy(logits, field.labels),
                "AUROC": metrics["auroc"].value,
                "FPR at 95 % TPR, %": 100 * metrics["false_positive_rate"].value,
            }
        rows[name] = row
        print(name, {key: round(value, 4) for key, value in row.items()}, flush=True)
    print(pd.DataFrame(rows).T.round(4).to_string())


if __name__ == "__main__":
    measuring.run(main)
