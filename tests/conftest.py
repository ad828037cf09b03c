"""A small drawn data set, taken once through the pipeline for all tests that need one."""

import os
import shutil
import signal
import struct
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dvc_stages import FIELD_TEST, ROOT, declared_stages, run_declared, run_stage
from filelock import FileLock
from ruamel.yaml import YAML

from pandacat.config.loading import default_config
from pandacat.core.files import read_json, write_json
from pandacat.core.libraries import prepare_mlflow
from pandacat.data import provenance
from pandacat.data.provenance import Provenance
from pandacat.models.loading import imagenet_model
from pandacat.tracking.delivery import MLFLOW_SETTINGS

EXAMPLES = ROOT / "examples"
"""Real photos, which none of the networks has seen, in folders by label: also a field test."""

LONGEST = {
    "test_labels_pipeline",
    "test_tracking_pipeline",
    "test_registry_processes",
    "test_torture",
}
"""Files of tests."""

PROBABILITY_COLUMNS = ["p_panda", "p_cat", "p_other"]
"""Of a table of predictions with the default labels."""

BLAS_THREADS = """
import numpy
from threadpoolctl import threadpool_info
print({library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"})
"""
"""A script that prints into how many threads NumPy divides a product."""


# Or programs that tests start would ignore Ctrl-C, as all do that a script starts with `&`.
signal.signal(signal.SIGINT, signal.default_int_handler)

# As the program does, before a test imports MLflow.
prepare_mlflow()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process is left alone with one."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.fixture(autouse=True, scope="session")
def _tracking_waits() -> Iterator[None]:
    """Let stages keep their journals to themselves, so that no test starts MLflow unasked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PANDACAT_TRACKING", "later")
        yield


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the project of a test of MLflow, without settings from outside."""
    for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI", "PANDACAT_TRACKING", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in MLFLOW_SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{Path(__file__).parent}")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def small_params() -> dict[str, Any]:
    """The project's parameters, cut down until a stage takes seconds."""
    content = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    content["photos"]["sample"]["photos_per_class"] = 12
    content["preprocess"] |= {"min_photos_per_label": 5, "image_px": 200}
    content["train_scratch"]["mnist"] |= {"channels": [4], "depths": [1], "epochs": 1}
    content["train_scratch"]["photos"] |= {"input_px": 32, "epochs": 2}
    content["predict_pretrained"] |= {"crops": "center"}
    content["predict_pretrained"]["augmented_copies"]["count"] = 1
    content["fine_tune"] |= {"steps": 2}
    content["evaluate"] |= {"field_test": FIELD_TEST}
    content["robustness"] |= {"photos": 1, "severities": [1, 5]}
    content["export"] |= {"checked_photos": 3, "int8_photos": 4}
    return content


@dataclass(frozen=True)
class Pipeline:
    """A folder in which all stages have run, one after the other."""

    workspace: Path
    failures: dict[str, str]
    """By stage: why it failed where it found only what it declares. It ran again, with the rest."""


@pytest.fixture(scope="session")
def pipeline(
    tmp_path_factory: pytest.TempPathFactory, small_params: dict[str, Any], worker_id: str
) -> Pipeline:
    """A folder in which all stages have run, but for the one that needs the network.

    The processes that share the tests share it: the first to need it makes it.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    workspace, failures = shared / "workspace", shared / "failures.json"
    with FileLock(shared / "workspace.lock"):
        if not failures.exists():
            write_json(failures, run_pipeline(workspace, tmp_path_factory, small_params))
    return Pipeline(workspace, read_json(failures))


def run_pipeline(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory, params: dict[str, Any]
) -> dict[str, str]:
    """Run all stages but one in a new folder; return what failed, as `Pipeline` has it."""
    workspace.mkdir()
    write_params(workspace, params)
    shutil.copytree(EXAMPLES, workspace / FIELD_TEST)
    write_digits(workspace / "data/mnist")
    (workspace / "data/exclusions.csv").write_text("path,reason\ncat/cat-0001.jpg,a test\n")
    copy_exported_files(workspace)
    failures = {}
    for name, stage in declared_stages().items():
        if name == "fetch_mnist":
            continue
        alone = tmp_path_factory.mktemp(name)
        try:
            run_declared(stage, workspace, alone)
        except (SystemExit, AssertionError) as error:
            failures[name] = str(error)
            with chdir(workspace):
                run_stage(*stage.command)
        else:
            for output in stage.outputs:
                (workspace / output).parent.mkdir(parents=True, exist_ok=True)
                (alone / output).rename(workspace / output)
    return failures


def copy_exported_files(folder: Path) -> None:
    """Copy what the stage `export` takes from the project as it is."""
    shutil.copytree(EXAMPLES, folder / "examples")
    shutil.copy(ROOT / "LICENSE", folder)


@pytest.fixture(scope="session")
def workspace(pipeline: Pipeline) -> Path:
    """The folder in which all stages have run."""
    return pipeline.workspace


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pretrained network, exported for OpenVINO."""
    from pandacat.models.exporting import export_openvino

    folder = tmp_path_factory.mktemp("models") / "exported"
    export_openvino(imagenet_model(default_config()), folder)
    return folder


def write_digits(folder: Path) -> None:
    """Write noise in the form of MNIST, as few digits as training can do with."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for split, count in (("train", 5_100), ("t10k", 20)):
        images = generator.integers(0, 256, (count, 28, 28), np.uint8).tobytes()
        classes = (np.arange(count) % 10).astype(np.uint8).tobytes()
        header = struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28)
        (folder / f"{split}-images-idx3-ubyte").write_bytes(header + images)
        header = struct.pack(">4BI", 0, 0, 8, 1, count)
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(header + classes)
    noise = Provenance("Noise", "mnist", "tests", "1", "none", drawn=False, sha256="0" * 64)
    provenance.write(folder / "provenance.json", noise)


def make_unopenable(top: Path) -> None:
    """Make a folder below `top` that nobody can open, not even root: its path is too long."""
    folder = os.open(top, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("x" * 250, dir_fd=folder)
        inner = os.open("x" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)


def write_params(folder: Path, content: dict[str, Any]) -> None:
    """Write `params.yaml`, its keys in their order."""
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    with (folder / "params.yaml").open("w") as stream:
        yaml.dump(content, stream)
