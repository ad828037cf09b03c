"""Which metrics regressed: by more than `params.yaml` tolerates and more than chance explains.

Chance, at 95 %: accuracies on the same test photos by the exact McNemar test, log loss and
calibration error by the paired bootstrap; other metrics by their intervals, taken as independent,
so that on the same photos a small drop may pass; plain numbers have none.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from pandacat.config.schema import GateRule
from pandacat.core.errors import PandacatError
from pandacat.core.paths import HEADLINE
from pandacat.evaluation import predictions as tables
from pandacat.evaluation.gate.revisions import Headline
from pandacat.labels import OTHER
from pandacat.metrics.accuracy import log_losses
from pandacat.metrics.calibration import expected_calibration_error
from pandacat.metrics.intervals import Interval, bootstrap
from pandacat.metrics.paired import smallest_detectable_drop

Failing = Literal["regression", "missing", "below floor", "above ceiling", "no such metric"]
Outcome = Literal["same", "better", "no clear change", "new"] | Failing

RULE_ADVICE = f"correct the rule in params.yaml, or remove it; {HEADLINE} has the names"

_EQUAL = 1e-9
_ROUNDED = 1e-4
"""How far a metric may be from that of its photos, whose probabilities have six decimals."""

Scores = np.ndarray[Any, np.dtype[Any]]


SCORES: dict[str, Callable[[pd.DataFrame], Scores]] = {
    "two_class_accuracy": lambda photos: (
        tables.correctness(photos).two_class_accuracy == 1
    ).to_numpy(),
    "accuracy": tables.is_correct,
    "log_loss": lambda photos: log_losses(*tables.labels_and_probabilities(photos)),
    "calibration_error": lambda photos: np.column_stack(tables.confidences_and_correctness(photos)),
}
"""What each photo adds to a metric: `(N,)`, or `(N, 2)` for the calibration error."""


@dataclass(frozen=True)
class Row:
    """One line of the table; what is unknown is `None`."""

    metric: str
    outcome: Outcome
    baseline: float | None = None
    current: float | None = None
    change: float | None = None
    limit: float | None = None
    """The change for the worse, with its sign, that tolerance and chance allow."""
    paired: bool = False
    """Whether the two sides were compared photo by photo."""

    @property
    def failed(self) -> bool:
        """Whether the gate must not pass."""
        return self.outcome in get_args(Failing)


def compare(
    baseline: Headline | None, current: Headline, rules: Mapping[str, GateRule]
) -> list[Row]:
    """Return a row for each metric that a rule names, on either side; the first match counts.

    Rules go by the dotted name of their metrics, with `*` for any text.
    A rule that matches no metric has a row as well, which fails: it would guard nothing. Without a
    baseline only this, floors and ceilings can fail.

    Raises:
        PandacatError: no rule matches any metric.
    """
    rows = []
    for metric in dict.fromkeys([*current.metrics, *(baseline.metrics if baseline else ())]):
        pattern = next((pattern for pattern in rules if fnmatchcase(metric, pattern)), None)
        if pattern:
            rows.append(_compare_metric(metric, rules[pattern], baseline, current))
    if not rows:
        raise PandacatError(
            "no rule under `gate` in params.yaml matches a metric: correct one, or add one; "
            f"{HEADLINE} has the names."
        )
    unused = [
        pattern for pattern in rules if not any(fnmatchcase(row.metric, pattern) for row in rows)
    ]
    return [*rows, *(Row(pattern, "no such metric") for pattern in unused)]


def _compare_metric(
    metric: str, rule: GateRule, baseline: Headline | None, current: Headline
) -> Row:
    before = baseline.metrics.get(metric) if baseline else None
    after = current.metrics.get(metric)
    if after is None:
        return Row(metric, "missing", before.value if before else None)
    row = Row(metric, "new", current=after.value)
    if baseline and before:
        noise = _paired_noise(metric, baseline, current)
        limit = max(rule.tolerance, _noise(rule, before, after) if noise is None else noise)
        change, sign = after.value - before.value, -1 if rule.better == "higher" else 1
        outcome = _outcome(sign * change, limit)
        paired = noise is not None
        row = Row(metric, outcome, before.value, after.value, change, sign * limit, paired)
    if rule.floor is not None and after.value < rule.floor:
        return replace(row, outcome="below floor")
    if rule.ceiling is not None and after.value > rule.ceiling:
        return replace(row, outcome="above ceiling")
    return row


def _outcome(worse: float, limit: float) -> Outcome:
    if worse > limit + _EQUAL:
        return "regression"
    if abs(worse) <= _EQUAL:
        return "same"
    return "no clear change" if abs(worse) <= limit + _EQUAL else "better"


def _noise(rule: GateRule, before: Interval, after: Interval) -> float:
    """Return the change for the worse up to which the interval of the difference holds zero.

    Source: G. Y. Zou and A. Donner, Construction of confidence limits about effect measures: a
    general approach, Statistics in Medicine 27 (2008), 1693-1702.
    """
    if rule.better == "higher":
        return math.hypot(before.value - before.low, after.high - after.value)
    return math.hypot(before.high - before.value, after.value - after.low)


def _paired_noise(metric: str, baseline: Headline, current: Headline) -> float | None:
    """Return the change for the worse that chance explains, photo by photo.

    `None` where a side lacks the predictions of the metric, or the photos differ.
    """
    before, after = _photos(metric, baseline), _photos(metric, current)
    if before is None or after is None:
        return None
    if not before[["path", "label"]].equals(after[["path", "label"]]):
        return None
    scores = SCORES[photo_metric(metric)]
    old, new = scores(before), scores(after)
    if new.dtype == bool:
        newly_right = int((new & ~old).sum())
        return smallest_detectable_drop(len(new), newly_right) - 1 / len(new)
    labels, _ = tables.labels_and_probabilities(after)
    worse = bootstrap(lambda some: _value(new[some]) - _value(old[some]), labels, seed=0)
    return worse.value - worse.low


def _photos(metric: str, headline: Headline) -> pd.DataFrame | None:
    """Return the predictions that give a metric of the headline, by path; `None` if none do."""
    name = photo_metric(metric)
    if not name or headline.predictions is None:
        return None
    photos = tables.by_network(headline.predictions).get(metric.split(".")[1])
    if photos is None:
        return None
    photos = photos.sort_values("path", ignore_index=True)
    if name == "two_class_accuracy":
        photos = photos[photos.label != OTHER]
    value = _value(SCORES[name](photos)) if len(photos) else math.nan
    expected = headline.metrics[metric].value
    return photos if math.isclose(value, expected, abs_tol=_ROUNDED) else None


def photo_metric(metric: str) -> str:
    """Return which of `SCORES` a dotted name ends in, or nothing."""
    named = re.fullmatch(rf"test\.[^.]+\.({'|'.join(SCORES)})", metric)
    return named[1] if named else ""


def _value(scores: Scores) -> float:
    if scores.ndim == 2:
        return expected_calibration_error(scores[:, 0], scores[:, 1] > 0)
    return float(scores.mean())
