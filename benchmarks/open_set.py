"""Open-set scores: six ways to separate in-distribution photos from others.

Computed from what `dvc repro evaluate` left: the fine-tuned model, features and photos. Scores may
use the center crops of in-distribution training photos. Those of a photo's crops become one: of the
center alone, their mean, or their maximum. The pipeline uses `largest_probability` (of the pooled
crops).
"""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import measuring
import numpy as np
import pandas as pd
from scipy.special import logsumexp
from sklearn.covariance import LedoitWolf

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.parallel import ordered_map
from pandacat.data import store
from pandacat.data.features import read_features
from pandacat.data.images import decode_jpeg
from pandacat.data.sources.importing import find_archive
from pandacat.evaluation.field_test import read_field_test
from pandacat.evaluation.networks import NETWORKS
from pandacat.evaluation.predictions import OURS
from pandacat.labels import OTHER, LabelClasses
from pandacat.metrics.neighbors import neighbor_similarity
from pandacat.metrics.open_set import in_distribution_score, open_set_metrics
from pandacat.models.classifier import Classifier
from pandacat.models.embed import split_features
from pandacat.models.probabilities import label_log_probabilities
from pandacat.models.saved import load_model

NEIGHBORS = 10

OVER_CROPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "center": lambda scores: scores[:, 0],
    "mean": lambda scores: scores.mean(axis=1),
    "maximum": lambda scores: scores.max(axis=1),
}
"""How the scores `(N, V)` of a photo's crops become one."""


@dataclass(frozen=True)
class TrainingFeatures:
    """In-distribution training photos."""

    features: np.ndarray
    """`(M, D)`, of the center crops."""
    labels: np.ndarray
    """`(M,)`."""


def energy(logits: np.ndarray) -> np.ndarray:
    """Return `(N,)`: minus the energy, log sum exp over the logits.

    Source: Liu et al., Energy-based out-of-distribution detection, NeurIPS 2020.
    """
    return np.asarray(logsumexp(logits, axis=1))


def mahalanobis(features: np.ndarray, training: TrainingFeatures) -> np.ndarray:
    """Return `(N,)`: minus the squared distance to the nearest class mean.

    The classes share one covariance, shrunk after Ledoit and Wolf.

    Source: Lee et al., A simple unified framework for detecting out-of-distribution samples and
    adversarial attacks, NeurIPS 2018.
    """
    means = {
        label: training.features[training.labels == label].mean(axis=0)
        for label in np.unique(training.labels)
    }
    centered = training.features - np.stack([means[label] for label in training.labels])
    covariance = LedoitWolf(assume_centered=True).fit(centered)
    distances = [covariance.mahalanobis(features - mean) for mean in means.values()]
    return np.asarray(-np.min(distances, axis=0))


def open_set_scores(
    logits: np.ndarray, features: np.ndarray, training: TrainingFeatures, classes: LabelClasses
) -> dict[str, np.ndarray]:
    """Return the scores by name, each `(N,)` and higher for in-distribution crops.

    Args:
        logits: `(N, C)` of the head.
        features: `(N, D)` that they were computed from.
        training: photos that the scores may use.
        classes: for each in-distribution label, the rows of the head that mean it.
    """
    probabilities = np.exp(label_log_probabilities(logits.astype(np.float64), classes))
    in_distribution = [row for rows in classes for row in rows]
    return {
        "summed_probability": probabilities[:, :-1].sum(axis=1),
        "largest_probability": in_distribution_score(probabilities),
        "energy": energy(logits),
        "in_distribution_energy": energy(logits[:, in_distribution]),
        "nearest_neighbors": neighbor_similarity(features, training.features, NEIGHBORS),
        "mahalanobis": mahalanobis(features, training),
    }


def compare(scores: dict[str, np.ndarray], in_distribution: np.ndarray) -> pd.DataFrame:
    """Return how well scores `(N, V)` separate the photos that are `(N,)` in-distribution.

    A row for each `score` and way to make one of those of the `crops`: `auroc` and
    `false_positive_rate` at 95 % recall, each with its bounds `…_low` and `…_high`.
    """
    rows = []
    for score, of_crops in scores.items():
        for crops, pool in OVER_CROPS.items():
            row: dict[str, str | float] = {"score": score, "crops": crops}
            for name, interval in open_set_metrics(pool(of_crops), in_distribution).items():
                row |= {name: interval.value}
                row |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
            rows.append(row)
    return pd.DataFrame(rows)


def features_of(jpegs: Iterable[bytes], classifier: Classifier) -> np.ndarray:
    """Return the features `(N, V, D)` of the crops that a model takes of photos."""

    def features(jpeg: bytes) -> np.ndarray:
        return classifier.features(classifier.cut(decode_jpeg(jpeg)))

    return np.stack(list(ordered_map(features, jpegs)))


def main() -> None:
    """Print a table for the test split, and one for the field test where there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    measuring.project()
    config = load_config()
    model = load_model(
        measuring.require(paths.MODELS / NETWORKS[OURS], "run `dvc repro evaluate`.")
    )
    classifier, stored = Classifier(model), read_features(paths.FEATURES)
    index = store.read_index(paths.PHOTOS)
    labels = store.split_labels(index, "train", classifier.labels)
    in_distribution = labels < len(classifier.labels) - 1
    centers = split_features(
        "train", classifier, crops="center", photo_folder=paths.PHOTOS, stored=stored
    )
    training = TrainingFeatures(centers[in_distribution, 0], labels[in_distribution])
    scheme = model.description.crops
    test = split_features(
        "test", classifier, crops=scheme, photo_folder=paths.PHOTOS, stored=stored
    )
    datasets = {"test": (index.label[index.split == "test"], test)}
    if config.evaluate.field_test:
        archive = find_archive(config.evaluate.field_test, "evaluate.field_test")
        photos = read_field_test(archive, config, photo_folder=paths.PHOTOS)
        datasets["field_test"] = (photos.label, features_of(photos.jpeg, classifier))
    for dataset, (label_of, features) in datasets.items():
        if label_of.eq(OTHER).nunique() == 1:
            print(f"\n### {dataset}: needs photos of both kinds")
            continue
        crops = features.reshape(-1, features.shape[-1])
        logits = crops @ model.tensors["head.weight"].T + model.tensors["head.bias"]
        scores = open_set_scores(logits, crops, training, model.description.label_classes)
        of_photos = {name: values.reshape(features.shape[:2]) for name, values in scores.items()}
        table = compare(of_photos, (label_of != OTHER).to_numpy())
        print(f"\n### {dataset}\n\n{table.round(4).to_markdown(index=False)}")


if __name__ == "__main__":
    measuring.run(main)
