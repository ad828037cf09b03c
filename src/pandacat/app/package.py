"""`pandacat package`: an exported model in MLflow's form."""

import argparse

from pandacat.app.output import output_folder
from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError
from pandacat.core.files import atomic_write
from pandacat.models.pyfunc import save_mlflow_model
from pandacat.models.saved import load_model


def run(options: argparse.Namespace) -> int:
    """Write the model; return 0."""
    folder = output_folder("FOLDER", options.folder)
    if not load_model(options.model).exported:
        raise PandacatError(
            f"--model {options.model} was not exported: name the folder of one that was, such as "
            "models/exported, which `dvc repro` writes."
        )
    golden = sorted((options.model / "golden").glob("*.jpg"))
    if not golden:
        raise PandacatError(f"{options.model}/golden has no photo: `dvc repro export` writes it.")
    with atomic_write(folder) as temporary:
        save_mlflow_model(temporary, options.model, golden[0])
    print_status(
        f"Wrote {options.folder}. `mlflow models serve --model-uri {options.folder} --env-manager "
        "local` serves it."
    )
    return 0
