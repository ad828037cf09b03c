"""Measure all networks side by side on photos that none of them was trained on."""

import pandas as pd

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import write_json
from pandacat.core.stage import run
from pandacat.core.tables import write_table
from pandacat.data.features import read_features
from pandacat.data.sources.archive import find_archive
from pandacat.evaluation.compare import evaluate
from pandacat.evaluation.field_test import extract_field_test
from pandacat.evaluation.networks import extract_split, load_networks, predict
from pandacat.tracking.journal import tracked_stage


def main() -> None:
    """Write the predictions on the test split and the field test, and their metrics."""
    config = load_config()
    params = config.evaluate
    with tracked_stage("evaluate", params) as tracked:
        classifiers = load_networks(paths.MODELS)
        stored = read_features(paths.FEATURES)
        photos = {
            "test": extract_split(classifiers, "test", photo_folder=paths.PHOTOS, stored=stored)
        }
        if params.field_test:
            archive = find_archive(params.field_test, "evaluate.field_test")
            photos["field_test"] = extract_field_test(
                classifiers, archive, config, photo_folder=paths.PHOTOS
            )
        results = {
            dataset: evaluate(predict(classifiers, extracted), seed=params.seed)
            for dataset, extracted in photos.items()
        }

        predictions = {dataset: result.predictions for dataset, result in results.items()}
        write_table(paths.PREDICTIONS / "test.csv", predictions["test"])
        field_test = predictions.get("field_test", predictions["test"].head(0))
        write_table(paths.PREDICTIONS / "field_test.csv", field_test)
        differences = [
            result.differences.assign(photos=dataset) for dataset, result in results.items()
        ]
        write_table(paths.PLOTS / "paired.csv", pd.concat(differences))
        metrics = {dataset: result.metrics for dataset, result in results.items()}
        write_json(paths.METRICS / "evaluate.json", metrics)
        tracked.log_metrics(metrics)


if __name__ == "__main__":
    run(main)
