"""A trained model as files that run without PyTorch: for OpenVINO and, whole, as ONNX."""

import io
import logging
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
from pandacat.models import pretrained, tiling
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

_LARGE = 1e4
"""Of log-odds: more than a network is ever sure of."""


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
        self.network, self.about = network, model.description
        self.crops = crop_count(self.about.crops)
        class_count, label_classes = network.head.out_features, self.about.label_classes
        groups = label_groups(label_classes, class_count)
        self.labels = len(groups)
        animals = tiling.other_animals(label_classes)
        rest = sorted({*range(class_count)} - {*animals})
        for name, rows in enumerate((*groups, animals, rest)):
            self.register_buffer(f"rows_{name}", torch.tensor(rows))
        bank = model.tensors.get(BANK)
        self.bank: Tensor | None
        self.register_buffer("bank", None if bank is None else torch.tensor(bank).float())

    def forward(self, images: Tensor) -> Tensor:
        """Return `(N, K + 1)` for the crops of N photos, `(N, V, S, S, 3)` or `(N, V + T, …)`."""
        count, crops = images.shape[:2]
        features = self.network.backbone(images.flatten(0, 1))
        logs = torch.log_softmax(self.network.head(features), dim=1)
        groups = [self.get_buffer(f"rows_{name}") for name in range(self.labels + 2)]
        sums = torch.stack([logs.index_select(1, own).logsumexp(dim=1) for own in groups], dim=1)
        *labels, animals, rest = sums.reshape(count, crops, -1).unbind(dim=2)
        odds = torch.stack([label - labels[-1] for label in labels], dim=2)
        added = self._score(features, self.about.open_set).reshape(count, crops)
        is_crop = torch.arange(crops) < self.crops

        pooled = _log_mean(odds, is_crop)
        other = pooled[:, -1:]
        logits = pooled[:, :-1] + added.where(is_crop, -_LARGE).amax(dim=1, keepdim=True)
        if self.about.tiling:
            animal_share = (animals.exp() * is_crop).sum(dim=1, keepdim=True) / self.crops
            is_other = logits.amax(dim=1, keepdim=True) < other
            doubtful = is_other & (animal_share < self.about.tiling.other_animals)
            added = self._score(features, self.about.tiling.score).reshape(count, crops, 1)
            rivals = (animals - rest).where(~is_crop, -_LARGE).amax(dim=1, keepdim=True)
            found = _log_mean(odds[..., :-1] + added, ~is_crop) - rivals.relu()
            logits = torch.where(doubtful, torch.maximum(logits, found), logits)
        return torch.softmax(torch.cat([logits, other], dim=1) / self.about.temperature, dim=1)

    def _score(self, features: Tensor, score: OpenSetScore | None) -> Tensor:
        """Return what is added to the log-odds of each crop, `(N · V,)`."""
        if score is None:
            return features.new_zeros(len(features))
        if not score.scale or self.bank is None:
            return features.new_full((len(features),), score.offset)
        cosines = normalize(features, dim=1) @ self.bank.T
        rank = min(score.neighbors, len(self.bank))
        return score.scale * cosines.topk(rank, dim=1).values[:, -1] + score.offset


def _log_mean(odds: Tensor, chosen: Tensor) -> Tensor:
    """Return `(N, K)`: the log of the mean odds over the chosen `(V,)` of crops `(N, V, K)`."""
    sums = odds.where(chosen[:, None], -_LARGE).logsumexp(dim=1)
    return sums - chosen.sum().clamp(min=1).log()


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
    """Write a model as one ONNX file, from `crops` `(N, V, S, S, 3) uint8` to `probabilities`.

    There may be any number of photos, each with its V crops or, if the model uses tiles, V + T.
    """
    about = model.description
    crops, side = crop_count(about.crops), about.input_px
    network = ProbabilityNetwork(_network(model), model)
    tiles = 2 if about.tiling else 0
    example = torch.zeros((2, crops + tiles, side, side, 3), dtype=torch.uint8)
    dynamic = {0: torch.export.Dim("photos", min=1)}
    if tiles:
        most = crops + crop_count(tiling.SCHEME)
        dynamic[1] = torch.export.Dim("crops", min=crops, max=most)
    with torch.no_grad():
        program = torch.onnx.export(
            network.eval(),
            (example,),
            input_names=["crops"],
            output_names=["probabilities"],
            dynamic_shapes=(dynamic,),
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
