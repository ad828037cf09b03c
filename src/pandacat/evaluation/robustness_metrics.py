"""How robust predictions are to perturbations, measured on tables of predictions."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from pandacat.evaluation import predictions as tables
from pandacat.evaluation.compare import compare_networks
from pandacat.evaluation.predictions import OURS
from pandacat.metrics.intervals import Interval, proportion, wilson


def accuracies(predictions: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the accuracies of each network in each group of photos with equal columns `by`.

    A row has `network`, these columns, `photos`, and for each measure of `correctness` its value
    and its bounds `…_low` and `…_high`, NaN where it applies to no photo of the group. Several
    versions of a photo count as one photo in the intervals.
    """
    correct = tables.correctness(predictions)
    rows = []
    for key, group in predictions.join(correct).groupby(["network", *by], sort=False):
        row = dict(zip(["network", *by], key, strict=True)) | {"photos": group.path.nunique()}
        for measure in correct.columns:
            asked = group.dropna(subset=measure)
            share = Interval(np.nan, np.nan, np.nan)
            if len(asked):
                share = wilson(float(asked[measure].mean()), asked.path.nunique())
            row |= {measure: share.value}
            row |= {f"{measure}_low": share.low, f"{measure}_high": share.high}
        rows.append(row)
    return pd.DataFrame(rows)


def curves(unperturbed: pd.DataFrame, corrupted: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracies over all corruptions by `severity`; 0 is the unperturbed test split."""
    both = pd.concat([unperturbed.assign(severity=0), corrupted], ignore_index=True)
    return accuracies(both, ["severity"])


def changed_predictions(unperturbed: pd.DataFrame, recompressed: pd.DataFrame) -> pd.DataFrame:
    """Return how many predictions change when photos are recompressed.

    A row for each network and label, and for `all` of them, has `photos`, the share `changed` with
    the bounds `low` and `high`, the shares `to_…` that change to each label, the shares
    `correct_before` and `correct_after` and, where there are two in-distribution labels, the share
    `swapped`: another of the two is the likelier. `quality` is that of the recompression.
    """
    before = recompressed[["network", "path"]].merge(unperturbed, "left")
    after = recompressed.reset_index(drop=True)
    names, predicted = tables.label_names(after), tables.predicted_labels(after)
    changed = predicted != tables.predicted_labels(before)
    changes = after[["network", "label"]].assign(
        changed=changed,
        **{f"to_{name}": changed & (predicted == place) for place, name in enumerate(names)},
        correct_before=tables.is_correct(before),
        correct_after=tables.is_correct(after),
    )
    if len(names) == 3:
        first, second, _ = (f"p_{name}" for name in names)
        swapped = (after[first] > after[second]) != (before[first] > before[second])
        changes.insert(3, "swapped", swapped)
    shares = changes.columns.drop(["network", "label", "changed"])
    rows = []
    for network, of_network in tables.by_network(changes).items():
        for label in (*names, "all"):
            group = of_network if label == "all" else of_network[of_network.label == label]
            if len(group):
                share = proportion(group.changed.to_numpy(bool))
                row = {"network": network, "label": label, "photos": len(group)}
                row |= {"changed": share.value, "low": share.low, "high": share.high}
                rows.append(row | dict(group[shares].mean()))
    return pd.DataFrame(rows).assign(quality=recompressed.quality.iloc[0])


def robustness_metrics(
    unperturbed: pd.DataFrame, corrupted: pd.DataFrame, recompressed: pd.DataFrame, *, seed: int
) -> dict[str, Any]:
    """Return accuracies over all corruptions, changed predictions and differences, for JSON.

    Of the test split as it is, `predict_corrupted` and `predict_recompressed`; the seed is of the
    bootstrap.
    """
    measures = tables.correctness(corrupted).columns
    test: dict[str, dict[str, Any]] = {}
    for row in accuracies(corrupted, []).to_dict("records"):
        shares = {name: _interval(row, name, f"{name}_") for name in measures if row[name] >= 0}
        test[row["network"]] = {"corrupted": shares}
    changed = changed_predictions(unperturbed, recompressed)
    for row in changed.to_dict("records"):
        of_network = test[row["network"]].setdefault("changed_when_recompressed", {})
        counts = {
            name: round(row[f"to_{name}"] * row["photos"]) for name in tables.label_names(corrupted)
        }
        to = {name: count for name, count in counts.items() if count}
        of_network[row["label"]] = _interval(row, "changed") | {"to": to}
        if "swapped" in row and row["label"] == "all":
            test[row["network"]]["swapped_when_recompressed"] = row["swapped"]
    for row in compare_networks(corrupted, seed=seed).to_dict("records"):
        if row["measure"] in measures:
            differences = test[row["network"]].setdefault(f"{OURS}_difference", {})
            about = _interval(row, "difference") | {"p_value": row["p_value"]}
            differences[row["measure"]] = about
    return {"test": test, "recompressed_at_quality": int(recompressed.quality.iloc[0])}


def _interval(row: dict[Hashable, Any], name: str, prefix: str = "") -> dict[str, float]:
    return {"value": row[name], "low": row[f"{prefix}low"], "high": row[f"{prefix}high"]}
