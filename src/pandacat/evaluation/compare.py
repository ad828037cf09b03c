"""All networks on the same photos that none of them has seen."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pandacat.data import store
from pandacat.data.features import Features
from pandacat.evaluation.predictions import (
    headline_metrics,
    labels_and_probabilities,
    prediction_table,
)
from pandacat.labels import IMAGENET_CLASSES, LABELS
from pandacat.metrics import calibration, open_set
from pandacat.metrics.accuracy import log_losses, right_between_two
from pandacat.metrics.intervals import Interval
from pandacat.metrics.paired import mcnemar, paired_difference
from pandacat.models.classifier import Classifier, by_backbone
from pandacat.models.embed import split_features
from pandacat.models.saved import SavedModel, load_model

NETWORKS = {
    "scratch": "scratch-photos",
    "pretrained": "pretrained",
    "linear_probe": "linear-probe",
    "fine_tuned": "fine-tuned",
}
"""The saved model of each network, by the name under which its figures appear."""

OURS = "fine_tuned"
"""The network that the others are compared with."""

Classifiers = Mapping[str, Classifier]
"""By the name under which their figures appear."""

OVER_CROPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "center": lambda scores: scores[:, 0],
    "mean": lambda scores: scores.mean(axis=1),
    "largest": lambda scores: scores.max(axis=1),
}
"""How the scores `(N, V)` of a photo's crops become one."""


@dataclass(frozen=True)
class ExtractedPhotos:
    """Photos, and what each backbone makes of them."""

    index: pd.DataFrame
    """`name`, `label` and `split` of each photo."""
    features: Mapping[str, np.ndarray]
    """`(N, V, D)` by backbone key, the most crops that a network with this backbone looks at."""

    def by(self, classifier: Classifier) -> np.ndarray:
        """Return the features `(N, V, D)` of the crops that `classifier` looks at."""
        return self.features[classifier.backbone_key][:, : classifier.crop_count]


@dataclass(frozen=True)
class Evaluation:
    """What was found on one set of photos."""

    judged: pd.DataFrame
    """What each network says of each photo: `predictions`' columns, and `network`."""
    paired: pd.DataFrame
    """See `compare_networks`."""
    open_set_scores: pd.DataFrame
    """See `compare_open_set_scores`."""
    seed: int

    def metrics(self) -> dict[str, Any]:
        """Return, for each network, how often it is right and how far it can be trusted.

        Besides the headline figures: `calibration_error`, the expected calibration error of the
        verdicts, and what a perfectly calibrated network would stay below by chance;
        `open_set`, how well the larger probability of panda and cat tells these from all others;
        how far ours is ahead of each other network; for ours, the open-set scores compared.
        """
        found = {
            str(name): headline_metrics(table, seed=self.seed) | self._trust(table)
            for name, table in self.judged.groupby("network", sort=False)
        }
        for row in self.paired.to_dict("records"):
            shown = ["difference", "low", "high", *(["p_value"] if row["p_value"] >= 0 else [])]
            ahead = {name.replace("difference", "value"): row[name] for name in shown}
            found[row["rival"]].setdefault(f"{OURS}_difference", {})[row["measure"]] = ahead
        mean = self.open_set_scores[self.open_set_scores.crops == "mean"]
        if len(mean):
            shown = ["auroc", "false_positive_rate"]
            found[OURS]["open_set_scores"] = mean.set_index("score")[shown].to_dict("index")
        return found

    def _trust(self, judged: pd.DataFrame) -> dict[str, Any]:
        labels, probabilities = labels_and_probabilities(judged)
        sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
        figures: dict[str, Any] = {
            "calibration_error": calibration.expected_calibration_error(sure, right),
            "calibration_error_by_chance": calibration.calibration_error_by_chance(sure, self.seed),
        }
        known = labels != LABELS.index("other")
        if 0 < known.sum() < len(known):
            found = open_set.open_set_figures(open_set.in_distribution_score(probabilities), known)
            figures["open_set"] = {name: asdict(interval) for name, interval in found.items()}
        return figures


def load_networks(models: Path) -> dict[str, Classifier]:
    """Return all networks that are compared, from the folder of saved models."""
    return {network: Classifier(load_model(models / name)) for network, name in NETWORKS.items()}


def extract_split(
    classifiers: Classifiers, split: str, *, photo_folder: Path, stored: Features
) -> ExtractedPhotos:
    """Return the photos of a split as the networks see them."""
    index = store.read_index(photo_folder)
    return ExtractedPhotos(
        index[index.split == split],
        {
            key: split_features(
                split,
                classifier,
                crops=classifier.description.crops,
                photo_folder=photo_folder,
                stored=stored,
            )
            for key, classifier in by_backbone(classifiers.values()).items()
        },
    )


def predict(classifiers: Classifiers, seen: ExtractedPhotos) -> pd.DataFrame:
    """Return what each network says of each photo: `predictions`' columns, and `network`."""
    return pd.concat(
        [
            prediction_table(
                seen.index, classifier.probabilities(seen.by(classifier)), classifier.labels
            ).assign(network=name)
            for name, classifier in classifiers.items()
        ],
        ignore_index=True,
    )


def compare_networks(judged: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Return how far our network is ahead of each other one, photo by photo.

    Returns:
        A row for each other network (`rival`) and `measure`: `difference`, with the bounds `low`
        and `high` of its paired bootstrap interval, above 0 where ours is better; for accuracies
        how many photos `only_ours` and `only_rival` gets right, and McNemar's `p_value`.
    """
    tables = {str(name): table for name, table in judged.groupby("network", sort=False)}
    labels, ours = labels_and_probabilities(tables.pop(OURS))
    known = labels != LABELS.index("other")
    rows = []
    for rival, table in tables.items():
        theirs = labels_and_probabilities(table)[1]
        accuracies = {
            "two_class_accuracy": (
                right_between_two(labels, ours),
                right_between_two(labels, theirs),
                labels[known],
            ),
            "accuracy": (
                ours.argmax(axis=1) == labels,
                theirs.argmax(axis=1) == labels,
                labels,
            ),
        }
        for measure, (own_right, their_right, strata) in accuracies.items():
            if not len(strata):
                continue
            ahead = paired_difference(own_right, their_right, strata, seed)
            test = mcnemar(own_right, their_right)
            rows.append(
                {
                    "rival": rival,
                    "measure": measure,
                    **_bounds(ahead),
                    "only_ours": test.only_first,
                    "only_rival": test.only_second,
                    "p_value": test.p_value,
                }
            )
        losses = log_losses(labels, theirs), log_losses(labels, ours)
        rows.append(
            {
                "rival": rival,
                "measure": "log_loss",
                **_bounds(paired_difference(*losses, labels, seed)),
            }
        )
    return pd.DataFrame(rows)


def _bounds(ahead: Interval) -> dict[str, float]:
    return {"difference": ahead.value, "low": ahead.low, "high": ahead.high}


@dataclass(frozen=True)
class InDistribution:
    """Training photos of pandas and cats, from which open-set scores may learn."""

    features: np.ndarray
    """`(M, D)`, the center crop of each."""
    labels: np.ndarray
    """`(M,)`."""


def in_distribution_features(
    classifier: Classifier, *, photo_folder: Path, stored: Features
) -> InDistribution:
    """Return the training photos of pandas and cats: what the backbone makes of their centers."""
    index = store.read_index(photo_folder)
    seen = split_features(
        "train", classifier, crops="center", photo_folder=photo_folder, stored=stored
    )
    labels = store.split_labels(index, "train", LABELS)
    known = labels != LABELS.index("other")
    return InDistribution(seen[known, 0], labels[known])


def compare_open_set_scores(
    features: np.ndarray, labels: np.ndarray, model: SavedModel, known: InDistribution
) -> pd.DataFrame:
    """Return how well several scores tell pandas and cats from all others.

    Args:
        features: `(N, V, D)` of the photos.
        labels: `(N,)`.
        model: with a head of 1,000 classes.
        known: what the scores may learn from.

    Returns:
        A row for each `score` and way to make one of those of the `crops`: `auroc` and
        `false_positive_rate` at 95 % recall, each with its bounds `…_low` and `…_high`; no rows
        where the photos are all of one kind.
    """
    positive = labels != LABELS.index("other")
    if positive.all() or not positive.any():
        return pd.DataFrame(columns=["score", "crops", "auroc", "false_positive_rate"])
    flat = features.reshape(-1, features.shape[-1])
    compared = open_set.scores(
        flat @ model.tensors["head.weight"].T + model.tensors["head.bias"],
        flat,
        known.features,
        known.labels,
        [IMAGENET_CLASSES["panda"], IMAGENET_CLASSES["cat"]],
    )
    rows = []
    for score, values in compared.items():
        for crops, together in OVER_CROPS.items():
            scores = together(values.reshape(features.shape[:2]))
            figures = open_set.open_set_figures(scores, positive)
            row: dict[str, Any] = {"score": score, "crops": crops}
            for name, found in figures.items():
                row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
            rows.append(row)
    return pd.DataFrame(rows)


def evaluate(
    classifiers: Classifiers,
    seen: ExtractedPhotos,
    model: SavedModel,
    known: InDistribution,
    *,
    seed: int,
) -> Evaluation:
    """Return what there is to say of the networks on one set of photos.

    `model` is ours as it was saved, `known` what open-set scores may learn from.
    """
    judged = predict(classifiers, seen)
    labels = labels_and_probabilities(judged[judged.network == OURS])[0]
    return Evaluation(
        judged,
        compare_networks(judged, seed=seed),
        compare_open_set_scores(seen.by(classifiers[OURS]), labels, model, known),
        seed,
    )
