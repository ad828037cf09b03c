"""What messages about `params.yaml` advise helps, when it is obeyed to the letter."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from dvc.utils.hydra import apply_overrides
from test_config import CONTENT, changed
from torch import nn

from pandacat.config.loading import load_config, parse_config
from pandacat.config.schema import Config
from pandacat.core.errors import PandacatError
from pandacat.models import architectures, pretrained
from pandacat.models.architectures import Architecture, Weights


def config_with(values: dict[str, Any]) -> Config:
    content = CONTENT
    for key, value in values.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("test_config.CONTENT", content)
            content = changed(key, value)
    return parse_config(content)


def fault_of(values: dict[str, Any]) -> str:
    with pytest.raises(PandacatError) as raised:
        config_with(values)
    return str(raised.value)


FOX = {"folders": ["fox"], "imagenet": ["red fox"]}
SCRATCH = "train_scratch.photos"


@pytest.mark.parametrize(
    ("wrong", "advice", "corrected"),
    [
        (
            {"labels.cat.folders": ["cat", "Panda"]},
            "two labels share the folder panda",
            {"labels.cat.folders": ["cat"]},
        ),
        ({"other": ["dogs", "cat"]}, "two labels share the folder cat", {"other": ["dogs"]}),
        (
            {"labels.cat.imagenet": ["tabby", "giant panda"]},
            "two labels share an ImageNet class: 388",
            {"labels.cat.imagenet": ["tabby"]},
        ),
        ({"labels.other": FOX}, "other is reserved", {"labels.fox": FOX}),
        ({"labels.all": FOX}, "all is reserved", {"labels.fox": FOX}),
        (
            {"labels.cat.imagenet": "tabby"},
            "needs a list, such as [giant panda]",
            {"labels.cat.imagenet": ["tabby"]},
        ),
        (
            {"labels.cat.imagenet": [1000]},
            "ImageNet has classes 0 to 999",
            {"labels.cat.imagenet": [999]},
        ),
        (
            {"photos.kaggle.dataset": "https://www.kaggle.com/datasets/some/cats"},
            "needs owner/name, the last two parts of the address of its page",
            {"photos.kaggle.dataset": "some/cats"},
        ),
        (
            {"photos.archive_encoding": "utf8-mac"},
            "needs an encoding that Python knows, such as gbk or cp932",
            {"photos.archive_encoding": "gbk"},
        ),
        (
            {"preprocess.validation_share": 0.5, "preprocess.test_share": 0.45},
            "must leave at least 0.1 for training",
            {"preprocess.validation_share": 0.45, "preprocess.test_share": 0.45},
        ),
        (
            {"predict_pretrained.augmented_copies.area": [1.0, 0.2]},
            "needs the smaller number first",
            {"predict_pretrained.augmented_copies.area": [0.2, 1.0]},
        ),
        (
            {"robustness.severities": [5, 1]},
            "must be in ascending order",
            {"robustness.severities": [1, 5]},
        ),
        (
            {f"{SCRATCH}.channels": [8, 8], f"{SCRATCH}.depths": [1]},
            "need one number for each stage",
            {f"{SCRATCH}.channels": [8, 8], f"{SCRATCH}.depths": [1, 1]},
        ),
        (
            {
                f"{SCRATCH}.input_px": 16,
                f"{SCRATCH}.channels": [8] * 5,
                f"{SCRATCH}.depths": [1] * 5,
            },
            "input_px is too small for so many stages: each one halves it",
            {
                f"{SCRATCH}.input_px": 32,
                f"{SCRATCH}.channels": [8] * 5,
                f"{SCRATCH}.depths": [1] * 5,
            },
        ),
        (
            {"photos.source": "internet"},
            "Input should be 'sample', 'kaggle' or 'archive'",
            {"photos.source": "kaggle"},
        ),
        ({"preprocess.seed": -1}, "greater than or equal to 0", {"preprocess.seed": 0}),
        ({"preprocess.seed": "1"}, "should be a valid integer", {"preprocess.seed": 1}),
    ],
)
def test_what_is_corrected_as_the_message_says_is_valid(
    wrong: dict[str, Any], advice: str, corrected: dict[str, Any]
) -> None:
    assert advice in fault_of(wrong)
    assert config_with(corrected)


def test_a_key_that_is_missing_is_added() -> None:
    content = CONTENT | {"audit": {"seed": 1}}
    with pytest.raises(PandacatError) as raised:
        parse_config(content)
    section, key = re.findall(r"(\w+)\.(\w+): is missing", str(raised.value))[0]
    assert parse_config(content | {section: content[section] | {key: 20}})


def test_a_line_that_is_no_yaml_is_corrected_where_the_message_says(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    lines = (ROOT / "params.yaml").read_text().splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("preprocess:"))
    whole, lines[place] = lines[place], "preprocess"
    file.write_text("\n".join(lines))
    with pytest.raises(PandacatError, match="is not readable as YAML") as raised:
        load_config(file)
    told = [int(number) - 1 for number in re.findall(r"line (\d+)", str(raised.value))]
    assert place in told
    lines[place] = whole
    file.write_text("\n".join(lines))
    assert load_config(file)


def test_what_is_neither_number_nor_text_is_left_out() -> None:
    looping: dict[str, Any] = dict(CONTENT)
    looping["gate"] = {"loop": looping}
    with pytest.raises(PandacatError, match="only numbers, texts, lists and maps are allowed"):
        parse_config(looping)
    assert parse_config(looping | {"gate": {}})


def test_photos_of_kaggle_replace_drawings_as_advised(tmp_path: Path) -> None:
    source = (ROOT / "src/pandacat/app/predict.py").read_text()
    (override,) = re.findall(r"`dvc exp run -S (\S+)`", source)
    file = tmp_path / "params.yaml"
    file.write_text((ROOT / "params.yaml").read_text())
    apply_overrides(file, [override])
    assert load_config(file).photos.source == "kaggle"


LISTED = re.findall(
    r"^\| `((?:timm|torchvision)/\w+)` \| \d",
    (ROOT / "docs/experiments.md").read_text(),
    re.MULTILINE,
)


def refusal_of(backbone: str) -> str:
    with pytest.raises(PandacatError) as raised:
        pretrained.load(backbone)
    return str(raised.value)


@pytest.mark.parametrize(
    "backbone",
    [
        "timm/resnet19",
        "torchvision/resnet19",
        "torchvision/googlenet",
        "timm/vit_base_patch16_224.dino",
    ],
)
def test_a_backbone_that_is_suggested_exists(backbone: str) -> None:
    message = refusal_of(backbone)
    named = re.findall(r"(?:timm|torchvision)/[\w.]*\w", message.split(";", 1)[1])
    assert named or architectures.LIST in message
    for name in named:
        assert architectures.find(name).name == name


def test_backbones_that_the_documentation_lists_exist() -> None:
    assert architectures.LIST in refusal_of("timm/nothing-like-that")
    assert LISTED
    for name in LISTED:
        assert architectures.find(name).name == name


@pytest.mark.parametrize(
    "step",
    [*(f"efficientnet_lite{size}" for size in range(3)), "timm/NAME", "torchvision/NAME"],
)
def test_a_backbone_has_one_of_the_names_that_are_told(step: str) -> None:
    assert step in refusal_of("resnet18")
    name = step.replace("NAME", "resnet18")
    assert pretrained.load(name, weights="none")


def test_weights_are_loaded_when_the_connection_is_back_or_none_is_needed() -> None:
    def offline(weights: Weights) -> Any:
        raise OSError("no route to the host")

    architecture = Architecture("timm/resnet18", 224, [0.5] * 3, [0.5] * 3, offline)
    with pytest.raises(PandacatError) as raised:
        architecture.build("imagenet")
    assert "Check the connection, or use efficientnet_lite0, which needs no" in str(raised.value)
    network = nn.Identity()
    assert replace(architecture, builder=lambda weights: network).build("imagenet") is network
    assert pretrained.load("efficientnet_lite0")
