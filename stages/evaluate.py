"""Measure all networks side by side on photos that none of them was trained on."""

import pandas as pd

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import write_json
from pandacat.core.stage import run
from pandacat.core.tables import write_table
from pandacat.data.features import read_features
from pandacat.data.sources.importing import find_archive
from pandacat.evaluation.clusters import clusters_of
from pandacat.evaluation.compare import compare_networks, evaluate
from pandacat.evaluation.field_test import predict_field_test
from pandacat.evaluation.networks import load_networks, predict_split
from pandacat.tracking.journal import tracked_stage

METRICS = paths.METRICS / "evaluate.json"


def main() -> None:
    """Write the predictions on the test split and the field test, and their metrics."""
    config = load_config()
    params = config.evaluate
    with tracked_stage("evaluate", params) as tracked:
        classifiers = load_networks(paths.MODELS)
        stored = read_features(paths.FEATURES)
        predictions = {
            "test": predict_split(classifiers, "test", photo_folder=paths.PHOTOS, stored=stored)
        }
        if params.field_test:
            archive = find_archive(params.field_test, "evaluate.field_test")
            predictions["field_test"] = predict_field_test(
                classifiers, archive, config, photo_folder=paths.PHOTOS
            )
        write_table(paths.PREDICTIONS / "test.csv", predictions["test"])
        field_test = predictions.get("field_test", predictions["test"].head(0))
        write_table(paths.PREDICTIONS / "field_test.csv", field_test)

        metrics, differences = {}, []
        for dataset, table in predictions.items():
            clusters = clusters_of(table) if dataset == "field_test" else None
            paired = compare_networks(table, seed=params.seed, clusters=clusters)
            differences.append(paired.assign(photos=dataset))
            metrics[dataset] = evaluate(table, paired, seed=params.seed, clusters=clusters)
        write_table(paths.PLOTS / "paired.csv", pd.concat(differences))
        write_json(METRICS, metrics)
        tracked.log_metrics(
            {
                f"{name}_accuracy": test["accuracy"]["value"]
                for name, test in metrics["test"].items()
            }
        )
        tracked.log_artifact(METRICS)


if __name__ == "__main__":
    run(main)
