"""Where each artifact lies, relative to the project's top folder; `dvc.yaml` says the same."""

import os
from contextlib import suppress
from pathlib import Path

import platformdirs

PARAMS = Path("params.yaml")
DEFAULT_PARAMS = Path(__file__).parents[1] / "config/default_params.yaml"
"""What the package brings along: a copy of the project's `params.yaml`, by `make deps`."""
PIPELINE = Path("dvc.yaml")

MNIST = Path("data/mnist")
ARCHIVE = Path("data/raw/photos.zip")
PROVENANCE = Path("data/raw/provenance.json")
EXCLUSIONS = Path("data/exclusions.csv")
PHOTOS = Path("data/photos")
FEATURES = Path("data/features")
PREDICTIONS = Path("data/predictions")
MODELS = Path("models")
EXPORTED = Path("models/exported")
EXAMPLES = Path("examples")
LICENSE = Path("LICENSE")
METRICS = Path("metrics")
PLOTS = Path("plots")
FIGURES = Path("plots/figures")
TABLES = Path("plots/tables")
REPORTS = Path("reports")

CHECKPOINTS = Path(".pandacat/checkpoints")
"""Outside all stages' outputs, which DVC deletes before a stage runs."""

HEADLINE = METRICS / "headline.json"
SUMMARY = METRICS / "summary.json"
TEST_PREDICTIONS = METRICS / "test_predictions.csv"


def project_root() -> Path:
    """Return the project, which is the folder of `dvc.yaml`; for a copy of it, the original's.

    The copy is that of a queued experiment. What DVC calls the root is the folder of `.dvc`, which
    lies above the project where a larger repository holds it.
    """
    folders = [Path.cwd(), *Path.cwd().parents]
    project = next((folder for folder in folders if (folder / PIPELINE).exists()), folders[0])
    original = os.environ.get("DVC_ROOT")
    if not original:
        return project
    own = next((folder for folder in folders if (folder / ".dvc").is_dir()), project)
    return Path(original) / project.relative_to(own)


def in_project(path: Path) -> Path:
    """Return, as seen from the current folder, a path that counts from the project."""
    root = project_root()
    return path if root == Path.cwd() else root / path


def user_cache() -> Path | None:
    """Return the user's folder for caches; `None` for a user without one, as in a container."""
    with suppress(OSError, RuntimeError):
        folder = platformdirs.user_cache_path("pandacat")  # raises where there is no home folder
        folder.exists()  # raises where this user may not look
        return folder
    return None
