"""Where a project may lie: below a larger repository, in folders of any name, under any locale."""

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from dvc_stages import ROOT

from pandacat.app.cli import main
from pandacat.core.paths import project_root
from pandacat.models import engine
from pandacat.tracking.delivery import open_store

ODD = "a b?x=1%20#c'\"$d:e;f&g\\ é熊\n"
"""Letters that mean something in a URI, in SQL, in a shell or in a format string, or nothing."""

STAGE = """
from pathlib import Path
from pandacat.tracking.journal import tracked_stage

Path("curve.csv").write_text("epoch")
with tracked_stage("train", {}) as run:
    run.log_artifact(Path("curve.csv"))
"""

NO_UTF8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of DVC with a project in one of its folders."""
    for name in ("repository", "copy"):
        (tmp_path / name / ".dvc").mkdir(parents=True)
        (tmp_path / name / "vision/src").mkdir(parents=True)
        (tmp_path / name / "vision/dvc.yaml").touch()
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path / "repository"


@pytest.mark.parametrize("folder", ["vision", "vision/src"])
def test_the_project_is_the_folder_of_dvc_yaml(repository, monkeypatch, folder):
    monkeypatch.chdir(repository / folder)
    assert project_root() == repository / "vision"
    monkeypatch.setenv("DVC_ROOT", str(repository))  # as DVC does for a stage
    assert project_root() == repository / "vision"


def test_models_are_those_of_the_project_from_any_folder_of_it(repository, monkeypatch, capsys):
    monkeypatch.chdir(repository / "vision/src")
    assert main(["predict", "--model", "mine", "photo.jpg"]) == 1
    assert f"no model called mine in {repository}/vision/models" in capsys.readouterr().err
    assert main(["predict", "--model", "mine", "--models", "here", "photo.jpg"]) == 1
    assert f"no model called mine in {repository}/vision/src/here" in capsys.readouterr().err


def test_a_queued_experiment_belongs_to_the_same_folder_of_the_original(repository, monkeypatch):
    monkeypatch.chdir(repository.parent / "copy/vision")
    monkeypatch.setenv("DVC_ROOT", str(repository))
    assert project_root() == repository / "vision"


def test_where_nothing_is_the_current_folder_is_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert project_root() == tmp_path


def test_a_run_arrives_in_a_folder_of_any_name_without_utf_8(project):
    folder = project / ODD
    folder.mkdir()
    stage = [sys.executable, "-c", STAGE]
    run = subprocess.run(stage, cwd=folder, env=os.environ | NO_UTF8, capture_output=True)
    assert (run.returncode, run.stderr) == (0, b"")
    assert [*project.iterdir()] == [folder]
    assert sorted(path.name for path in folder.iterdir()) == [
        *(".pandacat", "curve.csv", "mlflow.db", "mlflow.db.lock", "mlruns")
    ]
    plain = project / "plain"  # an address of its own: MLflow opens each only once in a process
    plain.symlink_to(folder)
    client, experiment = open_store(f"sqlite:///{plain}/mlflow.db")
    (run,) = client.search_runs([experiment], "tags.stage = 'train'")
    assert Path(client.download_artifacts(run.info.run_id, "curve.csv")).read_text() == "epoch"


def test_a_folder_whose_name_is_no_text_is_told_and_no_run_is_lost(project, monkeypatch):
    folder = project / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match=r"caf\\udce9.* name in UTF-8, or set MLFLOW_TRACKING_URI"):
        open_store("sqlite:///mlflow.db")
    assert [*folder.iterdir()] == []
    run = subprocess.run(
        [sys.executable, "-c", STAGE], env=os.environ | NO_UTF8, capture_output=True
    )
    assert b"give the folder of the project a name in UTF-8" in run.stderr
    assert len([*folder.glob(".pandacat/tracking/*")]) == 1


def test_a_percent_sign_in_the_path_of_mlflow_is_told(project, monkeypatch):
    monkeypatch.setattr(mlflow, "__file__", "/home/50% off/.venv/mlflow/__init__.py")
    with pytest.raises(ValueError, match=r"50% off.*: rename that folder, and remove \.venv"):
        open_store("sqlite:///mlflow.db")
    assert [*project.iterdir()] == []


UNKNOWN_USER = """
import pwd

def getpwuid(user):
    raise KeyError(user)

pwd.getpwuid = getpwuid
"""
"""Python at its start, for a user whom the system does not know: `docker run --user 54321`."""

CONNECT = """
from pandacat.data.sources import kaggle
from pandacat.data.sources.transfer import RetryPolicy

with kaggle._home_folder():
    client = kaggle._connect(RetryPolicy())
print(kaggle._session(client).auth)
"""


def run_as_stranger(code: str, folder: Path, home: str) -> str:
    """Return what `code` prints in `folder` for a user without a place; an empty `home` is none."""
    start = folder.parent / f"{folder.name}-start"
    start.mkdir()
    (start / "sitecustomize.py").write_text(UNKNOWN_USER)
    path = os.pathsep.join([str(start), *sys.path])
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": path,
        **({"HOME": home} if home else {}),
    }
    command = [sys.executable, "-P", "-c", code]
    return subprocess.check_output(
        command, cwd=folder, env=environment, stderr=subprocess.STDOUT, text=True
    )


UNREACHABLE = "/" + "x" * 300
"""A folder where nobody may look, not even root: its name is too long."""


@pytest.mark.parametrize("home", ["", UNREACHABLE, "/dev/null"])
def test_without_a_home_folder_kaggle_works(tmp_path, home):
    assert run_as_stranger(CONNECT, tmp_path, home) == "None\n"
    assert [*tmp_path.iterdir()] == []


def test_without_a_home_folder_runs_reach_mlflow(tmp_path):
    assert run_as_stranger(STAGE, tmp_path, "") == ""
    assert (tmp_path / "mlruns").is_dir()
    assert not (tmp_path / "~").exists()


PACKAGE = """
from pathlib import Path
from pandacat.models.pyfunc import save_mlflow_model

Path("photo.jpg").touch()
save_mlflow_model(Path("packed"), Path("exported"), Path("photo.jpg"))
"""


def test_without_a_home_folder_a_model_is_packed_without_a_word(tmp_path, exported):
    shutil.copytree(exported, tmp_path / "exported")
    assert run_as_stranger(PACKAGE, tmp_path, "") == ""
    assert (tmp_path / "packed/MLmodel").is_file()
    assert not (tmp_path / "~").exists()


def test_without_a_home_folder_mlflow_is_asked_for_a_model(tmp_path):
    code = "from pandacat.app.cli import main; main(['predict', '--model', 'runs:/1/m', '-'])"
    assert "--model runs:/1/m: MLflow does not give it" in run_as_stranger(code, tmp_path, "")


@pytest.mark.parametrize("home", ["", UNREACHABLE])
def test_without_a_home_folder_there_is_no_cache(tmp_path, home):
    code = "from pandacat.core.paths import user_cache; print(user_cache())"
    assert run_as_stranger(code, tmp_path, home) == "None\n"


def test_without_a_cache_networks_are_converted_each_time(tmp_path, monkeypatch, capsys):
    network = torch.nn.Flatten()
    monkeypatch.setattr(engine, "user_cache", lambda: None)
    build = partial(
        engine.compile_backbone, lambda: network, 2, "key", name="openvino", precision="float32"
    )
    assert build().run(np.ones((1, 2, 2, 3), np.uint8)).shape == (1, 12)
    assert "set XDG_CACHE_HOME to a folder" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for _ in range(2):
        build()
    assert capsys.readouterr().err.count("Converting") == 1


@pytest.mark.parametrize("home", ["", "/elsewhere"])
def test_make_gives_dvc_a_home_folder_and_a_user_where_there_is_none(home):
    environment = {"PATH": os.environ["PATH"], **({"HOME": home} if home else {})}
    show = ["make", "--silent", "--eval", "show:; echo $$HOME:$${LOGNAME:?}", "show"]
    output = subprocess.check_output(show, cwd=ROOT, env=environment, text=True)
    assert output.split(":")[0] == (home or str(ROOT / ".pandacat"))
