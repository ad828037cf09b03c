"""Open-set score, temperature and conformal thresholds, fitted on the validation split."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from pandacat.config.training import CalibrationSettings
from pandacat.core.console import print_status
from pandacat.metrics import conformal
from pandacat.metrics.neighbors import unit_length
from pandacat.metrics.open_set import threshold_at_recall
from pandacat.models import open_set
from pandacat.models.feature_classifier import FeatureClassifier
from pandacat.models.probabilities import softmax
from pandacat.models.saved import ConformalThresholds, OpenSetScore, SavedModel, Tiling

ROUNDING = 1e-4
"""So much more than is needed, lest a photo be lost to rounding."""


def keep_neighbors(model: SavedModel, features: np.ndarray, most: int) -> SavedModel:
    """Return the model with the features of training photos of its labels, for `models.open_set`.

    `features` `(M, D)` are those of their center crops; of more than `most`, some evenly spaced
    are kept.
    """
    rows = np.linspace(0, len(features) - 1, min(most, len(features))).round().astype(int)
    return model.with_tensors({open_set.BANK: unit_length(features[rows]).astype(np.float16)})


def calibrate(
    model: SavedModel,
    features: np.ndarray,
    classes: np.ndarray,
    settings: CalibrationSettings,
    look_again: Callable[[SavedModel], np.ndarray],
) -> SavedModel:
    """Return the model with an open-set score, tiling, a temperature and conformal thresholds.

    They are fitted on the features `(N, V, D)` of the crops of the validation photos and their
    labels `(N,)`: first the score, whose similarity to neighbors is scaled to spread as much as the
    log-odds do; then temperature and thresholds, on the logits `(N, K + 1)` with tiling that
    `look_again` returns.
    """
    model = model.described(open_set=OpenSetScore(settings.neighbors, 0.0, 0.0), tiling=None)
    scale = _neighbor_scale(model, features, FeatureClassifier(model).logits(features))

    def score(scale: float) -> OpenSetScore:
        score = OpenSetScore(settings.neighbors, scale, 0.0)
        logits = FeatureClassifier(model.described(open_set=score)).logits(features)
        return replace(score, offset=offset_at_recall(logits, classes, settings.label_recall))

    most, times = settings.tiling.other_animals, settings.tiling.similarity
    tiling = Tiling(most, score(times * scale)) if most else None
    model = model.described(open_set=score(scale), tiling=tiling)
    logits = look_again(model)
    temperature = fit_temperature(logits, classes)
    thresholds = fit_conformal_thresholds(
        softmax(logits / temperature),
        classes,
        model.description.labels,
        coverage=settings.coverage,
        confidence=settings.coverage_confidence,
    )
    return model.described(temperature=temperature, conformal=thresholds)


def _neighbor_scale(model: SavedModel, features: np.ndarray, logits: np.ndarray) -> float:
    about, bank = model.description.open_set, model.tensors.get(open_set.BANK)
    if about is None or bank is None or not about.neighbors:
        return 0.0
    spread = (
        open_set.similarity(features, bank.astype(np.float32), about.neighbors).max(axis=1).std()
    )
    return float((logits[:, :-1].max(axis=1) - logits[:, -1]).std() / max(spread, 1e-6))


def offset_at_recall(logits: np.ndarray, classes: np.ndarray, recall: float) -> float:
    """Return what to add to the logits of all labels so that `recall` of their photos keep one.

    `logits` `(N, K + 1)` and labels `(N,)` are those of the validation photos. Photos of `other`
    have no say in it: which kinds there are differs from one data set to the next.
    """
    odds = logits[:, :-1].max(axis=1) - logits[:, -1]
    return ROUNDING - threshold_at_recall(odds[classes < logits.shape[1] - 1], recall)


def calibration_metrics(model: SavedModel) -> dict[str, Any]:
    """Return the open-set score, the temperature, and the conformal threshold of each label."""
    about = model.description
    values = about.conformal.thresholds if about.conformal else ()
    return {
        "open_set": asdict(about.open_set) if about.open_set else {},
        "temperature": about.temperature,
        "thresholds": dict(zip(about.labels, values, strict=False)),
    }


def fit_temperature(logits: np.ndarray, classes: np.ndarray) -> float:
    """Return the temperature by which to divide the logits `(N, K + 1)` of the validation photos.

    It minimizes the log loss, each label counting the same (Guo et al., "On Calibration of Modern
    Neural Networks", ICML 2017, section 4.2). A weak pull towards 1, a standard normal prior on the
    logarithm, bounds the confidence of a network without a single error.
    """
    counts = np.bincount(classes, minlength=logits.shape[1])
    weights = len(classes) / (np.count_nonzero(counts) * counts[classes])

    def loss(log_temperature: float) -> float:
        own = log_softmax(logits / np.exp(log_temperature), axis=1)[range(len(classes)), classes]
        return float(-(weights * own).sum() + log_temperature**2 / 2)

    best = minimize_scalar(loss, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return float(np.exp(best.x))


def fit_conformal_thresholds(
    probabilities: np.ndarray,
    classes: np.ndarray,
    labels: Sequence[str],
    *,
    coverage: float,
    confidence: float,
) -> ConformalThresholds:
    """Return the probability from which prediction sets contain each label, `other` among them.

    The sets of at least `coverage` of a label's photos then do, with `confidence`, among photos
    like those of the validation split, whose probabilities are `(N, K + 1)` and whose labels
    `(N,)`. A label with too few photos is in every set, and the user is warned.
    """
    thresholds = [
        conformal.threshold(probabilities[classes == label, label], coverage, confidence)
        for label in range(len(labels))
    ]
    needed = conformal.photos_needed(coverage, confidence)
    counts = np.bincount(classes, minlength=len(labels))
    for name, count in zip(labels, counts, strict=True):
        if count < needed:
            print_status(
                f"fine_tune.coverage {coverage:g} with fine_tune.coverage_confidence "
                f"{confidence:g} needs {needed} validation photos of {name}, and there are "
                f"{count}: every prediction set contains {name}. Lower one of them, raise "
                "preprocess.validation_share, or add photos."
            )
    return ConformalThresholds(coverage, confidence, tuple(thresholds))
