"""Gather the figures that count in files that lie in Git, where the regression gate finds them."""

from pandacat.core import paths
from pandacat.core.files import read_json, write_json
from pandacat.core.paths import HEADLINE, TEST_PREDICTIONS
from pandacat.core.stage import run
from pandacat.core.tables import read_table, write_table
from pandacat.data import provenance, store
from pandacat.tracking.journal import tracked_stage

COUNTED = (
    "two_class_accuracy",
    "accuracy",
    "roc_auc",
    "log_loss",
    "calibration_error",
    "open_set",
)
"""Of the figures in `metrics/evaluate.json`."""


def main() -> None:
    """Write the headline figures and the predictions on the test split."""
    with tracked_stage("headline", {}) as tracked:
        origin = provenance.read(paths.PHOTOS / "provenance.json")
        measured = read_json(paths.METRICS / "evaluate.json")
        digits = read_json(paths.METRICS / "train_scratch_mnist.json")["test"]
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
                        "value": digits["accuracy"],
                        "low": digits["low"],
                        "high": digits["high"],
                    }
                }
            },
            **{
                photos: {
                    network: {name: figures[name] for name in COUNTED if name in figures}
                    for network, figures in networks.items()
                }
                for photos, networks in measured.items()
            },
        }
        write_json(HEADLINE, headline)
        write_table(TEST_PREDICTIONS, read_table(paths.PREDICTIONS / "test.csv"))
        tracked.log_artifact(HEADLINE)


if __name__ == "__main__":
    run(main)
