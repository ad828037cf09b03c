"""What the networks see: maps of the right shapes, and Grad-CAM that points where it must."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from pandacat.core.errors import PandacatError
from pandacat.evaluation import grad_cam
from pandacat.labels import IMAGENET_CLASSES
from pandacat.models import scratch
from pandacat.models.pretrained import Backbone, PretrainedNetwork

SIZE_PX = 32


@pytest.fixture
def network() -> scratch.ScratchNetwork:
    spec = scratch.ScratchSpec(1, SIZE_PX, channels=(4, 6), depths=(2, 1), classes=3)
    return scratch.build(spec, seed=0).eval()


def test_the_maps_of_each_stage_are_those_that_lead_to_the_answer(network):
    picture = np.random.default_rng(0).integers(0, 256, (1, SIZE_PX, SIZE_PX), dtype=np.uint8)

    stages = grad_cam.stage_maps(network, picture)

    assert [maps.shape for maps in stages] == [(4, 16, 16), (6, 8, 8)]
    assert all(maps.dtype == np.float32 and maps.min() >= 0 for maps in stages)
    features = torch.from_numpy(stages[-1].mean(axis=(1, 2)))
    with torch.inference_mode():
        expected = network.head(features).softmax(dim=0).numpy()
    found = grad_cam.class_probabilities(network, picture)
    assert found == pytest.approx(expected, abs=1e-5)
    assert found.sum() == pytest.approx(1)


def test_the_filters_are_those_of_the_first_convolution(network):
    filters = grad_cam.first_filters(network)

    assert filters.shape == (4, 1, 3, 3)
    assert np.array_equal(filters, network.stages[0].halve.patterns.weight.detach().numpy())


class BlueHere(nn.Module):
    """One map of how blue each place is, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.blue = nn.Conv2d(3, 1, 1, bias=False)
        self.blue.weight.data = torch.tensor([-1.0, -1.0, 1.0]).crop(1, 3, 1, 1)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(self.relu(self.blue(avg_pool2d(images, 4)))).flatten(1)


def pretrained_on(body: nn.Module, strength: float = 1.0) -> PretrainedNetwork:
    """Return a network to which the one feature of `body` means panda."""
    head = nn.Linear(1, 1000)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    head.weight.data[IMAGENET_CLASSES["panda"][0]] = strength
    return PretrainedNetwork(Backbone(body, [0.0] * 3, [255.0] * 3), head, SIZE_PX)


def blue_corner() -> Image.Image:
    pixels = np.full((120, 200, 3), 128, np.uint8)
    pixels[60:, 100:] = (0, 0, 255)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("crop", ["square", "two_scales"])
@pytest.mark.parametrize("strength", [1.0, 5000.0])
def test_grad_cam_points_to_what_the_network_looks_at_however_sure_it_is(crop, strength):
    heat = grad_cam.grad_cam(pretrained_on(BlueHere(), strength), blue_corner(), "panda", crop)

    assert (heat.shape, heat.dtype) == ((120, 200), np.float32)
    assert (heat.min(), heat.max()) == (0, 1)
    assert heat[60:, 100:].max() == 1
    assert heat[60:, 100:].sum() > 0.8 * heat.sum()


def test_what_speaks_for_one_label_does_not_speak_for_another():
    heat = grad_cam.grad_cam(pretrained_on(BlueHere()), blue_corner(), "cat", "center")

    assert not heat.any()


def test_grad_cam_leaves_the_network_as_it_was():
    network = pretrained_on(BlueHere())
    grad_cam.grad_cam(network, blue_corner(), "panda", "center")

    assert all(not module._forward_hooks for module in network.backbone.modules())
    assert all(weights.grad is None for weights in network.backbone.parameters())


def test_a_network_without_maps_is_an_error_in_words():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE_PX**2, 1))

    with pytest.raises(PandacatError, match="feature maps"):
        grad_cam.grad_cam(pretrained_on(flat), blue_corner(), "panda", "center")
