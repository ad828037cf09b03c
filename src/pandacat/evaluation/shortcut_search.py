"""The search for shortcuts: how well properties of the files separate the labels."""

from collections.abc import Sequence
from dataclasses import astuple
from itertools import combinations

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from pandacat.evaluation.shortcuts import KEYS, TOGETHER
from pandacat.metrics.intervals import LEVEL, Interval, mean_of_independent, wilson

FOLDS = 5


def find_shortcuts(
    table: pd.DataFrame, labels: np.ndarray, groups: np.ndarray, names: Sequence[str], seed: int
) -> pd.DataFrame:
    """Return how well each property, and all together, separate each two labels; best first.

    A row has the `property` (a column of the table, or `together`), the labels `first` and `second`
    and, as `value`, `low` and `high`, the balanced accuracy, of which 0.5 is chance.

    Each property of the table, a row a photo, is given to a small decision tree, all together to a
    random forest, and predicted in five folds that share no group, `(N,)`, such as near-duplicates.
    Labels, `(N,)`, with fewer than five groups are left out.

    In the intervals the photos of one group count as one, four fifths of the groups count, since
    the folds are trained on each other's photos and so err together, and the number of findings is
    allowed for (Bonferroni): among uninformative properties, one audit in forty finds something.

    Source of the interval of a mean of two proportions: Zou and Donner, Construction of confidence
    limits about effect measures: a general approach, Statistics in Medicine 27 (2008), 1693-1702.
    """
    group_count = {label: len(np.unique(groups[labels == label])) for label in np.unique(labels)}
    frequent = [label for label, count in group_count.items() if count >= FOLDS]
    pairs = list(combinations(frequent, 2))
    columns = {name: _numbers(table[name])[:, None] for name in table.columns}
    columns[TOGETHER] = np.hstack(list(columns.values()))
    level = 1 - (1 - LEVEL) / max(1, len(pairs) * len(columns))
    rows = []
    for first, second in pairs:
        chosen = np.isin(labels, (first, second))
        truth, sets = labels[chosen], groups[chosen]
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        splits = list(folds.split(truth, truth, sets))
        for name, values in columns.items():
            learner = _learner(values.shape[1], seed)
            predicted = cross_val_predict(learner, values[chosen], truth, cv=splits)
            accuracy = _balanced_accuracy(truth, predicted, sets, level)
            rows.append((name, names[first], names[second], *astuple(accuracy)))
    findings = pd.DataFrame(rows, columns=[*KEYS, "value", "low", "high"])
    return findings.sort_values("value", ascending=False, kind="stable", ignore_index=True)


def _numbers(column: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(float)
    return np.asarray(pd.factorize(column, sort=True)[0], float)


def _balanced_accuracy(
    labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray, level: float
) -> Interval:
    recalls = []
    for label in np.unique(labels):
        own = labels == label
        share = float(np.mean(predicted[own] == label))
        recalls.append(wilson(share, (1 - 1 / FOLDS) * len(np.unique(groups[own])), level))
    return mean_of_independent(recalls)


def _learner(columns: int, seed: int) -> ClassifierMixin:
    common = {"class_weight": "balanced", "random_state": seed}
    if columns == 1:
        return DecisionTreeClassifier(max_leaf_nodes=8, min_samples_leaf=5, **common)
    return RandomForestClassifier(
        n_estimators=100, max_leaf_nodes=64, min_samples_leaf=3, max_features=0.5, **common
    )
