"""Backbones by parameter."""

import numpy as np
import pytest
import torch

from pandacat.core.errors import PandacatError
from pandacat.models import pretrained


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("efficientnet_lite0", 1280),
        ("timm/resnet18", 512),
        ("timm/mobilenetv3_small_050", 1024),
        ("torchvision/shufflenet_v2_x0_5", 1024),
        ("torchvision/mobilenet_v3_small", 1024),
    ],
)
def test_a_network_is_cut_into_backbone_and_head(name: str, width: int) -> None:
    network = pretrained.load(name, weights="none")
    images = torch.randint(0, 256, (2, network.input_px, network.input_px, 3), dtype=torch.uint8)
    with torch.inference_mode():
        features = network.backbone(images)
        assert features.shape == (2, width)
        assert network.head(features).shape == (2, 1000)


def test_a_network_comes_back_from_its_tensors() -> None:
    network = pretrained.load("efficientnet_lite0")
    again = pretrained.restore("efficientnet_lite0", network.tensors())
    for name, values in network.tensors().items():
        np.testing.assert_array_equal(again.tensors()[name], values)


@pytest.mark.parametrize("name", ["resnet18", "timm/", "hub/resnet18", ""])
def test_a_name_without_a_known_library_is_explained(name: str) -> None:
    with pytest.raises(PandacatError, match="is none of"):
        pretrained.load(name)


@pytest.mark.parametrize("name", ["timm/no_such_network", "torchvision/no_such_network"])
def test_an_unknown_network_is_explained(name: str) -> None:
    with pytest.raises(PandacatError, match="could not be loaded"):
        pretrained.load(name)


def test_a_network_without_1000_classes_is_refused() -> None:
    with pytest.raises(PandacatError, match="1,000"):
        pretrained.load("torchvision/squeezenet1_1", weights="none")


def test_weights_that_are_not_the_expected_ones_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pretrained, "LITE0_SHA256", "0" * 64)
    with pytest.raises(PandacatError, match="not the expected ones"):
        pretrained.load("efficientnet_lite0")
