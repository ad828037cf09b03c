"""Whether confidence matches accuracy: a label given 90 % should be correct nine times in ten."""

import numpy as np
import pandas as pd

from pandacat.metrics.intervals import proportion

BINS, DRAWS = 15, 1000


def reliability(confidences: np.ndarray, correct: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Return the reliability curve of `(N,)` predictions, from the least to the most confident.

    A row a bin: `photos`, `confidence` (mean), `accuracy`, and its Wilson bounds `low` and `high`.
    Bins hold about equally many photos (equal mass); equal confidences share a bin, so there may be
    fewer than `bins`.
    """
    bin_of = _bins(confidences, bins)
    rows = []
    for inside in (bin_of == index for index in np.unique(bin_of)):
        share = proportion(correct[inside])
        about = {"photos": int(inside.sum()), "confidence": float(confidences[inside].mean())}
        rows.append(about | {"accuracy": share.value, "low": share.low, "high": share.high})
    return pd.DataFrame(rows)


def _bins(confidences: np.ndarray, bins: int) -> np.ndarray:
    """Return `(N,)`: the bin of each photo; some bins may be empty."""
    _, place, counts = np.unique(confidences, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2)[place]
    return np.asarray(np.floor(bins * ranks / len(confidences)), np.int64)


def expected_calibration_error(
    confidences: np.ndarray, correct: np.ndarray, bins: int = BINS
) -> float:
    """Return the mean gap between confidence and accuracy over the bins of `reliability`, in 0…1.

    Source: Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian
    binning, AAAI 2015; equal-mass bins: Nixon et al., Measuring calibration in deep learning, CVPR
    workshops 2019.
    """
    return _error(confidences, correct, _bins(confidences, bins))


def _error(confidences: np.ndarray, correct: np.ndarray, bin_of: np.ndarray) -> float:
    excess = np.bincount(bin_of, weights=confidences - correct)
    return float(np.abs(excess).sum() / len(confidences))


def calibration_error_by_chance(confidences: np.ndarray, seed: int) -> float:
    """Return the error below which a perfectly calibrated network stays in 95 % of test sets.

    With few photos the error is above zero by chance alone. Predictions are drawn as correct with
    the probability that their confidence states.

    Source: Bröcker and Smith, Increasing the reliability of reliability diagrams, Weather and
    Forecasting 22 (2007), 651-661.
    """
    generator = np.random.default_rng(seed)
    bin_of = _bins(confidences, BINS)
    errors = [
        _error(confidences, generator.random(len(confidences)) < confidences, bin_of)
        for _ in range(DRAWS)
    ]
    return float(np.quantile(errors, 0.95))
