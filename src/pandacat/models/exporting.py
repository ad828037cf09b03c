"""A trained model as files that run without PyTorch: for OpenVINO and, whole, as ONNX."""

import io
import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pandacat.core.console import print_status
from pandacat.core.files import write_json, write_text
from pandacat.data.crops import crop_count
from pandacat.labels import label_groups
from pandacat.models import pretrained
from pandacat.models.classifier import Classifier, backbone_key
from pandacat.models.engine import cached_conversion
from pandacat.models.open_set import BANK
from pandacat.models.openvino_engine import (
    convert_backbone,
    openvino_core,
    save_backbone,
)
from pandacat.models.pretrained import PretrainedNetwork
from pandacat.models.saved import BACKBONE, OpenSetScore, SavedModel, load_model, save_model


@contextmanager
def silence() -> Iterator[None]:
    """Keep off the terminal what libraries print and log, in all threads."""
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


class ProbabilityNetwork(nn.Module):
    """From the crops of photos to their calibrated probabilities, as `Classifier` computes them."""

    def __init__(self, network: PretrainedNetwork, model: SavedModel) -> None:
        """Take a network and its model, which says how its features become probabilities."""
        super().__init__()
        about = model.description
        self.network, self.temperature, self.open_set = network, about.temperature, about.open_set
        self.crops = crop_count(about.crops)
        groups = label_groups(about.label_classes, network.head.out_features)
        self.labels = len(groups)
        for label, rows in enumerate(groups):
            self.register_buffer(f"rows_{label}", torch.tensor(rows))
        bank = model.tensors.get(BANK)
        self.bank: Tensor | None
        self.register_buffer("bank", None if bank is None else torch.tensor(bank).float())

    def forward(self, images: Tensor) -> Tensor:
        """Return `(N, K + 1)` for the crops `(N · V, S, S, 3) uint8` of N photos in turn."""
        features = self.network.backbone(images)
        logs = torch.log_softmax(self.network.head(features), dim=1)
        rows = [self.get_buffer(f"rows_{label}") for label in range(self.labels)]
        by_label = torch.stack([logs.index_select(1, own).logsumexp(dim=1) for own in rows], dim=1)
        odds = (by_label - by_label[:, -1:]).reshape(-1, self.crops, self.labels)
        pooled = odds.logsumexp(dim=1) - math.log(self.crops)
        if self.open_set:
            score = self.open_set.offset + self._neighbor_score(features, self.open_set)
            pooled = torch.cat([pooled[:, :-1] + score, pooled[:, -1:]], dim=1)
        return torch.softmax(pooled / self.temperature, dim=1)

    def _neighbor_score(self, features: Tensor, score: OpenSetScore) -> Tensor | float:
        """Return what the neighbors add to the log-odds of each photo, `(N, 1)`."""
        if not score.scale or self.bank is None:
            return 0.0
        cosines = normalize(features, dim=1) @ self.bank.T
        rank = min(score.neighbors, len(self.bank))
        nearest = cosines.topk(rank, dim=1).values[:, -1].reshape(-1, self.crops)
        return score.scale * nearest.amax(dim=1, keepdim=True)


def export_openvino(model: SavedModel, folder: Path) -> SavedModel:
    """Write a model to a folder, its backbone for OpenVINO; return it as loaded from there.

    The conversion is that of the user's cache, if it is there: it has the same bytes.
    """
    tensors = model.tensors.items()
    others = {name: values for name, values in tensors if not name.startswith("backbone.")}
    save_model(folder, replace(model, tensors=others))
    save_backbone(_converted(model), folder / BACKBONE)
    return load_model(folder)


def _converted(model: SavedModel) -> Any:
    if cached := cached_conversion(backbone_key(model)):
        with suppress(RuntimeError):  # a damaged file
            return openvino_core().read_model(cached)
    return convert_backbone(_network(model).backbone, model.description.input_px)


def export_onnx(model: SavedModel, path: Path) -> None:
    """Write a model as one ONNX file, from `crops` `(N · V, S, S, 3) uint8` to `probabilities`.

    The crops of a photo come one after another; there may be any number of photos.
    """
    about = model.description
    crops, side = crop_count(about.crops), about.input_px
    network = ProbabilityNetwork(_network(model), model)
    example = torch.zeros((2 * crops, side, side, 3), dtype=torch.uint8)
    photos = torch.export.Dim("photos", min=1)
    with torch.no_grad():
        program = torch.onnx.export(
            network.eval(),
            (example,),
            input_names=["crops"],
            output_names=["probabilities"],
            dynamic_shapes=({0: crops * photos},),
            dynamo=True,
            verbose=False,
        )
    assert program
    program.model.metadata_props.clear()
    program.model.graph.metadata_props.clear()
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # where in which file of which machine it was computed
    program.save(path)


def quantize(exported: SavedModel, folder: Path, images: Sequence[np.ndarray]) -> SavedModel:
    """Write an exported model with 8-bit integers as weights and activations to a folder.

    `images`, each `(1, S, S, 3) uint8`, show which range of values each layer has. The temperature
    and the conformal thresholds stay; they have to be fitted again.
    """
    import nncf

    assert exported.exported
    backbone = openvino_core().read_model(exported.exported)
    print_status(f"Converting the backbone to 8-bit integers, by {len(images)} photos.")
    converted = nncf.quantize(backbone, nncf.Dataset(images), subset_size=len(images))
    save_model(folder, replace(exported, exported=None))
    save_backbone(converted, folder / BACKBONE)
    return load_model(folder)


def write_companions(folder: Path, classifier: Classifier, golden: Mapping[str, bytes]) -> None:
    """Write what helps to use an exported model: a sample program, and photos to check it with.

    `golden` has the bytes of files by their path; beside them is what the classifier predicts for
    the photos among them.
    """
    for name in ("README.md", "sample.py"):
        text = files("pandacat.models").joinpath("export_files", name).read_text(encoding="utf-8")
        write_text(folder / name, text)
    place = folder / "golden"
    place.mkdir()
    for path, data in golden.items():
        (place / Path(path).name).write_bytes(data)
    photos = sorted(place.glob("*.jpg"))
    expected = {photo.name: classifier.predict(photo).probabilities for photo in photos}
    write_json(place / "probabilities.json", expected)


def _network(model: SavedModel) -> PretrainedNetwork:
    return pretrained.restore(model.description.backbone, model.tensors)
