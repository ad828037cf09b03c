"""Networks of other libraries fit as backbones, or are refused by name before any download."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from conftest import ROOT
from torch import nn
from torchvision.transforms.functional import normalize

from pandacat.config.loading import load_config
from pandacat.core.errors import PandacatError
from pandacat.models import architectures, pretrained
from pandacat.models.architectures import Architecture
from pandacat.models.classifier import Classifier
from pandacat.models.loading import imagenet_model
from pandacat.models.saved import SavedModel, load_model, save_model
from pandacat.training.batches import Examples
from pandacat.training.fine_tune import stage_of, trainable_network

FITTING = [
    "timm/resnet18",
    "timm/resnetv2_50x1_bit",  # its head is a convolution
    "timm/test_convnext",
    "timm/test_nfnet",
    "timm/mobilenetv4_conv_small",
    "timm/mobilevit_xxs",
    "timm/deit_tiny_patch16_224",
    "timm/eva02_tiny_patch14_336.mim_in22k_ft_in1k",
    "timm/resmlp_12_224",
    "torchvision/alexnet",  # three linear layers, of which the last is the head
    "torchvision/densenet121",
    "torchvision/efficientnet_b0",
    "torchvision/maxvit_t",  # its head has no bias
    "torchvision/regnet_y_400mf",
    "torchvision/swin_t",
]
ON_OPENVINO = ["timm/test_convnext", "timm/deit_tiny_patch16_224"]


LAST_STAGES = {
    "timm/resnet18": ["body.layer3", "body.layer4"],
    "timm/deit_tiny_patch16_224": ["body.blocks.11", "body.norm"],
    "torchvision/densenet121": ["body.features.denseblock4", "body.features.norm5"],
    "torchvision/regnet_y_400mf": ["body.trunk_output.block3", "body.trunk_output.block4"],
}
REFUSED = {
    "timm/resnet81": "is timm/resnet18 .* meant",
    "timm/resnet18.a1_in2k": "is timm/resnet18.* meant",
    "timm/deit_tiny_distilled_patch16_224": "several heads; choose timm/deit_tiny_patch16_224.fb",
    "timm/crossvit_9_240": "several heads; choose one that docs/experiments.md",
    "timm/tiny_vit_5m_224": "no weights for the 1,000 .* choose timm/tiny_vit_5m_224.*ft_in1k",
    "timm/vit_small_patch14_dinov2": "no weights for the 1,000 ImageNet classes",
    "timm/darknet17": "no weights",
    "torchvision/fasterrcnn_resnet50_fpn": "torchvision has no network fasterrcnn",
    "torchvision/googlenet": "choose timm/inception_v3",
    "torchvision/mnasnet0_5": "does not fit",
    "torchvision/squeezenet1_1": "does not end in one linear layer of 1,000 classes",
}


@pytest.fixture
def no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a network random weights, always the same, in place of those of ImageNet."""
    build, built = Architecture.build, {}

    def build_offline(architecture: Architecture, weights: architectures.Weights) -> nn.Module:
        if architecture.name not in built:
            torch.manual_seed(0)
            built[architecture.name] = network = build(architecture, "none").eval()
            for parameter in network.parameters():
                if not parameter.any():  # some layers start with zeros, which would hide mistakes
                    nn.init.normal_(parameter, std=0.02)
        network = copy.deepcopy(built[architecture.name])
        if weights == "none":
            for parameter in network.parameters():
                parameter.data.mul_(0.9)
        return network

    monkeypatch.setattr(Architecture, "build", build_offline)


def saved_model(name: str) -> SavedModel:
    """Return the model that the stage `predict_pretrained` makes of a backbone."""
    config = load_config(ROOT / "params.yaml")
    params = replace(config.predict_pretrained, backbone=name)
    return imagenet_model(replace(config, predict_pretrained=params))


def as_its_library_does(name: str, network: nn.Module) -> tuple[int, list[float], list[float]]:
    """Return the input size, mean and standard deviation that the library itself would use."""
    library, _, short_name = name.partition("/")
    if library == "timm":
        config = timm.data.resolve_model_data_config(network)
        return config["input_size"][1], config["mean"], config["std"]
    transforms = torchvision.models.get_model_weights(short_name).DEFAULT.transforms()
    return transforms.crop_size[0], transforms.mean, transforms.std


@pytest.mark.usefixtures("no_downloads")
@pytest.mark.parametrize("name", FITTING)
def test_backbone_and_head_are_the_whole_network(name: str, tmp_path: Path) -> None:
    network = architectures.find(name).build("imagenet")
    input_px, mean, std = as_its_library_does(name, network)
    image = np.random.default_rng(0).integers(0, 256, (1, input_px, input_px, 3), np.uint8)
    pixels = normalize(torch.from_numpy(image).permute(0, 3, 1, 2) / 255, mean, std)
    with torch.inference_mode():
        expected = network(pixels).numpy()

    save_model(tmp_path / "model", saved_model(name))
    model = load_model(tmp_path / "model")
    classifier = Classifier(model, "torch")

    assert model.description.input_px == input_px
    logits = (
        classifier.features(image) @ model.tensors["head.weight"].T + model.tensors["head.bias"]
    )
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("no_downloads")
@pytest.mark.parametrize("name", ON_OPENVINO)
def test_openvino_gives_the_features_of_pytorch(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = saved_model(name)
    side = model.description.input_px
    images = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8)
    ours = Classifier(model, "openvino").features(images)
    expected = Classifier(model, "torch").features(images)
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_a_network_that_does_not_fit_is_refused_by_name_before_a_download(
    name: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, built = Architecture.build, []

    def record(architecture: Architecture, weights: architectures.Weights) -> nn.Module:
        built.append(weights)
        return build(architecture, weights)

    monkeypatch.setattr(Architecture, "build", record)
    with pytest.raises(PandacatError, match=reason) as refusal:
        pretrained.load(name)
    assert name.partition("/")[2] in str(refusal.value)
    assert "imagenet" not in built


@pytest.mark.parametrize(("name", "stages"), LAST_STAGES.items())
def test_the_last_stages_have_names_in_every_library(name: str, stages: list[str]) -> None:
    network = architectures.find(name).build("none")
    names = dict.fromkeys(stage_of(f"body.{name}") for name, _ in network.named_parameters())
    assert [*names][-3:-1] == stages


@pytest.mark.usefixtures("no_downloads")
def test_more_stages_than_a_network_has_are_refused() -> None:
    model = saved_model("timm/test_convnext")
    params = load_config(ROOT / "params.yaml").fine_tune
    params = replace(params, strategy="last_stages", trained_stages=7)
    nothing = Examples(torch.empty(0), torch.empty(0, dtype=torch.int64))
    with pytest.raises(PandacatError, match="timm/test_convnext has 7 stages: choose 6 or fewer"):
        trainable_network(model, nothing, params)
    for advised in ({"trained_stages": 6}, {"strategy": "everything"}):
        trainable_network(model, nothing, replace(params, **advised))


def test_weights_that_cannot_be_downloaded_are_explained() -> None:
    def offline(weights: architectures.Weights) -> nn.Module:
        raise OSError(f"no route to the host of {weights}")

    architecture = Architecture("timm/resnet18", 224, [0.5] * 3, [0.5] * 3, offline)
    with pytest.raises(PandacatError, match=r"timm/resnet18 could not be loaded .*no route"):
        architecture.build("imagenet")
