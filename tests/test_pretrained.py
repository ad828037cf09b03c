"""Backbones by parameter."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import EXAMPLES
from PIL import Image

from pandacat.core.errors import PandacatError
from pandacat.data.crops import cut_crops
from pandacat.models import pretrained


@pytest.mark.parametrize("name", pretrained.PACKAGED)
def test_a_packaged_network_knows_a_panda_from_a_cat(name: str) -> None:
    network = pretrained.load(name)
    for photo, expected in (
        ("panda/giant_panda.jpg", {388}),
        ("cat/kitten.jpg", {*range(281, 286)}),
    ):
        (image,) = cut_crops(
            Image.open(EXAMPLES / photo).convert("RGB"), network.input_px, "center"
        )
        with torch.inference_mode():
            assert int(network(torch.tensor(image[None])).argmax()) in expected


def test_a_network_comes_back_from_its_tensors() -> None:
    network = pretrained.load("efficientnet_lite0")
    again = pretrained.restore("efficientnet_lite0", network.tensors())
    for name, values in network.tensors().items():
        np.testing.assert_array_equal(again.tensors()[name], values)


@pytest.mark.parametrize("name", ["resnet18", "timm/", "hub/resnet18", ""])
def test_a_name_without_a_known_library_is_explained(name: str) -> None:
    with pytest.raises(PandacatError, match="is none of"):
        pretrained.load(name)


def test_weights_that_are_not_the_expected_ones_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoiled = replace(pretrained.PACKAGED[pretrained.LITE0], sha256="0" * 64)
    monkeypatch.setitem(pretrained.PACKAGED, pretrained.LITE0, spoiled)
    with pytest.raises(PandacatError, match="not the expected ones"):
        pretrained.load("efficientnet_lite0")
