"""Measure the networks on perturbed test photos: corrupted, or recompressed."""

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import write_json
from pandacat.core.stage import run
from pandacat.core.tables import read_table, write_table
from pandacat.evaluation.networks import load_networks
from pandacat.evaluation.perturbed_predictions import predict_corrupted, predict_recompressed
from pandacat.evaluation.robustness_metrics import (
    accuracies,
    changed_predictions,
    curves,
    robustness_metrics,
)
from pandacat.tracking.journal import tracked_stage

METRICS = paths.METRICS / "robustness.json"


def main() -> None:
    """Write the predictions of perturbed photos, and their metrics."""
    config = load_config()
    params = config.robustness
    with tracked_stage("robustness", params) as tracked:
        classifiers = load_networks(paths.MODELS)
        unperturbed = read_table(paths.PREDICTIONS / "test.csv")
        corrupted = predict_corrupted(classifiers, paths.PHOTOS, params)
        recompressed = predict_recompressed(classifiers, paths.ARCHIVE, paths.PHOTOS, config)
        write_table(paths.PREDICTIONS / "corrupted.csv", corrupted)
        write_table(paths.PREDICTIONS / "recompressed.csv", recompressed)

        by_kind = accuracies(corrupted, ["corruption", "severity"])
        write_table(paths.PLOTS / "corruptions.csv", by_kind)
        by_severity = curves(unperturbed, corrupted).pivot(
            index="severity", columns="network", values="accuracy"
        )
        write_table(paths.PLOTS / "robustness.csv", by_severity.reset_index())
        changed = changed_predictions(unperturbed, recompressed)
        write_table(paths.PLOTS / "changed_predictions.csv", changed)
        metrics = robustness_metrics(unperturbed, corrupted, recompressed, seed=params.seed)
        write_json(METRICS, metrics)
        tracked.log_metrics(
            {
                f"{network}_corrupted_accuracy": test["corrupted"]["accuracy"]["value"]
                for network, test in metrics["test"].items()
            }
        )
        tracked.log_artifact(METRICS)


if __name__ == "__main__":
    run(main)
