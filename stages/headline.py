"""Gather the headline metrics in files that Git tracks, where the regression gate reads them."""

from pandacat.core import paths
from pandacat.core.files import read_json, write_json
from pandacat.core.paths import HEADLINE, TEST_PREDICTIONS
from pandacat.core.stage import run
from pandacat.core.tables import read_table, write_table
from pandacat.data import provenance, store
from pandacat.tracking.journal import tracked_stage

HEADLINE_METRICS = (
    "two_class_accuracy",
    "accuracy",
    "roc_auc",
    "log_loss",
    "calibration_error",
    "open_set",
)
"""Of the metrics in `metrics/evaluate.json`."""


def main() -> None:
    """Write the headline metrics and the predictions on the test split."""
    with tracked_stage("headline", {}) as tracked:
        origin = provenance.read(paths.PHOTOS / "provenance.json")
        evaluation = read_json(paths.METRICS / "evaluate.json")
        mnist = read_json(paths.METRICS / "train_scratch_mnist.json")["test"]
        headline = {
            "data": {
                "title": origin.title,
                "source": origin.source,
                "drawn": origin.drawn,
                "fingerprint": store.dataset_fingerprint(store.read_index(paths.PHOTOS)),
            },
            "mnist": {
                "scratch": {
                    "accuracy": {
                        "value": mnist["accuracy"],
                        "low": mnist["low"],
                        "high": mnist["high"],
                    }
                }
            },
            **{
                dataset: {
                    network: {name: metrics[name] for name in HEADLINE_METRICS if name in metrics}
                    for network, metrics in networks.items()
                }
                for dataset, networks in evaluation.items()
            },
        }
        write_json(HEADLINE, headline)
        write_table(TEST_PREDICTIONS, read_table(paths.PREDICTIONS / "test.csv"))
        tracked.log_artifact(HEADLINE)


if __name__ == "__main__":
    run(main)
