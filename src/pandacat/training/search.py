"""A search for settings of fine-tuning, on folds of the training photos' stored features.

Optuna proposes settings by the results of earlier ones (TPE: Bergstra et al., "Algorithms for
Hyper-Parameter Optimization", NeurIPS 2011). Settings are given up when a Wilcoxon signed-rank test
over the folds that they share with the best ones finds them worse.
"""

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np
import optuna
import torch
from optuna.trial import FrozenTrial, Trial, TrialState
from sklearn.model_selection import StratifiedGroupKFold
from torch.nn.functional import cross_entropy, linear

from pandacat.config.training import FineTuneParams
from pandacat.models.pretrained import label_log_probabilities, pool_crops
from pandacat.models.saved import SavedModel
from pandacat.training.batches import Dataset, Examples, seed_from
from pandacat.training.fine_tune import fine_tune

Settings = Mapping[str, Any]
"""Numbers, by the names of the parameters."""

Objective = Callable[[Settings, int], float]
"""Returns the loss of settings on a fold."""


@dataclass(frozen=True)
class Range:
    """The values that a parameter may have, evenly spread over their logarithm if `log`."""

    low: float
    high: float
    log: bool = True

    def has(self, value: float) -> bool:
        """Return whether it is one of them."""
        return self.low <= value <= self.high

    def suggest(self, trial: Trial, name: str) -> None:
        """Let the trial have a value; whole numbers stay whole."""
        if isinstance(self.low, int):
            trial.suggest_int(name, self.low, int(self.high), log=self.log)
        else:
            trial.suggest_float(name, self.low, self.high, log=self.log)


SPACE = {
    "l2_sp": Range(0.003, 3.0),
    "learning_rate": Range(3e-5, 3e-3),
    "steps": Range(30, 400),
    "seen_class_scale": Range(1.0, 100.0),
    "interpolation": Range(0.1, 1.0, log=False),
}
"""Parameters of `fine_tune` with the strategy `head`."""

PRUNE_BELOW = 0.1
"""The p-value of the signed-rank test; worse on each of four folds has 0.06."""

_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Result:
    """What came of a trial."""

    settings: Settings
    losses: tuple[float, ...]
    """On the folds that were tried, in their order."""

    @property
    def loss(self) -> float:
        """Their mean."""
        return fmean(self.losses)


@dataclass(frozen=True)
class Search:
    """Trials of settings from a `space`, the first of them that of `start`."""

    study: optuna.Study
    objective: Objective
    folds: int
    seed: int
    start: Settings
    space: Mapping[str, Range] = field(default_factory=lambda: SPACE)

    def results(self) -> list[Result]:
        """Return those of all trials that have ended, in their order."""
        return [
            Result(_settings_of(trial), tuple(trial.intermediate_values.values()))
            for trial in self.study.get_trials(deepcopy=False, states=_ENDED)
        ]

    def best(self) -> list[Result]:
        """Return the results on all folds, the best first."""
        whole = [result for result in self.results() if len(result.losses) == self.folds]
        return sorted(whole, key=lambda result: result.loss)

    def run_trial(self) -> None:
        """Try further settings.

        They depend on the seed and on what came of the trials before, and so are the same in a
        search that was interrupted.
        """
        count = len(self.results())
        sampler_seed = seed_from("search", self.seed, count) % 2**32
        self.study.sampler = optuna.samplers.TPESampler(seed=sampler_seed)
        if not count and not self.study.get_trials(states=(TrialState.WAITING,)):
            inside = (name for name, each in self.space.items() if each.has(self.start[name]))
            self.study.enqueue_trial({name: self.start[name] for name in inside})
        trial = self.study.ask()
        for name, values in self.space.items():
            values.suggest(trial, name)
        losses = []
        for fold in range(self.folds):
            losses.append(self.objective(_settings_of(trial), fold))
            trial.report(losses[-1], fold)
            if fold < self.folds - 1 and trial.should_prune():
                self.study.tell(trial, state=TrialState.PRUNED)
                return
        self.study.tell(trial, fmean(losses))


def open_study(storage: str | None, name: str) -> optuna.Study:
    """Return the study of this name in a database, or in memory without one; begun if it is new.

    A trial that a kill left there is marked as failed, and counts for nothing. So no other process
    may be at work on the study.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings(action="ignore"):  # that its interface may change
        pruner = optuna.pruners.WilcoxonPruner(p_threshold=PRUNE_BELOW)
    study = optuna.create_study(
        storage=storage, study_name=name, pruner=pruner, load_if_exists=True
    )
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def _settings_of(trial: FrozenTrial | Trial) -> Settings:
    """Return the settings to three digits, as they are used and shown."""
    return {
        name: value if isinstance(value, int) else float(f"{value:.3g}")
        for name, value in trial.params.items()
    }


def fold_losses(
    model: SavedModel, dataset: Dataset, groups: np.ndarray, params: FineTuneParams, folds: int
) -> Objective:
    """Return the log loss on photos of a fold, after fine-tuning on those of all others.

    The folds are of the training photos, whose `groups` `(M,)` stay whole; training stops by the
    validation photos, as it always does. `dataset` comes from `photo_features`.
    """
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=params.seed)
    classes = dataset.train.classes.numpy()
    rows = list(splitter.split(classes, classes, groups))

    def loss(settings: Settings, fold: int) -> float:
        training, held_out = rows[fold]
        part = replace(dataset, train=_rows_of(dataset.train, training))
        with redirect_stderr(io.StringIO()):  # a line for each epoch
            tuned, _ = fine_tune(model, part, replace(params, **settings))
        return _log_loss(tuned, _rows_of(dataset.train, held_out))

    return loss


def _rows_of(examples: Examples, rows: Sequence[int] | np.ndarray) -> Examples:
    chosen = torch.as_tensor(rows)
    return Examples(examples.inputs[chosen], examples.classes[chosen])


def _log_loss(model: SavedModel, photos: Examples) -> float:
    """Return the log loss of the center crops, before calibration."""
    head = (torch.from_numpy(model.tensors[f"head.{name}"]) for name in ("weight", "bias"))
    logits = linear(photos.inputs[:, :1], *head)
    log_odds = pool_crops(label_log_probabilities(logits, model.description.label_classes))
    return float(cross_entropy(log_odds, photos.classes))
