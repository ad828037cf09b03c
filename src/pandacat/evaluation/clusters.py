"""Intervals of metrics on photos that come in clusters: several of one source and kind."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from pandacat.evaluation import predictions as tables
from pandacat.metrics.accuracy import (
    confusion,
    correct_by_measure,
    log_losses,
    pair_scores,
    placements,
    precision_recall_f1,
)
from pandacat.metrics.intervals import Interval, cluster_bootstrap, widened
from pandacat.metrics.open_set import in_distribution_score, threshold_at_recall


def clusters_of(predictions: pd.DataFrame) -> pd.Series | None:
    """Return by `path` the source and kind of each photo: what its name has before `__`.

    A photo whose name has no `__` is a cluster of its own; if none has, `None` is returned.
    """
    photos = predictions.path.drop_duplicates()
    kinds = photos.str.rpartition("/")[2].str.partition("__")
    clusters = kinds[0].where(kinds[1] != "", photos).set_axis(photos)
    return clusters if (kinds[1] != "").any() else None


def widen_by_clusters(
    metrics: Mapping[str, Any], predictions: pd.DataFrame, clusters: pd.Series, *, seed: int
) -> dict[str, Any]:
    """Return the metrics of one network, their intervals widened by the cluster bootstrap.

    Photos of one cluster are alike, so there are fewer to learn from than photos. The strata are
    the labels. Bounds that are wider where photos count as independent stay, as those of shares
    of 1, in which no resample can find a failure.
    """
    labels, probabilities = tables.labels_and_probabilities(predictions)
    names = tables.label_names(predictions)
    defined = list(_values(labels, probabilities, names))

    def values(photos: np.ndarray) -> np.ndarray:
        found = _values(labels[photos], probabilities[photos], names)
        return np.array([found.get(name, np.nan) for name in defined])

    of_photos = clusters.loc[predictions.path].to_numpy(str)
    resampled = cluster_bootstrap(values, labels, of_photos, seed)
    return _widened(metrics, dict(zip(defined, resampled.T, strict=True)))


def _values(
    labels: np.ndarray, probabilities: np.ndarray, names: tuple[str, ...]
) -> dict[str, float]:
    """Return the metrics that have intervals, by their dotted names."""
    counts = confusion(labels, probabilities)
    present = counts.sum(axis=1) > 0
    in_distribution = labels < len(names) - 1
    values = {
        measure: float(np.nanmean(correct))
        for measure, correct in correct_by_measure(labels, probabilities).items()
        if not np.isnan(correct).all()
    }
    recalls = counts.diagonal()[present] / counts.sum(axis=1)[present]
    values["balanced_accuracy"] = float(recalls.mean())
    values["log_loss"] = float(log_losses(labels, probabilities).mean())
    for label, name in enumerate(names):
        for measure, share in precision_recall_f1(counts, label).items():
            values[f"per_class.{name}.{measure}"] = share.value
    if len(names) == 3 and present[:2].all():
        first = labels[in_distribution] == 0
        values["roc_auc"] = _area(pair_scores(probabilities[in_distribution]), first)
    if present[-1] and present[:-1].any():
        scores = in_distribution_score(probabilities)
        accepted = scores[~in_distribution] >= threshold_at_recall(scores[in_distribution])
        values["open_set.auroc"] = _area(scores, in_distribution)
        values["open_set.false_positive_rate"] = float(accepted.mean())
    return values


def _area(scores: np.ndarray, positive: np.ndarray) -> float:
    return float(placements(scores, positive)[positive].mean())


def _widened(
    metrics: Mapping[str, Any], values: Mapping[str, np.ndarray], prefix: str = ""
) -> dict[str, Any]:
    result = dict(metrics)
    for key, metric in metrics.items():
        name = f"{prefix}{key}"
        if name in values:
            result[key] = asdict(widened(Interval(**metric), values[name]))
        elif isinstance(metric, Mapping):
            result[key] = _widened(metric, values, f"{name}.")
    return result
