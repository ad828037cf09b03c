"""A small drawn data set, taken once through the pipeline for all tests that need one."""

import os
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
PROBABILITY_COLUMNS = ["p_panda", "p_cat", "p_other"]
"""Of a table of predictions with the default labels."""

ELSEWHERE = {
    "panda": ["panda.jpg"],
    "cat": ["cat.jpg", "cat_chelsea.jpg"],
    "other": ["dog.jpg", "koala.jpg", "red_panda.jpg"],
}
"""Examples as a field test: real photos, which none of the networks has seen."""


@pytest.fixture(autouse=True, scope="session")
def _tracking_waits() -> Iterator[None]:
    """Let stages keep their journals to themselves, so that no test starts MLflow unasked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PANDACAT_TRACKING", "later")
        yield


def run_stage(name: str, *arguments: str) -> None:
    """Run a stage in the current folder, as `dvc repro` does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [name, *arguments])
        runpy.run_path(str(ROOT / "stages" / f"{name}.py"), run_name="__main__")


@pytest.fixture(scope="session")
def small_params() -> dict[str, object]:
    """The project's parameters, cut down until a stage takes seconds."""
    content = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    content["photos"]["sample"]["photos_per_class"] = 12
    content["preprocess"] |= {"min_photos_per_label": 5, "image_px": 200}
    content["train_scratch"]["photos"] |= {"input_px": 32, "epochs": 2}
    content["predict_pretrained"] |= {"crops": "center"}
    content["predict_pretrained"]["augmented_copies"]["count"] = 1
    content["fine_tune"] |= {"steps": 2}
    content["evaluate"] |= {"field_test": "elsewhere"}
    content["robustness"] |= {"photos": 1, "severities": [1, 5]}
    return content


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory, small_params: dict[str, object]) -> Path:
    """A folder in which the stages for photos have run, one after the other."""
    folder = tmp_path_factory.mktemp("workspace")
    write_params(folder, small_params)
    for label, photos in ELSEWHERE.items():
        (folder / "elsewhere" / label).mkdir(parents=True)
        for photo in photos:
            shutil.copy(EXAMPLES / photo, folder / "elsewhere" / label)
    (folder / "data").mkdir()
    (folder / "data/exclusions.csv").write_text("path,reason\ncat/cat-0001.jpg,a test\n")
    before = Path.cwd()
    os.chdir(folder)
    try:
        for stage in ("fetch_photos", "preprocess"):
            run_stage(stage)
        run_stage("train_scratch", "photos")
        for stage in (
            "predict_pretrained",
            "audit",
            "fine_tune",
            "train_linear_probe",
            "evaluate",
            "robustness",
        ):
            run_stage(stage)
    finally:
        os.chdir(before)
    return folder


def make_unopenable(top: Path) -> None:
    """Make a folder below `top` that nobody can open, not even root: its path is too long."""
    folder = os.open(top, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("x" * 250, dir_fd=folder)
        inner = os.open("x" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)


def write_params(folder: Path, content: dict[str, object]) -> None:
    """Write `params.yaml`, its keys in their order."""
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False
    with (folder / "params.yaml").open("w") as stream:
        yaml.dump(content, stream)
