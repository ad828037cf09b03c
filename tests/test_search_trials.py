"""The trials of `pandacat search`, on a loss whose optimum was planted: the extra search."""

import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("optuna", reason="the extra search is not installed: make extra-search")

import optuna

from pandacat.training.batches import seed_from
from pandacat.training.search import SPACE, Objective, Range, Result, Search, Settings, open_study

FOLDS = 10
START = {
    "l2_sp": 0.1,
    "learning_rate": 3e-4,
    "steps": 100,
    "seen_class_scale": 10.0,
    "interpolation": 0.5,
}
OPTIMUM = {
    "l2_sp": 0.02,
    "learning_rate": 1e-3,
    "steps": 200,
    "seen_class_scale": 30.0,
    "interpolation": 0.8,
}


def place(values: Range, value: float) -> float:
    """Return where in its range a value lies, from 0 to 1."""
    if values.log:
        return math.log(value / values.low) / math.log(values.high / values.low)
    return (value - values.low) / (values.high - values.low)


def distance(settings: Settings) -> float:
    """Return the planted loss: the squared distance from the optimum."""
    return sum(
        (place(values, settings[name]) - place(values, OPTIMUM[name])) ** 2
        for name, values in SPACE.items()
    )


HARDNESS = np.random.default_rng(0).normal(0.5, 0.2, FOLDS)
"""Of the folds."""

NOISE = 0.02


def loss(settings: Settings, fold: int) -> float:
    """Return the planted loss on a fold, with some noise."""
    rng = np.random.default_rng(seed_from(str(sorted(settings.items())), fold))
    return float(HARDNESS[fold] + distance(settings) + rng.normal(0, NOISE))


def search_for(
    trials: int, *, seed: int = 0, storage: str | None = None, objective: Objective = loss
) -> Search:
    search = Search(open_study(storage, "planted"), objective, FOLDS, seed, START)
    while len(search.results()) < trials:
        search.run_trial()
    return search


def test_the_first_trial_has_the_settings_of_today() -> None:
    (first,) = search_for(1).results()
    assert first.settings == START
    assert len(first.losses) == FOLDS


def test_settings_of_today_outside_of_the_ranges_are_no_obstacle() -> None:
    search = replace(search_for(0), start=START | {"l2_sp": 0.0})
    search.run_trial()
    (first,) = search.results()
    assert first.settings == START | {"l2_sp": first.settings["l2_sp"]}
    assert SPACE["l2_sp"].has(first.settings["l2_sp"])


def test_the_same_seed_gives_the_same_trials_and_another_one_others() -> None:
    assert search_for(20, seed=1).results() == search_for(20, seed=1).results()
    assert search_for(20, seed=1).results() != search_for(20, seed=2).results()


def test_settings_stay_in_their_ranges_and_are_used_as_they_are_shown() -> None:
    for result in search_for(20).results():
        for name, values in SPACE.items():
            value = result.settings[name]
            assert values.has(value)
            assert value == float(f"{value:.3g}")
            assert isinstance(value, type(values.low))


TRIALS = 40


@pytest.fixture(scope="module")
def searches() -> list[Search]:
    """Ten searches, of different seeds."""
    return [search_for(TRIALS, seed=seed) for seed in range(10)]


@pytest.fixture
def without_pruning(monkeypatch: pytest.MonkeyPatch) -> None:
    never = optuna.pruners.NopPruner()
    monkeypatch.setattr(optuna.pruners, "WilcoxonPruner", lambda **_: never)


@pytest.mark.usefixtures("without_pruning")
def test_pruning_saves_a_third_and_finds_settings_as_good(searches: list[Search]) -> None:
    tried = sum(len(result.losses) for search in searches for result in search.results())
    assert tried <= 0.7 * TRIALS * FOLDS * len(searches)
    pruned = [distance(search.best()[0].settings) for search in searches]
    whole = [distance(search_for(TRIALS, seed=s).best()[0].settings) for s in range(4)]
    assert np.mean(pruned) <= np.mean(whole) + NOISE


@pytest.mark.usefixtures("without_pruning")
def test_it_beats_a_random_search_with_as_many_trials_in_seven_of_ten_seeds(
    searches: list[Search], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna.samplers, "TPESampler", optuna.samplers.RandomSampler)
    wins = 0
    for seed, search in enumerate(searches):
        by_chance = search_for(TRIALS, seed=seed).best()[0]
        wins += distance(search.best()[0].settings) < distance(by_chance.settings)
    assert wins >= 7


KILLS = """
import os, signal, sys
from test_search_trials import loss, search_for

storage, deadly = sys.argv[1], int(sys.argv[2])
count = 0

def killing(settings, fold):
    global count
    count += 1
    if count == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return loss(settings, fold)

search_for(6, storage=storage, objective=killing)
"""


def test_killed_and_resumed_it_is_the_same_search(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    path = os.pathsep.join(sys.path)
    for deadly in (3, 15):  # in the first trial, and in a later one
        command = [sys.executable, "-c", KILLS, storage, str(deadly)]
        ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": path})
        assert ended.returncode == -signal.SIGKILL
    assert search_for(6, storage=storage).results() == search_for(6).results()


def test_more_trials_go_on_with_those_that_are_there(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    first = search_for(2, storage=storage).results()
    more = search_for(4, storage=storage).results()
    assert more[:2] == first
    assert more == search_for(4).results()


def test_the_best_were_tried_on_all_folds(searches: list[Search]) -> None:
    search = searches[0]
    best = search.best()
    assert {len(result.losses) for result in best} == {FOLDS}
    assert best == sorted(best, key=lambda result: result.loss)
    assert len(best) < TRIALS
    assert Result({}, (1.0, 2.0)).loss == 1.5
