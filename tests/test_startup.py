"""What a stage loads before it begins: a package that takes long only where it is used."""

import subprocess
import sys

import pytest
from dvc_stages import ROOT, declared_stages

HEAVY = {
    "captum",
    "matplotlib",
    "mlflow",
    "openvino",
    "scipy.optimize",
    "scipy.signal",
    "scipy.stats",
    "sklearn",
    "timm",
    "torch",
    "torchvision",
}
"""Packages that take a quarter of a second and more to import."""

LOADED_IN_TURN = (
    {
        "fetch_mnist": set(),
        "fetch_photos": set(),
        "report": set(),
        "headline": set(),
        "preprocess": set(),
        "robustness": set(),
        "evaluate": set(),
        "predict_pretrained": {"scipy.optimize"},
        "tune_threshold": {"scipy.optimize"},
        "train_linear_probe": {"scipy.optimize", "scipy.stats", "sklearn"},
        "audit": {"matplotlib", "scipy.optimize", "scipy.stats", "sklearn"},
    },
    {
        "train_scratch_mnist": {"torch"},
        "train_scratch_photos": {"torch"},
        "fine_tune": {"scipy.optimize", "torch"},
        "export": {"scipy.optimize", "scipy.stats", "sklearn", "torch"},
        "plots": {"matplotlib", "scipy.optimize", "scipy.stats", "sklearn", "torch"},
    },
)
"""Of `HEAVY`, what the imports of a stage may load, by themselves and those before it."""

SCRIPT = """
import runpy, sys
for name in sys.argv[1:]:
    runpy.run_path(f"stages/{name}.py")
    print(name, *sys.modules)
"""


@pytest.mark.parametrize("allowed", LOADED_IN_TURN)
def test_a_stage_loads_no_package_that_it_does_not_need(allowed: dict[str, set[str]]) -> None:
    output = subprocess.check_output(
        [sys.executable, "-P", "-c", SCRIPT, *allowed],
        cwd=ROOT,
        env={"PYTHONPATH": "src"},
        text=True,
    )
    loaded = {name: HEAVY & set(modules) for name, *modules in map(str.split, output.splitlines())}
    assert loaded.keys() == allowed.keys()
    unneeded = {name: loaded[name] - allowed[name] for name in allowed}
    assert unneeded == {name: set() for name in allowed}


def test_each_stage_is_looked_at() -> None:
    assert {name for group in LOADED_IN_TURN for name in group} == set(declared_stages())
