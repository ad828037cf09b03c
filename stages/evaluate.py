"""Measure all networks side by side on photos that none of them has seen."""

import pandas as pd

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import write_json
from pandacat.core.stage import run
from pandacat.core.tables import write_table
from pandacat.data.features import read_features
from pandacat.data.sources.archive import find_archive
from pandacat.evaluation import compare
from pandacat.evaluation.field_test import extract_field_test
from pandacat.models.saved import load_model
from pandacat.tracking.journal import tracked_stage


def main() -> None:
    """Write the predictions on the test split and on photos from elsewhere, and their figures."""
    settings = load_config()
    chosen = settings.evaluate
    with tracked_stage("evaluate", chosen) as tracked:
        classifiers = compare.load_networks(paths.MODELS)
        ours = load_model(paths.MODELS / compare.NETWORKS[compare.OURS])
        stored = read_features(paths.FEATURES)
        known = compare.in_distribution_features(
            classifiers[compare.OURS], photo_folder=paths.PHOTOS, stored=stored
        )
        seen = {
            "test": compare.extract_split(
                classifiers, "test", photo_folder=paths.PHOTOS, stored=stored
            )
        }
        if chosen.field_test:
            seen["field_test"] = extract_field_test(
                classifiers,
                find_archive(chosen.field_test, "evaluate.field_test"),
                settings,
                photo_folder=paths.PHOTOS,
            )
        found = {
            where: compare.evaluate(classifiers, photos, ours, known, seed=chosen.seed)
            for where, photos in seen.items()
        }

        judged = {where: measured.judged for where, measured in found.items()}
        write_table(paths.PREDICTIONS / "test.csv", judged["test"])
        elsewhere = judged.get("field_test", judged["test"].head(0))
        write_table(paths.PREDICTIONS / "field_test.csv", elsewhere)
        for table in ("paired", "open_set_scores"):
            parts = [getattr(one, table).assign(photos=where) for where, one in found.items()]
            write_table(paths.PLOTS / f"{table}.csv", pd.concat(parts))
        metrics = {where: measured.metrics() for where, measured in found.items()}
        write_json(paths.METRICS / "evaluate.json", metrics)
        tracked.log_metrics(metrics)


if __name__ == "__main__":
    run(main)
