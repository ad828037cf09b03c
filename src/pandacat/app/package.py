"""`pandacat package`: an exported model in MLflow's form."""

import argparse
from pathlib import Path

from pandacat.app.output import output_folder
from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError
from pandacat.core.files import atomic_write
from pandacat.core.names import shell_word
from pandacat.core.paths import MODELS, in_project
from pandacat.models.pyfunc import save_mlflow_model
from pandacat.models.saved import load_model

UNREAD = {"#", "%"}
"""In the path of a folder, from which MLflow then loads no model."""


def run(options: argparse.Namespace) -> int:
    """Write the model; return 0."""
    folder = output_folder("FOLDER", options.folder)
    if UNREAD & {*str(options.folder)}:
        raise PandacatError(
            f"FOLDER {options.folder}: MLflow takes # and % in a path for more than letters; "
            "choose another place."
        )
    named = in_project(MODELS) / options.model
    model = named if named.is_dir() and not options.model.is_dir() else options.model
    if not model.is_dir() or not load_model(model).exported:
        raise PandacatError(
            f"--model {options.model} was not exported: name the folder of one that was, such as "
            "models/exported, which `dvc repro` writes."
        )
    with atomic_write(folder) as temporary:
        save_mlflow_model(temporary, model, golden_photo(model))
    uri = shell_word(str(options.folder))
    print_status(
        f"Wrote {options.folder}. `mlflow models serve --model-uri {uri} --env-manager local` "
        "serves it."
    )
    return 0


def golden_photo(model: Path) -> Path:
    """Return a photo that was exported with a model, or with the one in whose folder it lies.

    Raises:
        PandacatError: there is none.
    """
    golden = sorted([*model.glob("golden/*.jpg"), *model.parent.glob("golden/*.jpg")])
    if not golden:
        raise PandacatError(f"{model}/golden has no photo: `dvc repro export` writes it.")
    return golden[0]
