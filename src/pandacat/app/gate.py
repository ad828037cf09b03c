"""`pandacat gate`: compare the metrics in the workspace with those of a Git revision."""

import argparse
import re
import sys
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path

import pandas as pd

from pandacat.app.output import output_file
from pandacat.config.loading import load_config
from pandacat.core.errors import PandacatError, printable, sentence_of, some_of
from pandacat.core.files import write_text
from pandacat.core.paths import TEST_PREDICTIONS, project_root
from pandacat.evaluation.gate.comparison import RULE_ADVICE, SIGNIFICANCE, Row, compare
from pandacat.evaluation.gate.paired_tests import paired_test
from pandacat.evaluation.gate.revisions import Headline, read_revision, read_workspace
from pandacat.evaluation.predictions import by_network, label_names
from pandacat.labels import OTHER
from pandacat.metrics.paired import smallest_detectable_drop
from pandacat.report.templating import markdown

PASSED, FAILED, NOT_COMPARABLE = 0, 1, 2


def run(options: argparse.Namespace) -> int:
    """Compare, print the table; return 0 (passed), 1 (a metric failed) or 2 (not comparable)."""
    file = options.markdown and output_file("--markdown", options.markdown, force=options.force)
    with chdir(project_root()):
        return _run(options.against, file)


def _run(against: str, file: Path | None) -> int:
    current = read_workspace()
    note = f"Compared with {against}."
    try:
        baseline = read_revision(against, current)
    except PandacatError as error:
        baseline, note = None, str(error)
    rows = compare(baseline, current, load_config().gate)
    failures = sum(row.failed for row in rows)
    if failures:
        code, result = FAILED, f"{failures} of {len(rows)} metrics fail."
    elif baseline is None:
        code, result = NOT_COMPARABLE, "not compared; no metric breaks its floor or ceiling."
    else:
        code, result = PASSED, f"all {len(rows)} metrics pass."
    detectable = power(current, rows) if baseline else []
    notes = [note, *detectable, *_unpaired(rows), f"Gate: {result}", *_unused(rows)]
    print(table(rows), "", *map(printable, notes), sep="\n", flush=True)
    if file:
        try:
            write_text(file, _page(rows, notes))
        except Exception as error:
            print(f"pandacat: --markdown: {sentence_of(error)}", file=sys.stderr)
            return code or NOT_COMPARABLE
    return code


def _page(rows: Sequence[Row], notes: Sequence[str]) -> str:
    """Return the table and the notes as Markdown; commands in these stay code, all else is text."""
    parts = (re.split("(`[^`]*`)", note) for note in notes)
    texts = ("".join(p if p[:1] == "`" else markdown(p) for p in each) for each in parts)
    return "\n\n".join([table(rows, markdown=True), *texts]) + "\n"


def power(current: Headline, rows: Sequence[Row]) -> list[str]:
    """Return how many tests there are, and the smallest drop in each accuracy that they can show.

    It is the drop at which McNemar's test is significant beside the others when no photo is newly
    correct. Where some are, more must be newly wrong.
    """
    tests = sum(row.p_value is not None for row in rows)
    if current.predictions is None:
        return []
    notes = [f"p is adjusted for the number of tests, {tests}; a drop counts below {SIGNIFICANCE}."]
    for dataset, predictions in current.predictions.groupby("split", sort=False):
        photos = next(iter(by_network(predictions).values()))
        counts = {"accuracy": len(photos)}
        if len(label_names(photos)) == 3:
            counts = {"two_class_accuracy": int((photos.label != OTHER).sum())} | counts
        notes += [
            f"Smallest drop in {name} that these {count} photos ({dataset}) can show: "
            f"{smallest_detectable_drop(count, 2 * SIGNIFICANCE / max(tests, 1)):.4f}."
            for name, count in counts.items()
            if count
        ]
    return notes


def _unpaired(rows: Sequence[Row]) -> list[str]:
    """Return a sentence about metrics of photos that are compared without these, if there are."""
    compared = [row for row in rows if row.change is not None and not row.paired]
    coarse = [row.metric for row in compared if paired_test(row.metric)]
    if not coarse:
        return []
    return [
        f"{len(coarse)} metrics are compared by their intervals, not photo by photo "
        f"({some_of(coarse)}): {TEST_PREDICTIONS} is missing on one side, has other photos, or "
        "gives other values."
    ]


def _unused(rows: Sequence[Row]) -> list[str]:
    """Return a sentence about each rule that matches no metric."""
    unused = [row.metric for row in rows if row.outcome == "no such metric"]
    return [f"No metric is called {metric}: {RULE_ADVICE}." for metric in unused]


def table(rows: Sequence[Row], *, markdown: bool = False) -> str:
    """Return the rows as a table, for the terminal or as Markdown."""
    cells = [
        (
            row.metric,
            *map(_number, (row.baseline, row.current)),
            *(_number(value, "+") for value in (row.change, row.tolerance)),
            _number(row.p_value),
            f"**{row.outcome}**" if markdown and row.failed else row.outcome,
        )
        for row in rows
    ]
    columns = ["metric", "baseline", "now", "change", "tolerance", "p", "outcome"]
    return pd.DataFrame(cells, columns=columns).to_markdown(
        index=False,
        tablefmt="github" if markdown else "simple",
        colalign=("left", *["right"] * 5, "left"),
        disable_numparse=True,
    )


def _number(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.4f}"
