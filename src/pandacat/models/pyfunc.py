"""A model as MLflow loads it: `mlflow.pyfunc.load_model(URI).predict(["photo.jpg"])`."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pandacat.models.classifier import Classifier
from pandacat.models.saved import load_model


class PhotoModel:
    """A classifier of photos behind MLflow's interface."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    def predict(self, model_input: Any) -> pd.DataFrame:
        """Return a row for each photo of a list or table of paths.

        The columns are `path`, `label`, `p_…` with the probability of each label, and `reason`,
        which says why a photo can't be read.
        """
        paths = np.asarray(model_input, dtype=object).ravel().tolist()
        predictions = self.classifier.predict_many(
            (path, partial(Path.read_bytes, Path(path))) for path in paths
        )
        rows = [
            {
                "path": prediction.path,
                "label": prediction.label,
                **{f"p_{name}": p for name, p in (prediction.probabilities or {}).items()},
                "reason": prediction.reason,
            }
            for prediction in predictions
        ]
        columns = ["path", "label", *(f"p_{name}" for name in self.classifier.labels), "reason"]
        return pd.DataFrame(rows, columns=columns)


def _load_pyfunc(data_path: str) -> PhotoModel:
    """Return the model in a folder; MLflow looks this function up by its name."""
    return PhotoModel(Classifier(load_model(Path(data_path))).compiled())
