"""Verdicts as lines on the terminal, or as a table in a file."""

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from pandacat.core import paths
from pandacat.core.errors import PandacatError, printable
from pandacat.labels import LABELS
from pandacat.models.classifier import Prediction
from pandacat.models.saved import DESCRIPTION

UNREADABLE = "unreadable"


class Counted:
    """Verdicts as they come, under a progress bar; counts those that failed."""

    def __init__(self, verdicts: Iterable[Prediction], total: int) -> None:
        self._verdicts, self._total = verdicts, total
        self.failed = 0

    def __iter__(self) -> Iterator[Prediction]:
        with tqdm(
            self._verdicts, total=self._total, unit="photo", disable=None, leave=False
        ) as bar:
            for verdict in bar:
                self.failed += verdict.reason is not None
                yield verdict


def print_lines(verdicts: Iterable[Prediction], *, prediction_sets: bool) -> None:
    """Print one line per photo: verdict or answer, the three probabilities, the name."""
    width = 14 if prediction_sets else 9
    what = "set" if prediction_sets else "label"
    print(f"{what:{width}}{'panda':>7}{'cat':>8}{'other':>8}   photo")
    for verdict in verdicts:
        if verdict.probabilities is None:
            line = f"{UNREADABLE:{width + 23}}   {printable(verdict.path)}: {verdict.reason}"
        else:
            shares = "".join(
                f"{probability:8.1%}" for probability in verdict.probabilities.values()
            )
            said = verdict.prediction_set if prediction_sets else verdict.label
            line = f"{said:{width - 1}}{shares}   {printable(verdict.path)}"
        encoding = sys.stdout.encoding or "utf-8"
        tqdm.write(line.encode(encoding, "backslashreplace").decode(encoding))


def write_csv(path: Path, verdicts: Iterable[Prediction], *, prediction_sets: bool) -> None:
    """Write `path,label,p_panda,p_cat,p_other`, and `answer` where asked for.

    Of an unreadable file the label is `unreadable`.
    """
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        extra = ("prediction_set",) if prediction_sets else ()
        writer.writerow(("path", "label", *(f"p_{label}" for label in LABELS), *extra))
        for verdict in verdicts:
            if verdict.probabilities is None:
                print(f"{printable(verdict.path)}: {verdict.reason}", file=sys.stderr)
            row = (
                verdict.path,
                verdict.label or UNREADABLE,
                *(verdict.probabilities.values() if verdict.probabilities else ("",) * 3),
            )
            writer.writerow(
                (*row, verdict.prediction_set or UNREADABLE) if prediction_sets else row
            )


def write_json_list(path: Path, verdicts: Iterable[Prediction], *, prediction_sets: bool) -> None:
    """Write a list of objects with the columns of the CSV, and `reason` for unreadable files."""
    with path.open("w", encoding="utf-8", errors="surrogateescape") as stream:
        separator = "[\n"
        for verdict in verdicts:
            row: dict[str, object] = {"path": verdict.path, "label": verdict.label or UNREADABLE}
            if verdict.probabilities is None:
                row["reason"] = verdict.reason
            else:
                row |= {f"p_{label}": p for label, p in verdict.probabilities.items()}
            if prediction_sets:
                row["prediction_set"] = verdict.prediction_set or UNREADABLE
            stream.write(f"{separator}  {json.dumps(row, ensure_ascii=False)}")
            separator = ",\n"
        stream.write("\n]\n")


WRITERS = {".csv": write_csv, ".json": write_json_list}

TABLES_BEGIN = (
    b"path,label,p_panda,p_cat,p_other\n",
    b"path,label,p_panda,p_cat,p_other,answer\n",
    b'[\n  {"path": "',
    b"[\n\n]",
)
"""The first bytes of all that the writers write."""


STAGES_OWN = (paths.MNIST, paths.PHOTOS, paths.FEATURES, paths.PLOTS)
"""Folders whose content DVC removes before a stage runs."""


def table_path(output: Path) -> Path:
    """Return where a table goes: `output`, or what this links to.

    Raises:
        PandacatError: no table can lie there, or it would replace what is no table of ours.
    """
    place = Path(os.path.realpath(output))
    if output.suffix.lower() not in WRITERS:
        raise PandacatError(f"--output {output}: the name must end in .csv or .json.")
    if place.is_dir():
        raise PandacatError(f"--output {output} is a folder; give the name of a file.")
    if any(place.is_relative_to(folder.resolve()) for folder in STAGES_OWN):
        raise PandacatError(
            f"--output {output} is among what the pipeline makes, which replaces whole folders; "
            "name another place."
        )
    if (place.parent / DESCRIPTION).exists():
        raise PandacatError(f"--output {output} is in a model's folder; name another place.")
    if place.is_file():
        with place.open("rb") as stream:
            begin = stream.read(len(max(TABLES_BEGIN, key=len)))
        if begin and not begin.startswith(TABLES_BEGIN):
            raise PandacatError(
                f"--output {output}: this file is no table of verdicts, so it is not replaced; "
                "name another."
            )
    return place
