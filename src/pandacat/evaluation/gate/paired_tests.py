"""How a metric follows from predictions of photos, and how a change for the worse is tested."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from pandacat.evaluation import predictions as tables
from pandacat.evaluation.gate.revisions import Headline
from pandacat.metrics.accuracy import log_losses, pair_scores, placements
from pandacat.metrics.calibration import expected_calibration_error
from pandacat.metrics.one_sided import delong_p_value, mcnemar_p_value, swap_p_value
from pandacat.metrics.open_set import in_distribution_score

_ROUNDED = 1e-4
"""How far a metric may be from that of its photos, whose probabilities have six decimals."""


@dataclass(frozen=True)
class PairedTest:
    """A metric that follows from photos, and its test."""

    scores: Callable[[pd.DataFrame], np.ndarray]
    """What photos contribute, from a table of one network's predictions: `(N,)` or `(N, 2)`."""
    value: Callable[[np.ndarray], float]
    """The metric, from scores."""
    p_value: Callable[[np.ndarray, np.ndarray], float]
    """Of the second scores being worse than the first."""


def _two_class_correct(photos: pd.DataFrame) -> np.ndarray:
    return tables.correctness(photos).two_class_accuracy.dropna().to_numpy(bool)


def _losses(photos: pd.DataFrame) -> np.ndarray:
    return log_losses(*tables.labels_and_probabilities(photos))


def _confidences(photos: pd.DataFrame) -> np.ndarray:
    return np.column_stack(tables.confidences_and_correctness(photos))


def _pair(photos: pd.DataFrame) -> np.ndarray:
    labels, probabilities = tables.labels_and_probabilities(photos)
    scores, labels = pair_scores(probabilities)[labels < 2], labels[labels < 2]
    return _placed(scores, labels == 0)


def _open_set(photos: pd.DataFrame) -> np.ndarray:
    labels, probabilities = tables.labels_and_probabilities(photos)
    in_distribution = labels < probabilities.shape[1] - 1
    return _placed(in_distribution_score(probabilities), in_distribution)


def _placed(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    return np.column_stack([placements(scores, positive), positive])


def _mean(scores: np.ndarray) -> float:
    return float(scores.mean())


def _calibration_error(scores: np.ndarray) -> float:
    return expected_calibration_error(scores[:, 0], scores[:, 1] > 0)


def _area(scores: np.ndarray) -> float:
    return float(scores[scores[:, 1] > 0, 0].mean())


def _delong(before: np.ndarray, after: np.ndarray) -> float:
    return delong_p_value(before[:, 0], after[:, 0], before[:, 1] > 0)


def _swap(loss: Callable[[np.ndarray], float]) -> Callable[[np.ndarray, np.ndarray], float]:
    return partial(swap_p_value, loss=loss, seed=0)


TESTS = {
    "two_class_accuracy": PairedTest(_two_class_correct, _mean, mcnemar_p_value),
    "accuracy": PairedTest(tables.is_correct, _mean, mcnemar_p_value),
    "roc_auc": PairedTest(_pair, _area, _delong),
    "open_set.auroc": PairedTest(_open_set, _area, _delong),
    "log_loss": PairedTest(_losses, _mean, _swap(_mean)),
    "calibration_error": PairedTest(_confidences, _calibration_error, _swap(_calibration_error)),
}
"""By the name of the metric: McNemar's exact test, DeLong's test, or a permutation test."""

_NAME = re.compile(rf"(test|field_test)\.([^.]+)\.({'|'.join(map(re.escape, TESTS))})")


def paired_test(metric: str) -> PairedTest | None:
    """Return the test of a metric with this dotted name; `None` if photos do not give it."""
    named = _NAME.fullmatch(metric)
    return TESTS[named[3]] if named else None


def paired_scores(
    metric: str, baseline: Headline, current: Headline
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return what the same photos contribute to a metric in the baseline and now.

    `None` where photos do not give the metric, a side lacks their predictions or has others than
    those of its metric, or the photos differ.
    """
    named, sides = _NAME.fullmatch(metric), []
    if not named:
        return None
    dataset, network, name = named.groups()
    photos = []
    for side in (baseline, current):
        table = side.predictions
        if table is None:
            return None
        rows = table[(table.split == dataset) & (table.network == network)]
        rows = rows.sort_values("path", ignore_index=True)
        scores = TESTS[name].scores(rows)
        value = TESTS[name].value(scores) if len(scores) else math.nan
        if not math.isclose(value, side.metrics[metric].value, abs_tol=_ROUNDED):
            return None
        photos.append(rows[["path", "label"]])
        sides.append(scores)
    return (sides[0], sides[1]) if photos[0].equals(photos[1]) else None
