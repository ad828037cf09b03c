"""The headline metrics and the test predictions, from the workspace or from a Git revision.

Both files are kept in Git itself, so that a baseline needs no DVC remote and no second run.
"""

import io
import json
import math
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pandacat.core.errors import PandacatError
from pandacat.core.paths import HEADLINE, TEST_PREDICTIONS
from pandacat.evaluation.predictions import label_names, labels_and_probabilities
from pandacat.metrics.intervals import Interval


@dataclass(frozen=True)
class Headline:
    """The metrics of one run, and what they were measured on."""

    metrics: Mapping[str, Interval]
    """By dotted name; a metric without an interval has one of no width."""
    data: Mapping[str, str]
    """Which photos they were measured on: the texts under `data`."""
    predictions: pd.DataFrame | None
    """A row for each network and photo of the test split and the field test; `None` where the file
    is missing."""

    @property
    def has_field_test(self) -> bool:
        """Whether they were measured on photos from other sources, too."""
        return any(metric.startswith("field_test.") for metric in self.metrics)


def read_workspace() -> Headline:
    """Return the metrics in the current folder.

    Raises:
        PandacatError: they are missing or not readable.
    """
    headline, predictions = (
        path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
        for path in (HEADLINE, TEST_PREDICTIONS)
    )
    if headline is None:
        raise PandacatError(
            f"There is no {HEADLINE}: in the project's top folder, run `dvc repro` first."
        )
    return _parse(headline, predictions, str(HEADLINE))


def read_revision(revision: str, current: Headline) -> Headline:
    """Return the metrics that were committed in a Git revision, to compare `current` with.

    Raises:
        PandacatError: this is not a Git repository, there is no such revision, or it holds no
            readable metrics, or those of other data.
    """
    commit = _commit(revision)
    if not commit:
        raise PandacatError(_absent(revision))
    headline, predictions = (
        _git("show", f"{commit}:./{path.as_posix()}").stdout or None
        for path in (HEADLINE, TEST_PREDICTIONS)
    )
    if headline is None:
        raise PandacatError(
            f"{revision} has no {HEADLINE} to compare with: commit the one that `dvc repro` "
            "writes, and name that commit, or another that has one, with --against."
        )
    baseline = _parse(headline, predictions, f"{HEADLINE} of {revision}")
    compared = {*baseline.data, *current.data}
    if not (baseline.has_field_test and current.has_field_test):
        compared -= {"field_test"}
    if any(baseline.data.get(name) != current.data.get(name) for name in compared):
        there, here = (
            ", ".join(f"{name} {text[:12]}" for name, text in side.data.items()) or "unknown"
            for side in (baseline, current)
        )
        raise PandacatError(
            f"{revision} was measured on other data ({there}) than the workspace ({here}): "
            "metrics can only be compared on the same photos. Run `dvc repro` with those of that "
            "revision, or commit these results, to compare later ones with them."
        )
    return baseline


def _commit(revision: str) -> str:
    """Return the hash of a revision's commit, or nothing where there is none.

    Raises:
        PandacatError: Git can't read the repository.
    """
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}")
    if found.returncode > 1:
        raise PandacatError(
            f"Git can't read this repository ({' '.join(found.stderr.split())}): if it gives no "
            "advice, work in a clone of the project, or run `git init` here and commit all."
        )
    return found.stdout.strip()


def _absent(revision: str) -> str:
    """Return that there is no such revision, and where it may be."""
    absent = f"There is no Git revision {revision!r} here"
    if not _commit("HEAD"):
        return f"{absent}, nor any commit: commit all, and name HEAD with --against."
    remote = next(iter(_git("remote").stdout.split()), "")
    if revision and remote and _commit(theirs := f"{remote}/{revision}"):
        return f"{absent}: name {theirs}, which there is, with --against."
    another = "name another one with --against, such as HEAD."
    if not (revision and remote):
        return f"{absent}: {another}"
    is_shallow = _git("rev-parse", "--is-shallow-repository").stdout.strip() == "true"
    fetch = f"git fetch{' --unshallow' * is_shallow} {remote}"
    return (
        f"{absent}. If it is at {remote}, fetch it and try again: "
        f"`{fetch} '+refs/heads/*:refs/remotes/{remote}/*'`. If not, {another}"
    )


def _git(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = ["git", *arguments]
    try:
        return subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise PandacatError("Git is not installed here: install it, to compare.") from None


def _parse(headline: str, predictions: str | None, name: str) -> Headline:
    try:
        content = json.loads(headline)
        metrics = dict(intervals(content))
        if not metrics:
            raise ValueError("it holds no metrics")
        data = {key: text for key, text in content.get("data", {}).items() if isinstance(text, str)}
        table = None if predictions is None else _parse_predictions(predictions)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise PandacatError(
            f"{name} is not readable, or {TEST_PREDICTIONS.name} beside it: "
            f"{' '.join(str(error).split())}. `dvc repro` writes both again; if they belong to a "
            "revision, name another one."
        ) from None
    return Headline(metrics, data, table)


def intervals(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Interval]]:
    """Yield the numbers in nested maps, with their bounds, under dotted names.

    Raises:
        ValueError: one is not finite.
    """
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and "value" not in value:
            yield from intervals(value, f"{name}.")
        elif isinstance(value, Mapping | int | float):
            parts = value if isinstance(value, Mapping) else dict.fromkeys(_PARTS, value)
            if not all(math.isfinite(parts[part]) for part in _PARTS):
                raise ValueError(f"{name} is not finite")
            yield name, Interval(*(float(parts[part]) for part in _PARTS))


_PARTS = ("value", "low", "high")


def _parse_predictions(text: str) -> pd.DataFrame:
    table = pd.read_csv(io.StringIO(text), keep_default_na=False)
    if table.empty or not {"path", "network", "label", "split"} <= set(table):
        raise ValueError(f"{TEST_PREDICTIONS} has no rows, or lacks columns")
    if unknown := sorted(set(table.label.astype(str)) - set(label_names(table))):
        raise ValueError(f"{TEST_PREDICTIONS} has no column p_{unknown[0]}")
    labels_and_probabilities(table)  # which are numbers
    return table
