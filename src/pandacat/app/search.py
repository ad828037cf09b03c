"""`pandacat search`: which settings of fine-tuning do best on folds of the training photos."""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import asdict
from math import sqrt
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING

import pandas as pd
from filelock import FileLock, Timeout
from tqdm import tqdm

from pandacat.config.loading import load_config
from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError
from pandacat.core.paths import FEATURES, MODELS, PHOTOS, project_root
from pandacat.data import store
from pandacat.data.features import read_features
from pandacat.models.saved import load_model
from pandacat.training.checkpoint import checkpoint_key
from pandacat.training.photo_dataset import photo_features

if TYPE_CHECKING:  # it needs Optuna
    from pandacat.training.search import Result, Search

STUDIES = Path(".pandacat/search.db")
SHOWN = 3
"""Best settings for which a command is printed."""


def run(options: argparse.Namespace) -> int:
    """Try what is missing, print the best settings, and queue some of them; return 0."""
    with chdir(project_root()), _alone():
        search, name = _open_search(options)
        _run_trials(search, options.trials)
        _report(search)
        for rank, result in enumerate(search.best()[: options.queue or SHOWN], start=1):
            command = _experiment(f"search-{name[:6]}-{rank}", result, queued=options.queue > 0)
            print(shlex.join(["dvc", *command]))
            if options.queue:
                ended = subprocess.run([sys.executable, "-m", "dvc", *command])
                if ended.returncode:  # DVC has said why
                    return ended.returncode
    print(
        "`dvc queue start` runs them." if options.queue else "These run the best, in this folder."
    )
    return 0


@contextmanager
def _alone() -> Iterator[None]:
    """Let no other search of the project begin meanwhile."""
    STUDIES.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{STUDIES}.lock", timeout=0):
            yield
    except Timeout:
        raise PandacatError(
            "Another `pandacat search` is at work here: wait until it ends, or stop it."
        ) from None


def _open_search(options: argparse.Namespace) -> tuple["Search", str]:
    """Return the search for these data and parameters, begun or not, and its name."""
    try:
        from pandacat.training import search
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise PandacatError(
            "The package optuna is not installed: `make extra-search` installs it in the project's "
            "folder, and `pip install '.[search]'` in the active environment."
        ) from None

    params = load_config().fine_tune
    if params.strategy != "head":
        raise PandacatError(
            f"fine_tune.strategy is {params.strategy}, and a search needs head, which learns from "
            "stored features: set it in params.yaml."
        )
    model = load_model(MODELS / "pretrained")
    dataset, index = photo_features(PHOTOS, read_features(FEATURES)), store.read_index(PHOTOS)
    depends_on = asdict(params) | {"folds": options.folds, "search_seed": options.seed}
    name = checkpoint_key(depends_on, dataset, start=model.sha256)
    study = search.open_study(f"sqlite:///{STUDIES}", name)
    groups = index.group[index.split == "train"].to_numpy()
    objective = search.fold_losses(model, dataset, groups, params, options.folds)
    return search.Search(study, objective, options.folds, options.seed, asdict(params)), name


def _run_trials(search: "Search", trials: int) -> None:
    done = len(search.results())
    try:
        for _ in tqdm(range(done, trials), initial=done, total=trials, unit="trial", disable=None):
            search.run_trial()
    except KeyboardInterrupt:
        done = len(search.results())
        print_status(f"{done} of {trials} trials are done; the same command goes on.")
        raise


def _report(search: "Search") -> None:
    results, best = search.results(), search.best()
    tried = sum(len(result.losses) for result in results) / (len(results) * search.folds)
    start = results[0]
    rows = [
        {
            "log loss": f"{each.loss:.4f}",
            "less than params.yaml": _difference(start, each),
            **each.settings,
        }
        for each in best[:SHOWN]
    ]
    print(pd.DataFrame(rows).to_markdown(index=False, tablefmt="simple", disable_numparse=True))
    print(
        f"{len(results)} trials; pruning saved {1 - tried:.0%} of their {search.folds} folds each. "
        f"The first, of params.yaml, has a log loss of {start.loss:.4f}. Those above are "
        "optimistic, as the lowest of many; an experiment measures its settings on photos that no "
        "trial has seen."
    )


def _difference(start: "Result", other: "Result") -> str:
    """Return by how much a loss is lower, and the standard error over the folds."""
    pairs = zip(start.losses, other.losses, strict=True)
    differences = [before - after for before, after in pairs]
    return f"{start.loss - other.loss:.4f} ± {stdev(differences) / sqrt(len(differences)):.4f}"


def _experiment(name: str, result: "Result", *, queued: bool) -> list[str]:
    """Return the arguments of DVC for an experiment with these settings."""
    values = [f"fine_tune.{key}={value}" for key, value in result.settings.items()]
    settings = [part for value in values for part in ("-S", value)]
    return ["exp", "run", *["--queue"] * queued, "--name", name, *settings]
