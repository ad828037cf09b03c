"""The regression gate: are the figures in the workspace as good as those of a Git revision?

Both lie in Git itself, so that the baseline needs no DVC remote and no second run. `params.yaml`
names the figures that count. A figure fails when it gets worse by more than is allowed, which is
the larger of its tolerance and what chance alone could do:

- accuracies and the log loss on the same test photos: judged photo by photo, by the exact McNemar
  test and the paired bootstrap, at 95 %;
- figures with an interval on both sides: the interval of their difference must exclude zero, by
  the method of G. Y. Zou and A. Donner, Construction of confidence limits about effect measures: a
  general approach, Statistics in Medicine 27 (2008), 1693-1702, which takes the two as independent
  and so, on the same photos, errs towards letting a small drop pass;
- plain numbers: the tolerance alone.

Floors and ceilings hold whatever the baseline was.
"""

import argparse
import io
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pandacat.config.loading import load_config
from pandacat.config.schema import GateRule
from pandacat.core.errors import PandacatError, sentence_of
from pandacat.core.files import write_text
from pandacat.core.paths import HEADLINE, TEST_PREDICTIONS
from pandacat.labels import LABELS

if TYPE_CHECKING:
    import pandas as pd

_OF_PHOTOS = ("two_class_accuracy", "accuracy", "log_loss", "calibration_error")
_PROBABILITIES = [f"p_{label}" for label in LABELS]
_ROUNDED = 1e-4
"""How far a figure may be from that of its photos, whose probabilities have six decimals."""
_MARKDOWN_BEGINS = "| metric "

Outcome = Literal[
    "same",
    "better",
    "no clear change",
    "new",
    "regression",
    "vanished",
    "below floor",
    "above ceiling",
    "no such figure",
]
FAILURES: tuple[Outcome, ...] = (
    "regression",
    "vanished",
    "below floor",
    "above ceiling",
    "no such figure",
)

_NAMES = f"mend the rule in params.yaml, or remove it; {HEADLINE} has the names"

PASSED, FAILED, NOT_COMPARABLE = 0, 1, 2


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval, which has no width where none was given."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Figures:
    """What `metrics/headline.json` and the test predictions say at one time."""

    numbers: Mapping[str, Figure]
    """By dotted name."""
    data: Mapping[str, str] = field(default_factory=dict)
    """What they were measured on: the texts under `data`."""
    predictions: "pd.DataFrame | None" = None


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    metric: str
    baseline: float | None
    now: float | None
    change: float | None
    allowed: float | None
    """Change up to which nothing is flagged; it has the sign of a change for the worse."""
    outcome: Outcome
    photo_by_photo: bool = False
    """Whether chance was judged on the photos of both sides, one by one."""

    @property
    def failed(self) -> bool:
        """Whether it must not pass the gate."""
        return self.outcome in FAILURES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pandacat gate`."""
    parser.add_argument(
        "--against", default="main", metavar="REV", help="Git revision to compare with (main)"
    )
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the table as Markdown, too"
    )


def run(options: argparse.Namespace) -> int:
    """Compare, print the table; return 0 (passed), 1 (got worse) or 2 (can't be compared)."""
    try:
        if options.markdown:
            _refuse_to_replace(options.markdown)
        rules = load_config().gate
        now = read_workspace()
        baseline, problem = _baseline(options.against, now)
        rows = compare(baseline, now, rules)
        if len(_idle(rows)) == len(rows):
            raise PandacatError(f"no rule under `gate` names a figure that there is: {_NAMES}.")
    except Exception as error:  # whatever it is, no figure got worse
        print(f"Gate: {sentence_of(error)}", file=sys.stderr)
        return NOT_COMPARABLE
    failures = sum(row.failed for row in rows)
    if failures:
        code, outcome = FAILED, f"{failures} of {len(rows)} figures fail."
    elif problem:
        code, outcome = NOT_COMPARABLE, "not compared; no figure breaks its floor or ceiling."
    else:
        code, outcome = PASSED, f"all {len(rows)} figures pass."
    notes = [
        problem or f"Compared with {options.against}.",
        *detectable_drops(now),
        *_coarse(rows),
        *(f"No figure is called {row.metric}: {_NAMES}." for row in _idle(rows)),
        f"Gate: {outcome}",
    ]
    print(table(rows), "", *notes, sep="\n")
    if options.markdown:
        try:
            write_text(options.markdown, "\n\n".join([table(rows, markdown=True), *notes]) + "\n")
        except Exception as error:
            print(f"Gate: --markdown: {sentence_of(error)}", file=sys.stderr)
            return code or NOT_COMPARABLE
    return code


def _refuse_to_replace(file: Path) -> None:
    """Refuse to write over anything but a table of the gate's."""
    if file.is_file():
        with file.open(encoding="utf-8", errors="replace") as stream:
            begin = stream.read(len(_MARKDOWN_BEGINS))
        if begin and begin != _MARKDOWN_BEGINS:
            raise PandacatError(
                f"--markdown {file}: this file is no table of the gate's, so it is not replaced; "
                "name another."
            )


def _baseline(against: str, now: Figures) -> tuple[Figures | None, str]:
    """Return the figures to compare with, or None and the reason why there are none."""
    try:
        baseline = read_revision(against)
    except PandacatError as error:
        return None, str(error)
    if baseline.data != now.data:
        return None, (
            f"{against} was measured on other data ({_described(baseline)}) than the workspace "
            f"({_described(now)}): figures can be compared only where both ran on the same."
        )
    return baseline, ""


def _described(figures: Figures) -> str:
    return ", ".join(f"{name} {text[:12]}" for name, text in figures.data.items()) or "not said"


def compare(baseline: Figures | None, now: Figures, rules: Sequence[GateRule]) -> list[Row]:
    """Return a row for each figure that a rule names, on either side; the first rule to match wins.

    A rule that names none has a row as well, which fails: it would guard nothing. Without a
    baseline only this, floors and ceilings can fail.
    """
    before = baseline.numbers if baseline else {}
    rows = []
    for metric in dict.fromkeys([*now.numbers, *before]):
        rule = next((rule for rule in rules if _names(rule, metric)), None)
        if rule:
            rows.append(_judge(metric, rule, baseline, now))
    idle = [rule.metric for rule in rules if not any(_names(rule, row.metric) for row in rows)]
    return [*rows, *(Row(metric, None, None, None, None, "no such figure") for metric in idle)]


def _names(rule: GateRule, metric: str) -> bool:
    return fnmatchcase(metric, rule.metric)


def _judge(metric: str, rule: GateRule, baseline: Figures | None, now: Figures) -> Row:
    after = now.numbers.get(metric)
    before = baseline.numbers.get(metric) if baseline else None
    if after is None:
        assert before
        return Row(metric, before.value, None, None, None, "vanished")
    change = allowed = noise = None
    outcome: Outcome = "new"
    if baseline and before:
        sign = -1 if rule.better == "higher" else 1
        change = after.value - before.value
        worse = sign * change
        noise = _paired_noise(metric, baseline, now)
        limit = max(
            rule.tolerance, _interval_noise(rule, before, after) if noise is None else noise
        )
        allowed = sign * limit
        if worse > limit + 1e-9:
            outcome = "regression"
        elif abs(worse) <= 1e-9:
            outcome = "same"
        else:
            outcome = "no clear change" if abs(worse) <= limit + 1e-9 else "better"
    if rule.floor is not None and after.value < rule.floor:
        outcome = "below floor"
    if rule.ceiling is not None and after.value > rule.ceiling:
        outcome = "above ceiling"
    return Row(
        metric,
        before.value if before else None,
        after.value,
        change,
        allowed,
        outcome,
        photo_by_photo=noise is not None,
    )


def _interval_noise(rule: GateRule, before: Figure, after: Figure) -> float:
    """Return the change for the worse up to which the difference's interval holds zero."""
    if rule.better == "higher":
        return math.hypot(before.value - before.low, after.high - after.value)
    return math.hypot(before.high - before.value, after.value - after.low)


def _paired_noise(metric: str, baseline: Figures, now: Figures) -> float | None:
    """Return the change for the worse that chance allows, seen photo by photo.

    None where the two sides have no predictions of the same photos, or where these don't give the
    figure in the headline.
    """
    from pandacat.metrics.intervals import bootstrap
    from pandacat.metrics.paired import paired_difference, smallest_detectable_drop

    if not _is_of_photos(metric):
        return None
    _, network, name = metric.split(".")
    before, after = (_scores(side, network, name) for side in (baseline, now))
    if before is None or after is None or not before.index.equals(after.index):
        return None
    for scores, side in ((before, baseline), (after, now)):
        if not math.isclose(_figure(name, scores), side.numbers[metric].value, abs_tol=_ROUNDED):
            return None
    labels = after.index.get_level_values("label").map(LABELS.index).to_numpy()
    if name == "calibration_error":
        worse = bootstrap(
            lambda photos: _figure(name, after.iloc[photos]) - _figure(name, before.iloc[photos]),
            labels,
            seed=0,
        )
        return worse.value - worse.low
    if name == "log_loss":
        worse = paired_difference(after.to_numpy(), before.to_numpy(), labels, seed=0)
        return worse.value - worse.low
    newly_right = int((after & ~before).sum())
    return smallest_detectable_drop(len(after), newly_right) - 1 / len(after)


def _is_of_photos(metric: str) -> bool:
    """Return whether the figure can be made of the predictions of single photos."""
    return bool(re.fullmatch(rf"test\.[^.]+\.({'|'.join(_OF_PHOTOS)})", metric))


def _figure(name: str, scores: "pd.Series[Any]") -> float:
    """Return the figure that the scores of photos make."""
    from pandacat.metrics.calibration import expected_calibration_error

    if name == "calibration_error":
        return expected_calibration_error(scores.abs().to_numpy(), (scores > 0).to_numpy())
    return float(scores.mean())


def _scores(figures: Figures, network: str, name: str) -> "pd.Series[Any] | None":
    """Return one number per photo by path and label, of which `_figure` makes the figure.

    For the calibration error it is the probability of the answer, negative where that is wrong.
    None if the figure is not known.
    """
    import numpy as np
    import pandas as pd

    from pandacat.metrics.accuracy import log_losses, right_between_two

    if figures.predictions is None:
        return None
    rows = figures.predictions.query("network == @network").sort_values("path")
    if rows.empty:
        return None
    labels = rows["label"].map(LABELS.index).to_numpy()
    probabilities = rows[_PROBABILITIES].to_numpy()
    index = pd.MultiIndex.from_frame(rows[["path", "label"]])
    if name == "two_class_accuracy":
        known = rows["label"].isin(("panda", "cat")).to_numpy()
        return pd.Series(right_between_two(labels, probabilities), index[known])
    if name == "accuracy":
        return pd.Series(probabilities.argmax(axis=1) == labels, index)
    if name == "log_loss":
        return pd.Series(log_losses(labels, probabilities), index)
    if name == "calibration_error":
        sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
        return pd.Series(np.where(right, sure, -sure), index)
    return None


def detectable_drops(now: Figures) -> list[str]:
    """Return a sentence for each accuracy: the smallest drop that this test set can show.

    It is the drop at which the exact McNemar test reaches 95 % when no photo is newly right: six
    photos. Where some are newly right, more must be newly wrong.
    """
    from pandacat.metrics.paired import smallest_detectable_drop

    sentences = []
    if now.predictions is not None:
        network = str(now.predictions["network"].iat[0])
        for name in ("two_class_accuracy", "accuracy"):
            scores = _scores(now, network, name)
            if scores is not None and len(scores):
                sentences.append(
                    f"Smallest drop in {name} that these {len(scores)} photos can show: "
                    f"{smallest_detectable_drop(len(scores)):.4f}."
                )
    return sentences


def read_workspace() -> Figures:
    """Return the figures that lie in the current folder.

    Raises:
        PandacatError: they are missing or not readable.
    """
    headline, predictions = (
        path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
        for path in (HEADLINE, TEST_PREDICTIONS)
    )
    if headline is None:
        raise PandacatError(f"{HEADLINE} is not here: run `dvc repro` first.")
    return _parse(headline, predictions, str(HEADLINE))


def read_revision(revision: str) -> Figures:
    """Return the figures that lie in a Git revision.

    Raises:
        PandacatError: this is not a Git repository, there is no such revision, or it holds no
            readable figures.
    """
    if not revision:
        raise PandacatError("No revision to compare with: name one, as in `--against main`.")
    _require_repository()
    commit = _git("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}")
    if commit is None:
        raise PandacatError(
            f"There is no Git revision {revision} here: fetch it (`git fetch origin {revision}`), "
            "or name another one with --against."
        )
    headline = _git("show", f"{commit.strip()}:./{HEADLINE.as_posix()}")
    if headline is None:
        raise PandacatError(
            f"{revision} has no {HEADLINE} to compare with: commit the one that `dvc repro` "
            "writes, or name another revision with --against."
        )
    predictions = _git("show", f"{commit.strip()}:./{TEST_PREDICTIONS.as_posix()}")
    return _parse(headline, predictions, f"{HEADLINE} of {revision}")


def _require_repository() -> None:
    answer = _asked("rev-parse", "--git-dir")
    if answer.returncode:
        reason = " ".join(answer.stderr.decode(errors="replace").split())
        raise PandacatError(f"Git can't be asked for the figures of a revision ({reason}).")


def _git(*arguments: str) -> str | None:
    answer = _asked(*arguments)
    return answer.stdout.decode(errors="replace") if answer.returncode == 0 else None


def _asked(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(["git", *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise PandacatError("The gate needs git, and there is none on the PATH.") from None


def _parse(headline: str, predictions: str | None, name: str) -> Figures:
    import pandas as pd

    try:
        content = json.loads(headline)
        numbers = dict(_numbers(content))
        if not numbers:
            raise ValueError("it holds no figures")
        facts = dict(content.get("data", {}))
        table = None
        if predictions is not None:
            table = pd.read_csv(io.StringIO(predictions), keep_default_na=False)
            table = table.astype(dict.fromkeys(_PROBABILITIES, float))
            if not set(table["label"]) <= set(LABELS) or not {"path", "network"} <= set(table):
                raise ValueError(
                    f"{TEST_PREDICTIONS} does not have the columns and labels it should"
                )
            if table.empty:
                raise ValueError(f"{TEST_PREDICTIONS} has no predictions")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise PandacatError(
            f"{name} is not readable, or {TEST_PREDICTIONS.name} beside it: "
            f"{' '.join(str(error).split())}. `dvc repro` writes both anew; where they are those "
            "of a revision, name another one."
        ) from None
    return Figures(numbers, {k: v for k, v in facts.items() if isinstance(v, str)}, table)


def _numbers(content: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Figure]]:
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and "value" in value:
            yield name, Figure(*(_finite(name, value[part]) for part in ("value", "low", "high")))
        elif isinstance(value, Mapping):
            yield from _numbers(value, f"{name}.")
        elif isinstance(value, int | float):
            yield name, Figure(*[_finite(name, value)] * 3)


def _finite(name: str, value: Any) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value}, which is no finite number")
    return float(value)


def _idle(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.outcome == "no such figure"]


def _coarse(rows: Sequence[Row]) -> list[str]:
    """Return a sentence if figures of photos had to be compared without these."""
    coarse = [
        row.metric
        for row in rows
        if row.change is not None and _is_of_photos(row.metric) and not row.photo_by_photo
    ]
    if not coarse:
        return []
    some = ", ".join(coarse[:3]) + (", …" if len(coarse) > 3 else "")
    return [
        f"{len(coarse)} figures are compared by their intervals, not photo by photo ({some}): "
        f"{TEST_PREDICTIONS} is missing on one side, has other photos, or gives other figures."
    ]


def table(rows: Sequence[Row], *, markdown: bool = False) -> str:
    """Return the rows as a table for the terminal, or for a pull request."""
    import pandas as pd

    cells = [
        {
            "metric": row.metric,
            "baseline": _number(row.baseline),
            "now": _number(row.now),
            "change": _number(row.change, sign="+"),
            "allowed": _number(row.allowed, sign="+"),
            "outcome": f"**{row.outcome}**" if markdown and row.failed else row.outcome,
        }
        for row in rows
    ]
    return pd.DataFrame(cells).to_markdown(
        index=False,
        tablefmt="github" if markdown else "simple",
        colalign=("left", *["right"] * 4, "left"),
        disable_numparse=True,
    )


def _number(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.4f}"
