"""A model as MLflow loads it: `mlflow.pyfunc.load_model(URI).predict(["photo.jpg"])`."""

import importlib.metadata
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pandacat.core.libraries import prepare_mlflow
from pandacat.models.classifier import Classifier
from pandacat.models.saved import load_model

PHOTO = "photo"
"""Column of the bytes of photos."""


class PhotoModel:
    """A classifier of photos behind MLflow's interface."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    def predict(self, model_input: Any) -> pd.DataFrame:
        """Return a row for each photo of a list or a column: its path, or the bytes of its file.

        The columns are `path` (of bytes: their number), `label`, `p_…` with the probability of each
        label, and `reason`, which says why a photo can't be read. What does not apply is `None`.
        """
        photos = np.asarray(model_input, dtype=object).ravel().tolist()
        items = (_named(number, photo) for number, photo in enumerate(photos))
        rows = [
            {
                "path": prediction.path,
                "label": prediction.label,
                **{f"p_{name}": p for name, p in (prediction.probabilities or {}).items()},
                "reason": prediction.reason,
            }
            for prediction in self.classifier.predict_many(items)
        ]
        columns = ["path", "label", *(f"p_{name}" for name in self.classifier.labels), "reason"]
        table = pd.DataFrame(rows, columns=columns, dtype=object)
        return table.where(table.notna(), None)


def _named(number: int, photo: Any) -> tuple[str, Callable[[], bytes]]:
    if isinstance(photo, bytes):
        return str(number), lambda: photo
    return photo, partial(Path.read_bytes, Path(photo))


def save_mlflow_model(folder: Path, exported: Path, example: Path) -> None:
    """Write the model in `exported` as one of MLflow's, whose input is a column of photos' bytes.

    `example` is the photo that shows how it is called.
    """
    prepare_mlflow()
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    photo = pd.DataFrame({PHOTO: [example.read_bytes()]})
    labels = load_model(exported).description.labels
    text, number = DataType.string, DataType.double
    outputs = [ColSpec(text, "path"), ColSpec(text, "label", required=False)]
    outputs += [ColSpec(number, f"p_{label}", required=False) for label in labels]
    outputs += [ColSpec(text, "reason", required=False)]
    pyfunc.save_model(
        folder,
        loader_module=__name__,
        data_path=str(exported),
        signature=ModelSignature(Schema([ColSpec(DataType.binary, PHOTO)]), Schema(outputs)),
        input_example=photo,
        code_paths=[str(Path(__file__).parents[1])],
        pip_requirements=["mlflow", "pandas", *_needed()],
    )


def _needed() -> list[str]:
    """Return the packages that exported models need, with their versions here."""
    needed = [
        text for text in importlib.metadata.requires("pandacat") or [] if "extra ==" not in text
    ]
    names = [re.split(r"[^\w.-]", text)[0] for text in needed]
    return [f"{name}=={importlib.metadata.version(name)}" for name in names]


def _load_pyfunc(data_path: str) -> PhotoModel:
    """Return the model in a folder; MLflow looks this function up by its name."""
    return PhotoModel(Classifier(load_model(Path(data_path))).compiled())
