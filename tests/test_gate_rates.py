"""How often the gate fails for harmless and for harmful changes; in full: benchmarks/gate.py."""

import gate
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from pandacat.config.loading import parse_config
from pandacat.core.paths import TEST_PREDICTIONS

TABLE = pd.read_csv(ROOT / TEST_PREDICTIONS)


def rate(small_params, change: str, photos: int, runs: int) -> float:
    rules = parse_config(small_params).gate
    return float(np.mean([bool(f) for f in gate.failures(TABLE, photos, runs, change, rules)]))


def test_harmless_changes_rarely_fail(small_params):
    assert rate(small_params, "none", photos=150, runs=40) <= 0.05


@pytest.mark.parametrize("change", ["3 % of the photos newly wrong", "all photos less sure"])
def test_a_loss_of_three_points_is_mostly_found_on_300_photos(small_params, change):
    assert rate(small_params, change, photos=300, runs=12) > 0.6


@pytest.mark.parametrize("change", ["3 % of the photos newly wrong", "all photos less sure"])
def test_the_changes_cost_three_points(change):
    labels, logits = gate.photos_of(TABLE)
    generator = np.random.default_rng(0)
    drawn = generator.choice(len(labels), 200_000)
    labels, logits = labels[drawn], logits[drawn]
    changed = gate.CHANGES[change](labels, logits, generator)
    noise = gate.NOISE * generator.standard_normal((2, *logits.shape))
    before, after = (
        np.mean((each + each_noise).argmax(axis=1) == labels)
        for each, each_noise in zip((logits, changed), noise, strict=True)
    )
    assert before - after == pytest.approx(0.03, abs=0.003)
