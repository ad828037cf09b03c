"""Networks compared by their predictions of the same photos."""

from dataclasses import asdict
from typing import Any

import pandas as pd

from pandacat.evaluation import predictions as tables
from pandacat.evaluation.clusters import widen_by_clusters
from pandacat.evaluation.predictions import OURS
from pandacat.metrics.accuracy import correct_by_measure, log_losses
from pandacat.metrics.calibration import calibration_error_by_chance, expected_calibration_error
from pandacat.metrics.open_set import in_distribution_score, open_set_metrics
from pandacat.metrics.paired import cluster_paired_difference, mcnemar, paired_difference


def evaluate(
    predictions: pd.DataFrame,
    differences: pd.DataFrame,
    *,
    seed: int,
    clusters: pd.Series | None = None,
) -> dict[str, Any]:
    """Return the metrics of each network in a table of predictions.

    They are its headline and confidence metrics and, but for ours, `fine_tuned_difference`, from
    what `compare_networks` returned. With the `clusters_of` the photos, they widen intervals.
    """
    metrics = {}
    for name, table in tables.by_network(predictions).items():
        of_network = tables.headline_metrics(table, seed=seed)
        of_network |= confidence_metrics(table, seed=seed)
        if clusters is not None:
            of_network = widen_by_clusters(of_network, table, clusters, seed=seed)
        metrics[name] = of_network
    for row in differences.to_dict("records"):
        of_network = metrics[row["network"]].setdefault(f"{OURS}_difference", {})
        rest = {name: row[name] for name in ("low", "high", "p_value") if pd.notna(row[name])}
        of_network[row["measure"]] = {"value": row["difference"]} | rest
    return metrics


def confidence_metrics(predictions: pd.DataFrame, *, seed: int) -> dict[str, Any]:
    """Return the calibration error of one network, its limit by chance, and `open_set` metrics.

    The last are absent where all photos are in-distribution, or none is.
    """
    labels, probabilities = tables.labels_and_probabilities(predictions)
    confidences, correct = tables.confidences_and_correctness(predictions)
    metrics: dict[str, Any] = {
        "calibration_error": expected_calibration_error(confidences, correct),
        "calibration_error_by_chance": calibration_error_by_chance(confidences, seed),
    }
    in_distribution = labels < probabilities.shape[1] - 1
    if in_distribution.any() and not in_distribution.all():
        intervals = open_set_metrics(in_distribution_score(probabilities), in_distribution)
        metrics["open_set"] = {name: asdict(interval) for name, interval in intervals.items()}
    return metrics


def compare_networks(
    predictions: pd.DataFrame, *, seed: int, clusters: pd.Series | None = None
) -> pd.DataFrame:
    """Return the difference between our network and each other one, paired photo by photo.

    A row for each other `network` and `measure` has the `difference` of the means, above 0 where
    ours is better, the bounds `low` and `high` of its interval and, for accuracies, on how many
    photos `only_ours` and `only_theirs` is correct, and the `p_value`, both as in `mcnemar`; the
    interval of the log loss is the paired bootstrap's. Of several versions of a photo the mean
    counts; a measure that applies to no photo has no row. With the `clusters_of` the photos, the
    cluster bootstrap widens intervals and raises p-values.
    """
    indices, probabilities = tables.labels_and_probabilities(predictions)
    scores = correct_by_measure(indices, probabilities)
    scores["log_loss"] = -log_losses(indices, probabilities)
    versions = predictions[["network", "path", "label"]].assign(**scores)
    by_photo = versions.groupby(["network", "path"], sort=False).agg(
        {"label": "first", **dict.fromkeys(scores, "mean")}
    )
    ours = by_photo.loc[OURS]
    labels = ours.label.map(tables.label_names(predictions).index).to_numpy()
    rows = []
    for network in by_photo.index.unique("network").drop(OURS):
        theirs = by_photo.loc[network].loc[ours.index]
        for measure in scores:
            applies = ours[measure].notna()
            if not applies.any():
                continue
            first, second = (side[measure][applies].to_numpy() for side in (ours, theirs))
            counts = {}
            if measure == "log_loss":
                share = paired_difference(first, second, labels[applies], seed)
            else:
                test = mcnemar(first, second)
                share = test.difference
                counts = {"only_ours": test.only_first, "only_theirs": test.only_second}
                counts["p_value"] = test.p_value
            if clusters is not None:
                of_photos = clusters.loc[ours.index[applies]].to_numpy(str)
                share, p_value = cluster_paired_difference(
                    share, first - second, labels[applies], of_photos, seed
                )
                if counts:
                    counts["p_value"] = max(counts["p_value"], p_value)
            row = {"network": network, "measure": measure, "difference": share.value}
            rows.append(row | {"low": share.low, "high": share.high} | counts)
    return pd.DataFrame(rows)
