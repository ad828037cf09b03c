"""Saved models: a folder with `weights.safetensors` and `model.json`, which says what they are."""

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as packed

from pandacat.config.fields import CropScheme, Precision
from pandacat.config.photos import ImageSpec
from pandacat.core.errors import MODEL_AGAIN, PandacatError
from pandacat.core.files import atomic_write, read_json, sha256_of, write_json

WEIGHTS, DESCRIPTION = "weights.safetensors", "model.json"
CARD = "card.json"
BACKBONE = "backbone.xml"
"""Of exported models, for OpenVINO; its weights, `backbone.bin`, lie beside it."""
FORMAT = 6

_OTHER_TYPES = (TypeError, AttributeError, KeyError)
"""What `load_file` raises of numbers that numpy has no type for."""

Threshold = Annotated[float, Field(ge=0, le=1)]


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ConformalThresholds:
    """Which labels a prediction set contains; see `metrics.conformal`."""

    coverage: Annotated[float, Field(gt=0, lt=1)]
    """Share of a label's photos whose set contains it, at least, among photos like the validation
    split."""
    confidence: Annotated[float, Field(gt=0, lt=1)]
    """With which that is so."""
    thresholds: tuple[Threshold, ...]
    """For each label, `other` among them, the probability from which it is in the set."""


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class OpenSetScore:
    """What is added to a photo's log-odds of all labels against `other`; see `models.open_set`."""

    neighbors: Annotated[int, Field(ge=0)]
    """The similarity is that to the training photo of this rank; 0: none is used."""
    scale: Annotated[float, Field(ge=0)]
    """By which the similarity is multiplied."""
    offset: float
    """Added besides."""


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Tiling:
    """When photos are looked at again, in tiles, and what that adds; see `models.tiling`."""

    other_animals: Annotated[float, Field(ge=0, le=1)]
    """Where other animals are as probable as this in the first look, there is no second."""
    score: OpenSetScore
    """Of tiles."""


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Description:
    """What a model is: all that its weights don't say."""

    kind: Literal["scratch", "pretrained"]
    """The project's own network, or one that was trained on ImageNet (fine-tuned or not)."""
    backbone: str
    """For `pretrained`: its name, as in `params.yaml`; for `scratch`: `scratch`."""
    labels: Annotated[tuple[str, ...], Field(min_length=2)]
    """In the order of all probabilities; of models for photos `other` is the last."""
    label_classes: tuple[tuple[int, ...], ...]
    """Of `pretrained`: for each label but `other`, the rows of the head that mean it."""
    crops: CropScheme
    input_px: Annotated[int, Field(ge=8, le=2048)]
    temperature: Annotated[float, Field(ge=1e-3, le=1e3)]
    """By which logits are divided, so that probabilities are calibrated."""
    image: ImageSpec | None
    """How bytes become pixels; `None` of models that are not for photos."""
    trained_on: Annotated[str, Field(pattern="^([0-9a-f]{64}|ImageNet)$")]
    """SHA-256 that identifies the training photos; `ImageNet` where it was not trained here."""
    title: str
    """Of the training data, for a reader."""
    architecture: dict[str, Any]
    """For `scratch`: the shape of the network."""
    conformal: ConformalThresholds | None = None
    """`None` where none was calibrated."""
    open_set: OpenSetScore | None = None
    """`None` where the log-odds are those of the network alone."""
    tiling: Tiling | None = None
    """`None` where photos are looked at once."""
    drawn: bool = False
    """Whether the training pictures were drawn by a program and are not photographs."""
    precision: Precision = "float32"
    """In which the backbone calculates; temperature and thresholds hold for it."""
    format: int = FORMAT

    def __post_init__(self) -> None:
        """Refuse thresholds that are not one for each label."""
        if self.conformal and len(self.conformal.thresholds) != len(self.labels):
            raise ValueError("conformal.thresholds needs one threshold for each label")


@checked_dataclass(frozen=True)
class _Versioned:
    """What every format's description has."""

    format: int = FORMAT


@dataclass(frozen=True)
class SavedModel:
    """A model as it lies on disk."""

    description: Description
    tensors: dict[str, np.ndarray]
    sha256: str = ""
    """Of the weights file, or of the hashes of several; empty before the model is saved."""
    exported: Path | None = None
    """The backbone of an exported model, for OpenVINO; `tensors` then has only its head."""
    card: dict[str, Any] | None = None
    """Of an exported model: how well it does, as `report.card` writes it."""

    def described(self, **changes: Any) -> "SavedModel":
        """Return the model with other values in its description."""
        return replace(self, description=replace(self.description, **changes))

    def with_tensors(self, tensors: dict[str, np.ndarray]) -> "SavedModel":
        """Return the model with some of its tensors replaced."""
        return replace(self, tensors=self.tensors | tensors, sha256="")


def save_model(folder: Path, model: SavedModel) -> None:
    """Write a model, atomically."""
    with atomic_write(folder) as aside:
        aside.mkdir()
        ordered = {key: np.asarray(model.tensors[key], order="C") for key in sorted(model.tensors)}
        (aside / WEIGHTS).write_bytes(packed(ordered))
        write_json(aside / DESCRIPTION, asdict(model.description))


def save_description(folder: Path, model: SavedModel) -> None:
    """Write the description of a model whose weights are in `folder` already."""
    write_json(folder / DESCRIPTION, asdict(model.description))


def load_model(folder: Path) -> SavedModel:
    """Return the model in `folder`.

    Raises:
        PandacatError: there is none, or it is damaged or not of this project's format; the text
            says which.
        OSError: its files may not be read.
    """
    weights, description = folder / WEIGHTS, folder / DESCRIPTION
    exported = folder / BACKBONE if (folder / BACKBONE).is_file() else None
    numbers = [weights, *([exported.with_suffix(".bin")] if exported else [])]
    missing = [path.name for path in (*numbers, description) if not path.is_file()]
    if {WEIGHTS, DESCRIPTION} <= {*missing}:
        raise PandacatError(
            f"No model in {folder}: it should hold {WEIGHTS} and {DESCRIPTION}. Train one with "
            "`dvc repro`, or use `--model pretrained`, which needs no training."
        )
    if missing:
        raise PandacatError(f"The model in {folder} lacks {missing[0]}. {MODEL_AGAIN}")
    try:
        text = description.read_bytes()
        if (written := TypeAdapter(_Versioned).validate_json(text).format) != FORMAT:
            raise PandacatError(
                f"The model in {folder} has format {written}, this program reads {FORMAT}: train "
                "it again with `dvc repro`."
            )
        about = TypeAdapter(Description).validate_json(text)
        hashes = [*map(sha256_of, numbers)]
        tensors = load_file(weights)
        if other := {str(each.dtype) for each in tensors.values() if each.dtype.kind not in "fiu"}:
            raise ValueError(f"its numbers are of type {', '.join(sorted(other))}")
    except (ValidationError, SafetensorError, OSError, ValueError, *_OTHER_TYPES) as error:
        if isinstance(error, OSError) and error.errno:  # the file can't be read at all
            raise
        raise PandacatError(
            f"The model in {folder} can't be used: {_reason(error)}. {MODEL_AGAIN}"
        ) from None
    for name, values in tensors.items():
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            raise PandacatError(
                f"The model in {folder} is damaged: {name} is not finite. {MODEL_AGAIN}"
            )
    sha256 = hashlib.sha256("".join(hashes).encode()).hexdigest() if exported else hashes[0]
    card = read_json(folder / CARD) if (folder / CARD).is_file() else None
    return SavedModel(about, tensors, sha256, exported, card)


def _reason(error: Exception) -> str:
    text = str(error)
    if isinstance(error, ValidationError):
        first, *others = error.errors()
        key = ".".join(map(str, first["loc"])) or "all of it"
        text = f"{DESCRIPTION}: {key}: {first['msg']}{f', and {len(others)} more' * bool(others)}"
    return " ".join(text.split())[:300]
