"""Predictions as lines on the terminal or as a table, and where the user's files may go."""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from pandacat.core import paths
from pandacat.core.errors import PandacatError, printable
from pandacat.core.files import CSV_END, CsvFile, is_device
from pandacat.core.names import shell_word, spreadsheet_safe
from pandacat.labels import listed
from pandacat.models.classifier import Prediction
from pandacat.models.saved import DESCRIPTION

MOST_CLASSES_IN_LINE = 20
"""So many of the most probable classes are readable on a terminal."""

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
    """Print one line per photo: label or prediction set, the probabilities, the path.

    The most probable classes, where there are any, are on a second line, under the path.
    """
    width = max(6, *map(len, labels)) + 2
    names = min(len(listed(labels)), 30) + 2 if prediction_sets else width
    columns = "".join(f"{label:>{width}}" for label in labels)
    tqdm.write(f"{'set' if prediction_sets else 'label':{names}}{columns}   photo")
    for prediction in predictions:
        path = printable(prediction.path)
        if prediction.probabilities is None:
            tqdm.write(f"{UNREADABLE:{names + len(columns)}}   {path}: {prediction.reason}")
        else:
            values = "".join(f"{value:{width}.1%}" for value in prediction.probabilities.values())
            chosen = prediction.prediction_set if prediction_sets else None
            name = listed(chosen) if chosen else prediction.label
            tqdm.write(f"{name:{names}}{values}   {path}")
        if prediction.top_classes:
            classes = ", ".join(f"{name} {value:.1%}" for name, value in prediction.top_classes)
            tqdm.write(f"{'':{names + len(columns)}}     {classes}")


def table_columns(labels: Sequence[str], *, prediction_sets: bool, top: int) -> list[str]:
    """Return the columns of a table of predictions.

    `path`, `label`, `p_…` of each label, `prediction_set` where asked for, `top_1`, `top_1_p` and
    so on for the `top` most probable classes, and `reason`, why a file can't be read.
    """
    ranks = [f"top_{rank}" for rank in range(1, top + 1)]
    return [
        *("path", "label"),
        *(f"p_{label}" for label in labels),
        *(["prediction_set"] if prediction_sets else []),
        *(column for rank in ranks for column in (rank, f"{rank}_p")),
        "reason",
    ]


def write_csv(path: Path, predictions: Iterable[Prediction], columns: Sequence[str]) -> None:
    """Write a row with the columns for each prediction; what does not apply is empty.

    Paths are such that no spreadsheet takes them for formulas.
    """
    with CsvFile(path.open("wb"), "utf-8", "surrogateescape", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator=CSV_END)
        writer.writeheader()
        for row in _rows(predictions, columns):
            cells = {
                column: f"{value:.6f}" if isinstance(value, float) else value
                for column, value in row.items()
            }
            writer.writerow(cells | {"path": spreadsheet_safe(str(row["path"]))})


def write_json(path: Path, predictions: Iterable[Prediction], columns: Sequence[str]) -> None:
    """Write a list of objects with the columns of the CSV; what does not apply is `null`."""
    with path.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        for number, row in enumerate(_rows(predictions, columns)):
            text = json.dumps(row, ensure_ascii=False, allow_nan=False)
            stream.write(f"{',' if number else '['}\n  {text}")
        stream.write("\n]\n")


def _rows(
    predictions: Iterable[Prediction], columns: Sequence[str]
) -> Iterator[dict[str, str | float | None]]:
    """Yield the values of the columns; probabilities have six decimals."""
    for prediction in predictions:
        row: dict[str, str | float | None] = {
            "path": prediction.path,
            "label": prediction.label or UNREADABLE,
            "prediction_set": listed(prediction.prediction_set or [UNREADABLE]),
            "reason": prediction.reason,
        }
        for label, value in (prediction.probabilities or {}).items():
            row[f"p_{label}"] = round(value, 6)
        for rank, (name, value) in enumerate(prediction.top_classes, 1):
            row |= {f"top_{rank}": name, f"top_{rank}_p": round(value, 6)}
        yield {column: row.get(column) for column in columns}


WRITERS = {".csv": write_csv, ".json": write_json}


def output_file(option: str, path: Path, *, force: bool) -> Path:
    """Return where a file for the user goes: `path`, or what this links to; a device as it is.

    Raises:
        PandacatError: it would lie in a model's folder, among the pipeline's outputs or in no
            folder, or it exists, and `force` is not set.
    """
    place = Path(os.path.realpath(path))
    if is_device(path):
        return path
    if place.is_dir():
        raise PandacatError(f"{option} {path} is a folder; give the name of a file.")
    return _free(option, path, place, force=force)


def output_folder(option: str, path: Path) -> Path:
    """Return where a folder for the user goes: `path`, or what this links to.

    Raises:
        PandacatError: as for `output_file`; also if it exists, unless it is empty.
    """
    place = Path(os.path.realpath(path))
    if place.exists() and not place.is_dir():
        raise PandacatError(f"{option} {path} is a file; give the name of a folder.")
    if place.exists() and any(place.iterdir()):
        raise PandacatError(f"{option} {path} holds files; give the name of a new folder.")
    return _free(option, path, place, force=True)


def _free(option: str, path: Path, place: Path, *, force: bool) -> Path:
    outputs = [(paths.project_root() / folder).resolve() for folder in PIPELINE_FOLDERS]
    if (place.parent / DESCRIPTION).exists() or (place / DESCRIPTION).exists():
        problem = "is in a model's folder; choose another place."
    elif any(map(place.is_relative_to, outputs)):
        problem = "is among the pipeline's outputs, which DVC replaces; choose another place."
    elif place.exists() and not force:
        problem = "exists: --force replaces it."
    elif next(filter(Path.exists, place.parents)).is_dir() and not place.parent.exists():
        folder = shell_word(os.path.relpath(place.parent))
        problem = f"is in a folder that does not exist: `mkdir -p {folder}` creates it."
    else:
        return place
    raise PandacatError(f"{option} {path} {problem}")
