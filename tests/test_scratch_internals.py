"""What our own network computes on the way to its prediction."""

import numpy as np
import pytest
import torch

from pandacat.evaluation.scratch_internals import class_probabilities, first_filters, stage_maps
from pandacat.models.scratch import ScratchNetwork, ScratchSpec, build

SIZE_PX = 32


@pytest.fixture
def network() -> ScratchNetwork:
    spec = ScratchSpec(1, SIZE_PX, channels=(4, 6), depths=(2, 1), classes=3)
    return build(spec, seed=0).eval()


def test_the_maps_of_the_last_stage_lead_to_the_probabilities(network):
    picture = np.random.default_rng(0).integers(0, 256, (1, SIZE_PX, SIZE_PX), dtype=np.uint8)

    stages = stage_maps(network, picture)

    assert [maps.shape for maps in stages] == [(4, 16, 16), (6, 8, 8)]
    assert all(maps.dtype == np.float32 and maps.min() >= 0 for maps in stages)
    features = torch.from_numpy(stages[-1].mean(axis=(1, 2)))
    with torch.inference_mode():
        expected = network.head(features).softmax(dim=0).numpy()
    probabilities = class_probabilities(network, picture)
    assert probabilities == pytest.approx(expected, abs=1e-5)
    assert probabilities.sum() == pytest.approx(1)


def test_the_filters_are_those_of_the_first_convolution(network):
    filters = first_filters(network)

    assert filters.shape == (4, 1, 3, 3)
    assert np.array_equal(filters, network.stages[0].halve.patterns.weight.detach().numpy())
