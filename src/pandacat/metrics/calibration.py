"""Whether confidence matches accuracy: a label given 90 % should be correct nine times in ten."""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from pandacat.metrics.arrays import BoolArray, FloatArray, IntArray
from pandacat.metrics.intervals import proportion

BINS = 15


def reliability(confidences: FloatArray, correct: BoolArray, bins: int = BINS) -> pd.DataFrame:
    """Return the reliability curve: one row for each bin, from the least to the most confident.

    Bins hold about equally many photos (equal mass); equal confidences share a bin, so there may be
    fewer than `bins`.

    Args:
        confidences: `(N,)`, the probability of each predicted label.
        correct: `(N,)`, whether the prediction is correct.
        bins: the most bins there can be.

    Returns:
        Columns `photos`, `confidence` (mean), `accuracy`, and its Wilson bounds `low` and `high`.
    """
    bin_of = _bins(confidences, bins)
    rows = []
    for index in np.unique(bin_of):
        inside = bin_of == index
        share = proportion(correct[inside])
        rows.append(
            {
                "photos": int(inside.sum()),
                "confidence": float(confidences[inside].mean()),
                "accuracy": share.value,
                "low": share.low,
                "high": share.high,
            }
        )
    return pd.DataFrame(rows)


def _bins(confidences: FloatArray, bins: int) -> IntArray:
    """Return `(N,)`: the bin of each photo; some bins may be empty."""
    ranks = rankdata(confidences) - 0.5
    return np.asarray(np.floor(bins * ranks / len(confidences)), np.int64)


def expected_calibration_error(
    confidences: FloatArray, correct: BoolArray, bins: int = BINS
) -> float:
    """Return the mean gap between confidence and accuracy over the bins of `reliability`, in 0…1.

    Source: Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian
    binning, AAAI 2015; equal-mass bins: Nixon et al., Measuring calibration in deep learning, CVPR
    workshops 2019.
    """
    return _error(confidences, correct, _bins(confidences, bins))


def _error(confidences: FloatArray, correct: BoolArray, bin_of: IntArray) -> float:
    excess = np.bincount(bin_of, weights=confidences - correct)
    return float(np.abs(excess).sum() / len(confidences))


def calibration_error_by_chance(
    confidences: FloatArray, seed: int, bins: int = BINS, draws: int = 200
) -> float:
    """Return the error below which a perfectly calibrated network stays in 95 % of test sets.

    With few photos the error is above zero by chance alone. Predictions are drawn as correct with
    the probability that their confidence states.

    Source: Bröcker and Smith, Increasing the reliability of reliability diagrams, Weather and
    Forecasting 22 (2007), 651-661.
    """
    generator = np.random.default_rng(seed)
    bin_of = _bins(confidences, bins)
    errors = [
        _error(confidences, generator.random(len(confidences)) < confidences, bin_of)
        for _ in range(draws)
    ]
    return float(np.quantile(errors, 0.95))
