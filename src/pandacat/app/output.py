"""Predictions as lines on the terminal or as a table, and where the user's files may go."""

import csv
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from pandacat.core import paths
from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError, printable
from pandacat.core.files import is_device
from pandacat.labels import listed
from pandacat.models.classifier import Prediction
from pandacat.models.saved import DESCRIPTION

UNREADABLE = "unreadable"
"""In place of the label of a file that can't be read."""

PIPELINE_FOLDERS = (
    *(paths.MNIST, paths.ARCHIVE.parent, paths.PHOTOS, paths.FEATURES, paths.PREDICTIONS),
    *(paths.MODELS, paths.METRICS, paths.PLOTS, paths.REPORTS),
)
"""Where stages write, and DVC removes."""


def print_lines(
    predictions: Iterable[Prediction], labels: Sequence[str], *, prediction_sets: bool
) -> None:
    """Print one line per photo: label or prediction set, the probabilities, the path."""
    width = max(6, *map(len, labels)) + 2
    names = min(len(listed(labels[:-1])), 30) + 2 if prediction_sets else width
    columns = "".join(f"{label:>{width}}" for label in labels)
    _print_line(f"{'set' if prediction_sets else 'label':{names}}{columns}   photo")
    for prediction in predictions:
        path = printable(prediction.path)
        if prediction.probabilities is None:
            _print_line(f"{UNREADABLE:{names + len(columns)}}   {path}: {prediction.reason}")
        else:
            values = "".join(f"{value:{width}.1%}" for value in prediction.probabilities.values())
            name = prediction.prediction_set if prediction_sets else prediction.label
            _print_line(f"{name:{names}}{values}   {path}")


def _print_line(line: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    tqdm.write(line.encode(encoding, "backslashreplace").decode(encoding))


def write_csv(
    path: Path, predictions: Iterable[Prediction], labels: Sequence[str], *, prediction_sets: bool
) -> None:
    """Write `path`, `label`, `p_…` of each label and, where asked for, `prediction_set`.

    The label of a file that can't be read is `unreadable`; the reason goes to stderr.
    """
    columns = ["path", "label", *(f"p_{label}" for label in labels)]
    columns += ["prediction_set"] if prediction_sets else []
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for prediction in predictions:
            if prediction.reason is not None:
                print_status(f"{printable(prediction.path)}: {prediction.reason}")
            writer.writerow(_row(prediction))


def write_json(
    path: Path, predictions: Iterable[Prediction], _: Sequence[str], *, prediction_sets: bool
) -> None:
    """Write a list of objects with the columns of the CSV, and `reason` for unreadable files."""
    with path.open("w", encoding="utf-8", errors="surrogateescape") as stream:
        for number, prediction in enumerate(predictions):
            row = _row(prediction)
            if not prediction_sets:
                del row["prediction_set"]
            stream.write(f"{',' if number else '['}\n  {json.dumps(row, ensure_ascii=False)}")
        stream.write("\n]\n")


def _row(prediction: Prediction) -> dict[str, object]:
    row: dict[str, object] = {"path": prediction.path, "label": prediction.label or UNREADABLE}
    if prediction.probabilities is None:
        row["reason"] = prediction.reason
    else:
        row |= {f"p_{label}": value for label, value in prediction.probabilities.items()}
    return row | {"prediction_set": prediction.prediction_set or UNREADABLE}


WRITERS = {".csv": write_csv, ".json": write_json}


def output_file(option: str, path: Path, *, force: bool) -> Path:
    """Return where a file for the user goes: `path`, or what this links to; a device as it is.

    Raises:
        PandacatError: it would lie in a model's folder or among the pipeline's outputs, or it
            exists, and `force` is not set.
    """
    place = Path(os.path.realpath(path))
    if is_device(path):
        return path
    if place.is_dir():
        problem = "is a folder; give the name of a file."
    elif (place.parent / DESCRIPTION).exists():
        problem = "is in a model's folder; choose another place."
    elif any(place.is_relative_to(folder.resolve()) for folder in PIPELINE_FOLDERS):
        problem = "is among the pipeline's outputs, which DVC replaces; choose another place."
    elif place.exists() and not force:
        problem = "exists: --force replaces it."
    else:
        return place
    raise PandacatError(f"{option} {path} {problem}")
