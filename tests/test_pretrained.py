"""Backbones by parameter."""

import numpy as np
import pytest

from pandacat.core.errors import PandacatError
from pandacat.models import pretrained


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
    monkeypatch.setattr(pretrained, "LITE0_SHA256", "0" * 64)
    with pytest.raises(PandacatError, match="not the expected ones"):
        pretrained.load("efficientnet_lite0")
