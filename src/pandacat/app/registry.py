"""`pandacat registry`: which version of the exported model is the one to use."""

import argparse
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from pandacat.app.package import golden_photo
from pandacat.core.errors import PandacatError
from pandacat.core.files import sha256_of
from pandacat.core.paths import EXPORTED, PHOTOS, PIPELINE, project_root
from pandacat.data import store
from pandacat.models import registry
from pandacat.models.pyfunc import save_mlflow_model
from pandacat.models.registry import CHALLENGER, CHAMPION, PREVIOUS, Origin
from pandacat.models.saved import load_model
from pandacat.tracking.delivery import open_store, prepare_environment
from pandacat.tracking.journal import git, tracking_uri, without_credentials

LOCK = Path(".pandacat/registry.lock")
DVC_LOCK = Path("dvc.lock")

SEEN = ("train", "validation")
"""The splits that a model has seen: one fits its weights, the other its stopping and thresholds."""


def register(_: argparse.Namespace) -> int:
    """Make the exported model a version, and this the challenger; return 0.

    A version with the same origin is not made again.
    """
    with _open_registry() as (client, experiment):
        index = store.read_index(PHOTOS)
        origin = _origin(index)
        version = registry.version_of(client, origin)
        if version is None:
            with TemporaryDirectory() as temporary:
                folder = Path(temporary) / "packed"
                save_mlflow_model(folder, EXPORTED, golden_photo(EXPORTED))
                seen = index.fingerprint[index.split.isin(SEEN)]
                registry.write_training_photos(folder, seen.tolist())
                version = registry.add_version(client, experiment, folder, origin)
        _tag_commit(version, origin.git_commit)
        if registry.aliases(client).get(CHAMPION) == version:
            print(f"Version {version} is the champion already.")
        else:
            registry.challenge(client, version)
            print(f"Version {version} is the challenger; `pandacat registry promote` is next.")
    return 0


def _origin(index: pd.DataFrame) -> Origin:
    """Return what the exported model was made from.

    Raises:
        PandacatError: there is no such model, it is of other photos than the `index`, or `dvc.lock`
            is not committed, so that no commit leads to the same files.
    """
    model, photos = load_model(EXPORTED), store.dataset_fingerprint(index)
    if model.description.trained_on != photos:
        raise PandacatError(
            f"{EXPORTED} was trained on other photos than those in {PHOTOS}: `dvc repro` makes "
            "them agree."
        )
    commit = git("rev-parse", "HEAD")
    committed = git("rev-parse", f"HEAD:./{DVC_LOCK}")
    if not commit or committed != git("hash-object", str(DVC_LOCK)):
        raise PandacatError(
            f"{DVC_LOCK} is not as in Git's last commit, so no commit would lead to this model: "
            "`git commit -am 'Results'` first."
        )
    return Origin(commit, sha256_of(DVC_LOCK), model.sha256, photos)


def _tag_commit(version: str, commit: str) -> None:
    """Tag the commit of a version as GTO does, for `dvc artifacts get`."""
    tag = f"{EXPORTED.name}@v0.0.{version}"
    if git("rev-parse", f"{tag}^{{commit}}") == commit:
        return
    command = ["git", "tag", "--annotate", "--message", f"Version {version}", tag, commit]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if result.returncode:
        reason = " ".join(result.stderr.split())
        print(f"Git did not take the tag {tag} ({reason}), so only MLflow knows the version.")


def promote(_: argparse.Namespace) -> int:
    """Make the challenger the champion; return 0, or 1 if it is worse than the champion.

    Raises:
        PandacatError: there is no challenger, or the two can't be compared.
    """
    from pandacat.app.promotion import regressed

    with _open_registry() as (client, _experiment):
        now = registry.aliases(client)
        champion, challenger = now.get(CHAMPION), now.get(CHALLENGER)
        if not challenger:
            raise PandacatError(
                "There is no challenger: `pandacat registry register` makes the exported model one."
            )
        if champion is None:
            print("There is no champion yet, so nothing is compared.")
        elif champion != challenger and regressed(client, champion, challenger):
            print(f"Version {challenger} is not promoted.")
            return 1
        registry.promote(client)
        print(f"Version {challenger} is the champion.")
    return 0


def roll_back(_: argparse.Namespace) -> int:
    """Make the previous version the champion again; return 0.

    Raises:
        PandacatError: there is none.
    """
    with _open_registry() as (client, _experiment):
        version = registry.aliases(client).get(PREVIOUS)
        if not version:
            raise PandacatError(
                "There is no previous version to go back to: `pandacat registry show` lists all."
            )
        registry.roll_back(client)
        print(f"Version {version} is the champion.")
    return 0


def show(_: argparse.Namespace) -> int:
    """Print a line for each version; return 0."""
    with _open_registry() as (client, _experiment):
        names: dict[str, list[str]] = {}
        for alias, version in registry.aliases(client).items():
            names.setdefault(version, []).append(alias)
        print(_table(registry.versions(client), names))
    return 0


def _table(versions: Sequence[Any], names: dict[str, list[str]]) -> str:
    if not versions:
        return "No version is registered yet: `pandacat registry register` is first."
    rows = [
        {
            "version": str(each.version),
            "aliases": ", ".join(names.get(str(each.version), [])),
            "registered": f"{pd.Timestamp(each.creation_timestamp, unit='ms'):%Y-%m-%d %H:%M}",
            **{name: each.tags.get(name, "")[:12] for name in Origin.__annotations__},
        }
        for each in versions
    ]
    return pd.DataFrame(rows).to_markdown(index=False, tablefmt="simple", disable_numparse=True)


@contextmanager
def _open_registry() -> Iterator[tuple[Any, str]]:
    """Yield MLflow's client and the experiment's id, in the project's folder.

    Meanwhile, no other command on this machine changes the registry.

    Raises:
        PandacatError: there is no project, another command does, or MLflow fails.
    """
    if not (project_root() / PIPELINE).exists() and "MLFLOW_TRACKING_URI" not in os.environ:
        raise PandacatError(
            f"There is no {PIPELINE} here or above: run it in the project's folder, or set "
            "MLFLOW_TRACKING_URI."
        )
    prepare_environment()
    from mlflow.exceptions import MlflowException

    with chdir(project_root()):
        LOCK.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise PandacatError(
                "Another `pandacat registry` is at work here: run this again when it has ended."
            ) from None
        try:
            yield open_store(tracking_uri())
        except MlflowException as error:
            reason = " ".join(str(error).split())[:200]
            raise PandacatError(
                f"MLflow at {without_credentials(tracking_uri())} failed ({reason}): check "
                "MLFLOW_TRACKING_URI, and run this again, which completes what was begun."
            ) from None
        finally:
            lock.release()


ACTIONS = {"register": register, "promote": promote, "rollback": roll_back, "show": show}
"""By their names on the command line."""
