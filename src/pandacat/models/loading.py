"""Load a model by its name; the pretrained one needs no training."""

import hashlib
import json
from contextlib import chdir, suppress
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pandacat.config.loading import default_config
from pandacat.config.schema import Config
from pandacat.core.errors import PandacatError
from pandacat.core.files import read_json
from pandacat.core.libraries import prepare_mlflow
from pandacat.core.paths import EXPORTED, project_root, user_cache
from pandacat.labels import OTHER
from pandacat.models.classifier import Classifier
from pandacat.models.engine import EngineName
from pandacat.models.saved import (
    CARD,
    DESCRIPTION,
    FORMAT,
    Description,
    SavedModel,
    load_model,
    save_model,
)

PRETRAINED = "pretrained"
MLFLOW_SCHEMES = ("models:/", "runs:/", "mlflow-artifacts:/")


def load_classifier(name: str, *, models: Path, engine: EngineName = "auto") -> Classifier:
    """Return the model called `name` in the folder `models`, or in the folder `name` itself.

    `pretrained` needs no training: where it is not in `models`, it is built from the installed
    weights and cached in the user's cache folder. A name such as `models:/pandacat@champion` or
    `runs:/ID/exported` is MLflow's address of a model, which is downloaded.

    Raises:
        PandacatError: there is no such model, or it can't be used.
    """
    if not name:
        raise PandacatError("--model is empty: name a model, or leave it out.")
    if name.startswith(MLFLOW_SCHEMES):
        return _downloaded(name, engine)
    if (models / name).is_dir():
        model = load_model(models / name)
        return Classifier(replace(model, card=_card(model, models)), engine).compiled()
    if name == PRETRAINED:
        return Classifier(_default_pretrained(), engine).compiled()
    if Path(name).is_dir():
        return Classifier(load_model(Path(name)), engine).compiled()
    names = {PRETRAINED}
    for path in models.glob("*"):
        with suppress(PandacatError, OSError):
            if load_model(path).description.labels[-1] == OTHER:
                names.add(path.name)
    raise PandacatError(
        f"There is no model called {name} in {models.absolute()}. There is: "
        f"{', '.join(sorted(names))}. --model pretrained needs no training; in the project's "
        "folder, `dvc repro` trains others."
    )


def _card(model: SavedModel, models: Path) -> dict[str, Any] | None:
    """Return the card of a model: its own, or that of the exported model made from it."""
    if model.card is None:
        with suppress(PandacatError, OSError, ValueError):
            card: dict[str, Any] = read_json(models / EXPORTED.name / CARD)
            return card if card.get("exported_from") == model.sha256 else None
    return model.card


def _downloaded(uri: str, engine: EngineName) -> Classifier:
    """Return the model at an address of MLflow's, ready to run."""
    prepare_mlflow()
    try:
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError:
        raise PandacatError(
            f"--model {uri} needs MLflow: `pip install mlflow`, or name the folder of a model."
        ) from None
    with TemporaryDirectory() as folder, chdir(project_root()):  # where MLflow's database is
        try:
            found = Path(download_artifacts(uri, dst_path=folder))
        except (MlflowException, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise PandacatError(
                f"--model {uri}: MLflow does not give it ({reason}). Check the address, and "
                "MLFLOW_TRACKING_URI."
            ) from None
        described = sorted(found.rglob(DESCRIPTION), key=lambda path: len(path.parts))
        if not described:
            raise PandacatError(f"--model {uri} is no model of pandacat: it has no {DESCRIPTION}.")
        return Classifier(load_model(described[0].parent), engine).compiled()


def _default_pretrained() -> SavedModel:
    """Return the pretrained network of the default parameters, from the cache where it is there."""
    config = default_config()
    spec = asdict(config.preprocess.image_spec)
    network = [config.predict_pretrained.backbone, config.predict_pretrained.precision]
    parts = [FORMAT, *network, config.label_names, config.label_classes, spec]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
    cache = user_cache()
    if not cache:
        return imagenet_model(config)
    folder = cache / f"pretrained-{key}"
    with suppress(PandacatError, OSError):
        return load_model(folder)
    model = imagenet_model(config)
    with suppress(OSError):  # without a cache the next start builds it again
        save_model(folder, model)
    return model


def imagenet_model(config: Config) -> SavedModel:
    """Return the network as it was trained on ImageNet: one center crop, not calibrated.

    A label without an ImageNet class has probability 0 until `add_label_rows` adds its row.
    """
    from pandacat.models import pretrained

    network = pretrained.load(config.predict_pretrained.backbone)
    description = Description(
        kind="pretrained",
        backbone=config.predict_pretrained.backbone,
        labels=config.label_names,
        label_classes=config.label_classes,
        crops="center",
        input_px=network.input_px,
        temperature=1.0,
        image=config.preprocess.image_spec,
        trained_on="ImageNet",
        title="ImageNet (ILSVRC-2012)",
        architecture={},
        precision=config.predict_pretrained.precision,
    )
    return SavedModel(description, network.tensors())
