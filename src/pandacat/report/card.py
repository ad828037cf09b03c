"""What a model must not be used for, and how well it does, to travel with its exported files."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pandacat.data.provenance import Provenance
from pandacat.evaluation.predictions import OURS, is_correct, labels_and_probabilities
from pandacat.labels import listed
from pandacat.metrics.paired import smallest_detectable_drop
from pandacat.models.saved import SavedModel
from pandacat.report.templating import render

DATASETS = {"test": "test photos of this data set", "field_test": "photos from other sources"}
"""The sets of photos in `metrics/evaluate.json`, in words."""


def limits(
    origin: Provenance,
    evaluation: Mapping[str, Any],
    predictions: Mapping[str, pd.DataFrame],
    labels: Sequence[str],
    hardest: Sequence[str] = (),
) -> list[str]:
    """Return what the fine-tuned network must not be used for, in sentences.

    `evaluation` and `predictions` are by set of photos, those of `metrics/evaluate.json` and
    `data/predictions`; `hardest` are the corruptions after which it is least accurate.
    """
    wrong = pd.concat(
        [rows[(rows.network == OURS) & ~is_correct(rows)] for rows in predictions.values()]
    )
    figures = {name: networks[OURS] for name, networks in evaluation.items()}
    test_photos = sum(figures["test"]["photos"].values())
    text = render(
        "limits.txt",
        drawn=origin.drawn,
        figures=figures,
        known=listed(labels[:-1]),
        most_confident_mistake=labels_and_probabilities(wrong)[1].max(initial=0),
        datasets=DATASETS,
        hardest=hardest,
        test_photos=test_photos,
        smallest_drop=smallest_detectable_drop(test_photos),
    )
    return text.splitlines()


def card(
    model: SavedModel,
    origin: Provenance,
    evaluation: Mapping[str, Any],
    predictions: Mapping[str, pd.DataFrame],
) -> dict[str, Any]:
    """Return how well the fine-tuned network does, for JSON that travels with it.

    `figures` have a `name`, a `value` with the bounds of its 95 % interval, `low` and `high`, and
    the number of `photos`; `limits` are sentences; `exported_from` is the hash of the weights.
    """
    description = model.description
    known = listed(description.labels[:-1])
    names = {
        "accuracy": "accuracy",
        "auroc": f"AUROC, {known} against other",
        "false_positive_rate": f"other photos taken for {known}, where 95 % of {known} are found",
    }
    rows = []
    for dataset, networks in evaluation.items():
        figures = networks[OURS]
        intervals = figures | figures.get("open_set", {})
        photos = sum(figures["photos"].values())
        rows += [
            {"name": f"{name}, {DATASETS[dataset]}"} | intervals[key] | {"photos": photos}
            for key, name in names.items()
            if key in intervals
        ]
    return {
        "exported_from": model.sha256,
        "title": origin.title,
        "labels": description.labels,
        "drawn": description.drawn,
        "figures": rows,
        "coverage": description.conformal and description.conformal.coverage,
        "limits": limits(origin, evaluation, predictions, description.labels),
    }
