"""A model from a stranger is one of this project's format, or is refused with a reason."""

import json
import os
import pickle
import shutil
import stat
import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import EXAMPLES
from PIL import Image
from safetensors.numpy import load_file, save_file

from pandacat.app.cli import main
from pandacat.core.errors import PandacatError
from pandacat.models.classifier import Classifier
from pandacat.models.loading import load_classifier
from pandacat.models.saved import DESCRIPTION, WEIGHTS, load_model, save_model


@pytest.fixture
def model(workspace: Path, tmp_path: Path) -> Path:
    """A copy of our own small network, to be spoilt."""
    return Path(shutil.copytree(workspace / "models/scratch-photos", tmp_path / "model"))


def describe(model: Path, **changes: object) -> None:
    about = json.loads((model / DESCRIPTION).read_text())
    (model / DESCRIPTION).write_text(json.dumps(about | changes))


def refused(model: Path, reason: str) -> None:
    with pytest.raises(PandacatError, match=reason):
        Classifier(load_model(model), "torch").compiled()


def test_the_command_refuses_with_a_sentence(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / WEIGHTS).write_bytes(pickle.dumps({"backbone": [1.0]}))
    assert main(["predict", str(EXAMPLES / "cat/kitten.jpg"), "--model", str(model)]) == 1
    said = capsys.readouterr().err
    assert "can't be used" in said
    assert "Traceback" not in said


def test_code_in_a_pickle_does_not_run(model: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(tmp_path / "sprung"),))

    for name in (WEIGHTS, DESCRIPTION, "weights.pt", "model.pkl"):
        (model / name).write_bytes(pickle.dumps(Trap()))
    refused(model, "can't be used")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused(model: Path, value: float) -> None:
    tensors = load_file(model / WEIGHTS)
    tensors["backbone.head.weight"][0, 0] = value
    save_file(tensors, model / WEIGHTS)
    refused(model, "is not finite")


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "U3"])
def test_weights_of_a_type_that_is_not_ours_are_refused(model: Path, kind: str) -> None:
    header = json.dumps({"a": {"dtype": kind, "shape": [2], "data_offsets": [0, 4]}}).encode()
    weights = struct.pack("<Q", len(header)) + header + bytes(4)
    (model / WEIGHTS).write_bytes(weights)
    refused(model, "can't be used")


def test_weights_whose_logits_are_no_numbers_are_refused(model: Path) -> None:
    tensors = load_file(model / WEIGHTS)
    tensors["backbone.head.weight"][:] = 3e38
    tensors["backbone.head.bias"][:] = [3e38, -3e38, 3e38]
    save_file(tensors, model / WEIGHTS)
    refused(model, "gives no probabilities")


@pytest.mark.parametrize("change", ["missing", "more", "other shape", "whole numbers"])
def test_weights_that_are_not_all_those_of_the_network_are_refused(
    model: Path, change: str
) -> None:
    tensors = load_file(model / WEIGHTS)
    match change:
        case "missing":
            del tensors["backbone.head.bias"]
        case "more":
            tensors["backbone.secret"] = np.zeros(3, np.float32)
        case "other shape":
            tensors["backbone.head.weight"] = tensors["backbone.head.weight"].T.copy()
        case "whole numbers":
            tensors["backbone.head.weight"] = tensors["backbone.head.weight"].astype(np.int64)
    save_file(tensors, model / WEIGHTS)
    refused(model, "not the weights|do not fit")


CONFORMAL = {"coverage": 0.95, "confidence": 0.9, "thresholds": [0.5, 0.5, 0.5]}


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ["panda", "cat", "fox", "other"]},
        {"labels": ["panda", "cat"]},
        {"input_px": 10**7},
        {"image": {"image_px": 0, "jpeg_quality": 92, "max_megapixels": 178}},
        {"temperature": 0.0},
        {"temperature": -1.0},
        {"temperature": 1e-320},
        {"trained_on": ""},
        {"conformal": CONFORMAL | {"coverage": 5}},
        {"conformal": CONFORMAL | {"confidence": 0}},
        {"conformal": CONFORMAL | {"thresholds": [np.nan, 0.5, 0.5]}},
        {"conformal": CONFORMAL | {"thresholds": [-1, 0.5, 0.5]}},
        {"conformal": CONFORMAL | {"thresholds": [0.5, 0.5]}},
        {"crops": "everywhere"},
        {"kind": "pickle"},
        {"format": 0},
        {"architecture": {}},
        {"program": "import os"},
    ],
)
def test_a_description_that_makes_no_sense_is_refused(
    model: Path, changes: dict[str, object]
) -> None:
    describe(model, **changes)
    refused(model, ".")


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": [10**6] * 4},
        {"depths": [10**9, 1, 1, 1]},
        {"channels": []},
        {"classes": 10**12},
    ],
)
def test_an_architecture_that_fills_the_memory_is_refused_at_once(
    model: Path, changes: dict[str, object]
) -> None:
    architecture = json.loads((model / DESCRIPTION).read_text())["architecture"]
    describe(model, architecture=architecture | changes)
    refused(model, "not the weights")


@pytest.mark.parametrize("name", ["hf-hub:stranger/model", "local-dir:/tmp/model", "../model"])
def test_a_backbone_is_a_name_and_no_address(workspace: Path, tmp_path: Path, name: str) -> None:
    model = Path(shutil.copytree(workspace / "models/pretrained", tmp_path / "model"))
    describe(model, backbone=f"timm/{name}")
    refused(model, "is none of")


def test_a_header_that_claims_terabytes_is_refused(model: Path) -> None:
    header = json.dumps(
        {"backbone.head.bias": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}
    ).encode()
    (model / WEIGHTS).write_bytes(struct.pack("<Q", len(header)) + header)
    refused(model, "can't be used")


def test_a_model_that_lies_about_its_backbone_does_not_change_what_another_predicts(
    workspace: Path, tmp_path: Path
) -> None:
    """The fast engine caches backbones by weights and shape; a description may claim another."""
    honest = load_classifier("pretrained", models=workspace / "models")
    image = Image.open(EXAMPLES / "cat/kitten.jpg").convert("RGB")
    crops = honest.cut(image)
    before = honest.features(crops)
    liar = Path(shutil.copytree(workspace / "models/pretrained", tmp_path / "liar"))
    describe(liar, backbone="timm/tf_efficientnet_lite0", input_px=192)
    other = Classifier(load_model(liar), "torch")
    assert other.backbone_key != honest.backbone_key
    assert not np.array_equal(other.features(other.cut(image)), before)
    again = load_classifier("pretrained", models=workspace / "models")
    np.testing.assert_array_equal(again.features(crops), before)


def test_the_models_on_offer_are_those_that_know_animals(workspace: Path, tmp_path: Path) -> None:
    for name in ("scratch-photos", "scratch-mnist", "damaged"):
        shutil.copytree(workspace / "models/scratch-photos", tmp_path / name)
    describe(tmp_path / "scratch-mnist", labels=list("0123456789"))
    (tmp_path / "damaged" / WEIGHTS).write_bytes(b"")
    with pytest.raises(PandacatError, match=r"There is: pretrained, scratch-photos\."):
        load_classifier("nobody", models=tmp_path)


def test_a_saved_model_has_the_permissions_of_the_umask(model: Path, tmp_path: Path) -> None:
    whole = load_model(model)
    before = os.umask(0o022)
    try:
        save_model(tmp_path / "again", whole)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "again" / WEIGHTS).stat().st_mode) == 0o644
