"""Gather the headline metrics in files that Git tracks, where the regression gate reads them."""

import pandas as pd

from pandacat.core import paths
from pandacat.core.files import read_json, write_json
from pandacat.core.paths import HEADLINE, PARAMS, SUMMARY, TEST_PREDICTIONS
from pandacat.core.stage import run
from pandacat.core.tables import read_table, write_table
from pandacat.data import provenance, store
from pandacat.evaluation.headline import field_test_fingerprint, headline, summary
from pandacat.models import pyfunc
from pandacat.tracking.journal import tracked_stage


def main() -> None:
    """Write the headline metrics, their summary, and the predictions on test photos.

    These are of the test split and, where there is one, of the field test.

    MLflow gets them from here, with the report, the model and the parameters.
    """
    with tracked_stage("headline", {}) as tracked:
        origin = provenance.read(paths.PHOTOS / "provenance.json")
        data = {
            "title": origin.title,
            "source": origin.source,
            "drawn": origin.drawn,
            "fingerprint": store.dataset_fingerprint(store.read_index(paths.PHOTOS)),
        }
        predictions = read_table(paths.PREDICTIONS / "test.csv")
        field_test = read_table(paths.PREDICTIONS / "field_test.csv")
        if len(field_test):
            data["field_test"] = field_test_fingerprint(field_test)
            predictions = pd.concat([predictions, field_test[predictions.columns]])
        evaluation = read_json(paths.METRICS / "evaluate.json")
        mnist = read_json(paths.METRICS / "train_scratch_mnist.json")["test"]
        exports = read_json(paths.METRICS / "export.json")
        del exports["megabytes"]
        metrics = headline(evaluation | {"export": exports}, mnist)
        write_json(HEADLINE, {"data": data, **metrics})
        write_json(SUMMARY, summary(metrics))
        write_table(TEST_PREDICTIONS, predictions)
        tracked.log_results(
            summary(metrics),
            artifacts=[PARAMS, HEADLINE, paths.REPORTS / "report.html"],
            model=paths.MODELS / "fine-tuned",
            loader=pyfunc.__name__,
        )


if __name__ == "__main__":
    run(main)
