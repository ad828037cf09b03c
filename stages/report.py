"""Gather the figures that count in files that lie in Git, where the regression gate finds them."""

from pandacat import layout, shards, tables, tracking
from pandacat.files import read_json, write_json
from pandacat.gate import HEADLINE, PREDICTIONS
from pandacat.sources import provenance
from pandacat.stage import run

COUNTED = (
    "two_class_accuracy",
    "three_class_accuracy",
    "roc_auc",
    "log_loss",
    "calibration_error",
    "open_set",
)
"""Of the figures in `metrics/evaluate.json`."""


def main() -> None:
    """Write the headline figures and the predictions on the test split."""
    with tracking.run("report", {}) as tracked:
        origin = provenance.read(layout.PHOTOS / "provenance.json")
        measured = read_json(layout.METRICS / "evaluate.json")
        digits = read_json(layout.METRICS / "train_scratch_mnist.json")["test"]
        headline = {
            "data": {
                "title": origin.title,
                "source": origin.source,
                "drawn": origin.drawn,
                "fingerprint": shards.fingerprint_of(shards.read_index(layout.PHOTOS)),
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
        tables.write(PREDICTIONS, tables.read(layout.PREDICTIONS / "test.csv"))
        tracked.log_artifact(HEADLINE)


if __name__ == "__main__":
    run(main)
