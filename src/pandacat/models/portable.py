"""A model on its way to other processes and machines, which need not have its files."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from pandacat.core.errors import PandacatError
from pandacat.models.classifier import Classifier
from pandacat.models.engine import cached_conversion
from pandacat.models.openvino_engine import compute_in_one_thread
from pandacat.models.saved import BACKBONE, SavedModel, load_model, save_model


def portable(classifier: Classifier) -> Callable[[], Classifier]:
    """Return what loads a model on the CPU of another machine; it can be pickled.

    There it predicts the same bits, and computes in one thread. The backbone travels as OpenVINO
    has it, if that is on disk, so that neither PyTorch nor time is needed to convert it.

    Raises:
        PandacatError: the model was downloaded, and its files are gone.
    """
    model = classifier.model
    if model.exported and not model.exported.exists():
        raise PandacatError(
            "A model at an address of MLflow's can't be sent to other machines: "
            "`mlflow artifacts download` gives its folder, which --model takes."
        )
    backbone = model.exported or cached_conversion(classifier.backbone_key)
    if not backbone:
        return partial(_load, model, {})
    head = {name: each for name, each in model.tensors.items() if not name.startswith("backbone.")}
    files = [
        (BACKBONE, backbone),
        (Path(BACKBONE).with_suffix(".bin"), backbone.with_suffix(".bin")),
    ]
    contents = {str(name): path.read_bytes() for name, path in files}
    return partial(_load, replace(model, tensors=head, exported=None), contents)


def _load(model: SavedModel, backbone: dict[str, bytes]) -> Classifier:
    """Return a model, ready to run, whose backbone has these files."""
    compute_in_one_thread()
    with TemporaryDirectory() as folder:
        place = Path(folder, "model")
        save_model(place, model)
        for name, content in backbone.items():
            (place / name).write_bytes(content)
        return Classifier(load_model(place), "openvino").compiled()
