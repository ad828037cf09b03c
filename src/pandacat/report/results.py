"""The results of one run of the pipeline, from which its report and model card are made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pandacat.config.training import FineTuneParams
from pandacat.core import paths
from pandacat.core.files import read_json, reading
from pandacat.core.tables import read_table
from pandacat.data import provenance
from pandacat.data.provenance import Provenance
from pandacat.evaluation.compare import OURS
from pandacat.models.saved import SavedModel, load_model

DATASETS = {"test": "test photos of this data set", "field_test": "photos from other sources"}
"""The sets of photos in `metrics/evaluate.json`, in words."""

METRICS = ("preprocess", "audit", "train_scratch_mnist", "fine_tune", "evaluate", "robustness")


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
