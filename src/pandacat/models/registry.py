"""Versions of the model in MLflow's registry, and the aliases that say which one is used.

MLflow moves an alias in one step, so there is at most one champion at any moment. A command that
was killed between two steps is completed by running it again.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

MODEL = "pandacat"
"""Name of the registered model."""

CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"

TRAINING_PHOTOS = "training_photos.npy"
"""In a version: the perceptual hashes `(N, 16) uint8` of the photos it has seen."""


@dataclass(frozen=True)
class Origin:
    """What a version was made from: its tags."""

    git_commit: str
    dvc_lock: str
    """SHA-256 of `dvc.lock`, as are the others of what they name."""
    weights: str
    photos: str
    """Over the content, labels and splits of all photos."""


def address(version: str) -> str:
    """Return MLflow's address of a version, which `--model` takes, too."""
    return f"models:/{MODEL}/{version}"


def versions(client: Any) -> list[Any]:
    """Return MLflow's records of all versions, oldest first."""
    found = client.search_model_versions(f"name = '{MODEL}'")
    return sorted(found, key=lambda version: int(version.version))


def aliases(client: Any) -> dict[str, str]:
    """Return the version that each alias stands for; empty where nothing is registered."""
    found = client.search_registered_models(f"name = '{MODEL}'")
    return {name: str(version) for model in found for name, version in model.aliases.items()}


def version_of(client: Any, origin: Origin) -> str | None:
    """Return the latest version with this origin, if there is one."""
    tags = asdict(origin).items()
    same = [each.version for each in versions(client) if tags <= each.tags.items()]
    return str(same[-1]) if same else None


def add_version(client: Any, experiment: str, folder: Path, origin: Origin) -> str:
    """Upload a model in MLflow's form as a version without an alias; return its number.

    Its files belong to a run of the experiment.
    """
    run = client.create_run(experiment, run_name="registered model")
    client.log_artifacts(run.info.run_id, str(folder), MODEL)
    client.set_terminated(run.info.run_id)
    if not client.search_registered_models(f"name = '{MODEL}'"):
        client.create_registered_model(MODEL)
    source = f"{run.info.artifact_uri}/{MODEL}"
    tags = asdict(origin)
    return str(client.create_model_version(MODEL, source, run.info.run_id, tags).version)


def challenge(client: Any, version: str) -> None:
    """Let a version be the challenger."""
    client.set_registered_model_alias(MODEL, CHALLENGER, version)


def promote(client: Any) -> None:
    """Let the challenger be the champion, and the champion, if there is one, the previous one."""
    now = aliases(client)
    if now.get(CHAMPION) != now[CHALLENGER]:  # else it was killed before the last step
        if CHAMPION in now:
            client.set_registered_model_alias(MODEL, PREVIOUS, now[CHAMPION])
        client.set_registered_model_alias(MODEL, CHAMPION, now[CHALLENGER])
    client.delete_registered_model_alias(MODEL, CHALLENGER)


def roll_back(client: Any) -> None:
    """Let the previous version be the champion again."""
    client.set_registered_model_alias(MODEL, CHAMPION, aliases(client)[PREVIOUS])
    client.delete_registered_model_alias(MODEL, PREVIOUS)


def write_training_photos(folder: Path, hashes: Sequence[str]) -> None:
    """Write the perceptual hashes, 32 hex digits each, into a model in MLflow's form."""
    raw = np.frombuffer(b"".join(map(bytes.fromhex, hashes)), np.uint8)
    np.save(folder / TRAINING_PHOTOS, raw.reshape(len(hashes), -1))


def read_training_photos(version: str) -> list[str]:
    """Return the perceptual hashes of the photos that a version has seen."""
    from mlflow.artifacts import download_artifacts

    path = download_artifacts(f"{address(version)}/{TRAINING_PHOTOS}")
    return [row.tobytes().hex() for row in np.load(path)]
