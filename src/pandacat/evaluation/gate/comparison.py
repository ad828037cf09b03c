"""Which metrics regressed: by more than `params.yaml` tolerates and more than chance explains.

Chance: each metric is tested for a change for the worse, photo by photo where both sides have the
predictions of the same photos, else by its intervals, taken as independent. The p-values are
adjusted for the number of tests, so that a harmless change fails with a probability of at most 5 %.
A metric in which too few photos changed to be significant is no test; a plain number has none.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import compress
from statistics import NormalDist
from typing import Literal, get_args

import numpy as np

from pandacat.config.schema import GateRule
from pandacat.core.errors import PandacatError
from pandacat.core.paths import HEADLINE
from pandacat.evaluation.gate.paired_tests import paired_scores, paired_test
from pandacat.evaluation.gate.revisions import Headline
from pandacat.metrics.intervals import LEVEL, Interval
from pandacat.metrics.one_sided import holm, testable

Failing = Literal["regression", "missing", "below floor", "above ceiling", "no such metric"]
Outcome = Literal["same", "better", "no clear change", "new"] | Failing

RULE_ADVICE = f"correct the rule in params.yaml, or remove it; {HEADLINE} has the names"

SIGNIFICANCE = 0.05
"""The probability that a change which makes no metric worse fails."""

_EQUAL = 1e-9


@dataclass(frozen=True)
class Row:
    """One line of the table; what is unknown is `None`."""

    metric: str
    outcome: Outcome
    baseline: float | None = None
    current: float | None = None
    change: float | None = None
    tolerance: float | None = None
    """The change for the worse, with its sign, that passes in any case."""
    p_value: float | None = None
    """Of the change, in its direction, adjusted for the number of tests; `None` if it is none."""
    paired: bool = False
    """Whether the two sides were compared photo by photo."""

    @property
    def failed(self) -> bool:
        """Whether the gate must not pass."""
        return self.outcome in get_args(Failing)


@dataclass(frozen=True)
class _Change:
    """A metric that both sides have."""

    before: float
    after: float
    worse: float
    """By how much; below 0 if it is better."""
    p_value: float | None
    """Of the change, in its direction; `None` for plain numbers."""
    least: float
    """The smallest p-value that the number of photos which differ allows."""
    paired: bool


def compare(
    baseline: Headline | None, current: Headline, rules: Mapping[str, GateRule]
) -> list[Row]:
    """Return a row for each metric that a rule names, on either side; the first match counts.

    Rules go by the dotted name of their metrics, with `*` for any text. A rule that matches no
    metric has a row as well, which fails: it would guard nothing. Without a field test, its rules
    need a match among the metrics of the test split. Without a baseline only this, floors and
    ceilings can fail.

    Raises:
        PandacatError: no rule matches any metric.
    """
    metrics = [*dict.fromkeys([*current.metrics, *(baseline.metrics if baseline else ())])]
    rule_of = {
        metric: rules[pattern]
        for metric in metrics
        if (pattern := next((each for each in rules if fnmatchcase(metric, each)), None))
    }
    if not rule_of:
        raise PandacatError(
            "no rule under `gate` in params.yaml matches a metric: correct one, or add one; "
            f"{HEADLINE} has the names."
        )
    changes = {
        metric: _change(metric, rule, baseline, current)
        for metric, rule in rule_of.items()
        if baseline and metric in baseline.metrics and metric in current.metrics
    }
    p_values = _adjusted(changes)
    rows = []
    for metric, rule in rule_of.items():
        if change := changes.get(metric):
            row = _compared(metric, rule, change, p_values.get(metric))
        elif after := current.metrics.get(metric):
            row = Row(metric, "new", current=after.value)
        else:
            row = Row(metric, "missing", baseline.metrics[metric].value if baseline else None)
        rows.append(_bounded(row, rule))
    names = [*metrics, *(f"field_{metric}" for metric in metrics if metric.startswith("test."))]
    unused = [each for each in rules if not any(fnmatchcase(name, each) for name in names)]
    return [*rows, *(Row(pattern, "no such metric") for pattern in unused)]


def _change(metric: str, rule: GateRule, baseline: Headline, current: Headline) -> _Change:
    before, after = baseline.metrics[metric], current.metrics[metric]
    worse = (before.value - after.value) * (1 if rule.better == "higher" else -1)
    test, scores = paired_test(metric), paired_scores(metric, baseline, current)
    p_value: float | None
    if test and scores:
        old, new = scores if worse > 0 else scores[::-1]
        differing = np.any((old != new).reshape(len(old), -1), axis=1).sum()
        p_value, least = test.p_value(old, new), 0.5**differing
    else:
        p_value, least = _unpaired_p_value(before, after), 0.0 if worse else 1.0
    return _Change(before.value, after.value, worse, p_value, least, scores is not None)


def _unpaired_p_value(before: Interval, after: Interval) -> float | None:
    """Return the p-value of a change, by its size beside the interval of the difference.

    `None` where neither side has an interval.

    Source: G. Y. Zou and A. Donner, Construction of confidence limits about effect measures: a
    general approach, Statistics in Medicine 27 (2008), 1693-1702.
    """
    upper, lower = (before, after) if before.value > after.value else (after, before)
    noise = math.hypot(upper.value - upper.low, lower.high - lower.value)
    normal = NormalDist()
    z = normal.inv_cdf((1 + LEVEL) / 2)
    return normal.cdf(-z * (upper.value - lower.value) / noise) if noise else None


def _adjusted(changes: Mapping[str, _Change]) -> dict[str, float]:
    """Return the p-values of changes that can be significant, adjusted for the number of these.

    Changes for the worse and for the better are adjusted apart.
    """
    p_values = {name: each.p_value for name, each in changes.items() if each.p_value is not None}
    can_be = testable([changes[name].least for name in p_values], SIGNIFICANCE)
    p_values = dict(compress(p_values.items(), can_be))
    adjusted = dict.fromkeys(p_values, 1.0)
    for sign in (1, -1):
        moved = [name for name in p_values if sign * changes[name].worse > 0]
        one_sided = [p_values[name] if name in moved else 1.0 for name in p_values]
        both = dict(zip(p_values, holm(one_sided), strict=True))
        adjusted |= {name: both[name] for name in moved}
    return adjusted


def _compared(metric: str, rule: GateRule, change: _Change, p_value: float | None) -> Row:
    sign = -1 if rule.better == "higher" else 1
    by_chance = change.p_value is not None and (p_value is None or p_value >= SIGNIFICANCE)
    if abs(change.worse) <= _EQUAL:
        outcome: Outcome = "same"
    elif by_chance or abs(change.worse) <= rule.tolerance + _EQUAL:
        outcome = "no clear change"
    else:
        outcome = "regression" if change.worse > 0 else "better"
    sides = change.before, change.after, change.after - change.before
    return Row(metric, outcome, *sides, sign * rule.tolerance, p_value, change.paired)


def _bounded(row: Row, rule: GateRule) -> Row:
    """Return the row, failed if the metric breaks its rule's floor or ceiling."""
    if row.current is None:
        return row
    if rule.floor is not None and row.current < rule.floor:
        return replace(row, outcome="below floor")
    if rule.ceiling is not None and row.current > rule.ceiling:
        return replace(row, outcome="above ceiling")
    return row
