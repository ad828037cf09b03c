"""What libraries want of the environment, to be called before they are imported."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from pandacat.core.paths import project_root

SILENT_MLFLOW = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


def prepare_mlflow(settings: Mapping[str, str] = SILENT_MLFLOW) -> None:
    """Set what MLflow reads, unless it is set, and a home folder, without which it fails."""
    os.environ.update({**settings, **os.environ})
    ensure_home()


def ensure_home() -> None:
    """Give a user without a home folder one in the project.

    Libraries would fail, or store what they download in a folder called `~`.
    """
    if not Path(os.path.expanduser("~")).is_absolute():  # noqa: PTH111 raises where there is none
        os.environ["HOME"] = str(project_root() / ".pandacat")


def silence_matplotlib() -> None:
    """Keep Matplotlib from saying that it looks for fonts, which it does without a cache."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
