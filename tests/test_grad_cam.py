"""Grad-CAM: where a photo supports a label."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from pandacat.data.crops import CropScheme
from pandacat.evaluation.grad_cam import NoFeatureMapError, grad_cam
from pandacat.models.pretrained import Backbone, PretrainedNetwork

SIZE_PX = 32
LABEL_CLASSES = ((388,), (281, 282, 283, 284, 285))
PANDA, CAT = range(2)


class BlueHere(nn.Module):
    """One map of how blue each place is, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.blue = nn.Conv2d(3, 1, 1, bias=False)
        self.blue.weight.data = torch.tensor([-1.0, -1.0, 1.0]).view(1, 3, 1, 1)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(self.relu(self.blue(avg_pool2d(images, 4)))).flatten(1)


def pretrained_on(body: nn.Module, strength: float = 1.0) -> PretrainedNetwork:
    """Return a network to which the one feature of `body` means panda."""
    head = nn.Linear(1, 1000)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    head.weight.data[LABEL_CLASSES[PANDA][0]] = strength
    return PretrainedNetwork(Backbone(body, [0.0] * 3, [255.0] * 3), head, SIZE_PX)


def blue_corner() -> Image.Image:
    pixels = np.full((120, 200, 3), 128, np.uint8)
    pixels[60:, 100:] = (0, 0, 255)
    return Image.fromarray(pixels)


def heatmap(network: PretrainedNetwork, label: int, crops: CropScheme = "center") -> np.ndarray:
    return grad_cam(network, blue_corner(), label, crops, LABEL_CLASSES)


@pytest.mark.parametrize("crops", ["square", "two_scales"])
@pytest.mark.parametrize("strength", [1.0, 5000.0])
def test_grad_cam_points_to_the_evidence_however_sure_the_network_is(crops, strength):
    heat = heatmap(pretrained_on(BlueHere(), strength), PANDA, crops)

    assert (heat.shape, heat.dtype) == ((120, 200), np.float32)
    assert (heat.min(), heat.max()) == (0, 1)
    assert heat[60:, 100:].max() == 1
    assert heat[60:, 100:].sum() > 0.8 * heat.sum()


def test_evidence_for_one_label_is_none_for_another():
    assert not heatmap(pretrained_on(BlueHere()), CAT).any()


def test_grad_cam_leaves_the_network_as_it_was():
    network = pretrained_on(BlueHere())
    heatmap(network, PANDA)

    assert all(not module._forward_hooks for module in network.backbone.modules())
    assert all(weights.grad is None for weights in network.backbone.parameters())


def test_a_network_without_feature_maps_is_an_error_in_words():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE_PX**2, 1))

    with pytest.raises(NoFeatureMapError, match="feature maps"):
        heatmap(pretrained_on(flat), PANDA)
