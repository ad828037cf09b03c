"""What messages of stages, `make` and the tools advise helps, when it is obeyed to the letter."""

import os
import re
import shlex
import subprocess
import sys
import zipfile
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from shutil import copy

import pytest
from dvc_stages import ROOT, declared_stages
from test_advice_system import SOURCE, command_in, message_of
from test_run import FULL, install

from pandacat import training
from pandacat.app.cli import main
from pandacat.core.errors import PandacatError
from pandacat.models import pretrained


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder; the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    monkeypatch.setattr(sys, "argv", ["stage.py"])
    return tmp_path


def test_dvc_yaml_has_the_commands_with_the_arguments_that_stages_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["plots.py", "too", "many"])
    assert "dvc.yaml has the command of each stage under `cmd`" in message_of(lambda: None)
    for name, declared in declared_stages().items():
        main = re.findall(r"^def main\((.*)\)", (ROOT / f"stages/{name}.py").read_text(), re.M)
        taken = [part for part in main[0].split(",") if part]
        assert len(declared.command) - 1 == len(taken), name


@pytest.fixture
def stages(here: Path) -> Path:
    """A project with one stage, and without any Python that could run it."""
    install(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n', here / "bin/python")
    (here / "stages").mkdir()
    for name in ("stages/run", "requirements.txt"):
        copy(ROOT / name, here / name)
    (here / "stages/audit.py").write_text("print('audited')")
    return here


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, shell=True, env=SOURCE | environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("given", ["", "adit"])
def test_a_stage_runs_by_a_name_of_dvc_yaml(stages: Path, given: str) -> None:
    install(FULL, stages / ".venv/bin/python")
    message = shell(f"sh stages/run {given}", PATH="bin:/usr/bin:/bin").stderr
    assert "In the project's folder, say: sh stages/run NAME, with a NAME of dvc.yaml" in message
    assert "audit" in declared_stages()
    ended = shell("sh stages/run audit", PATH="bin:/usr/bin:/bin")
    assert ended.stdout == "audited\n", ended.stderr


def test_a_stage_without_a_name_is_told_the_command_that_runs_it(stages: Path) -> None:
    install(FULL, stages / ".venv/bin/python")
    message = shell(f"{sys.executable} -P -m pandacat.core.stage").stderr
    command = command_in(message).replace("NAME", "audit")
    assert shell(command, PATH="bin:/usr/bin:/bin").stdout == "audited\n"


TOOL = """#!/bin/sh
case "$*" in
    "-m venv "*) mkdir -p .venv/bin; for tool in python dvc pandacat; do cp new .venv/bin/$tool; done ;;
    *"pip install"*) echo "$*" >> installed ;;
    -c*|-P*) exec %s "$@" ;;
    *) echo "${0##*/} $*" ;;
esac
"""  # noqa: E501
"""In place of Python, which installs nothing but itself, of DVC and of pandacat."""


@pytest.fixture
def made(stages: Path) -> Path:
    """The same with the Makefile, all that it needs, and a Python called `new`."""
    for name in ("Makefile", "constraints.txt", "requirements.lock", "pyproject.toml"):
        copy(ROOT / name, stages / name)
    install(TOOL % sys.executable, stages / "new")
    return stages


def test_packages_that_were_removed_are_installed_again(made: Path) -> None:
    environment = {"PATH": f"{made}/bin:/usr/bin:/bin", "MAKEFLAGS": "PYTHON=./new"}
    shell("make .venv/ready", **environment)
    (made / "installed").unlink()
    (made / ".venv/bin/python").unlink()
    message = shell("sh stages/run audit", **environment).stderr
    assert message.startswith("error: no Python found that has all packages")
    shell(command_in(message), **environment)
    assert "-r requirements.txt" in (made / "installed").read_text()
    assert shell("sh stages/run audit", **environment).stdout == "audited\n"


def test_an_active_environment_runs_the_stages_of_a_copy(stages: Path) -> None:
    """A queued experiment runs in a copy of the project, which has no `.venv`."""
    message = shell("sh stages/run audit", PATH="bin:/usr/bin:/bin").stderr
    _, activate = re.findall("`([^`]+)`", message)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], check=True)
    Path(".venv/bin/python").unlink()
    install(FULL, Path(".venv/bin/python"))
    Path("copy").mkdir()
    copied = "cp -r stages requirements.txt copy && cd copy && sh stages/run audit"
    bash = f"bash -c {shlex.quote(f'{activate} && {copied}')}"
    assert shell(bash, PATH="bin:/usr/bin:/bin").stdout == "audited\n"


def test_a_missing_package_is_among_those_that_are_installed(made: Path) -> None:
    def fail() -> None:
        import a_package_that_is_not_there  # type: ignore[import-not-found]  # noqa: F401

    commands = re.findall("`([^`]+)`", message_of(fail))
    make, pip = map(shlex.split, commands)
    assert make == ["make", "-B", ".venv/ready"]
    with chdir(ROOT):  # nothing is fetched, but the folder and its extra are read
        plan = [sys.executable, "-m", "pip", *pip[1:], "--dry-run", "--no-deps", "--no-index"]
        subprocess.run([*plan, "--no-build-isolation", "--quiet"], check=True)


def test_the_extra_that_a_search_needs_is_told(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "pandacat.training.search", raising=False)
    monkeypatch.delattr(training, "search", raising=False)
    assert main(["search"]) == 1
    make, pip = re.findall("`([^`]+)`", capsys.readouterr().err.partition("optuna")[2])
    assert make == "make extra-search"
    assert "optuna==" in (ROOT / "extras/search.lock").read_text()
    assert pip == "pip install '.[search]'"


def test_a_newer_python_is_taken_when_it_is_named(made: Path) -> None:
    install("#!/bin/sh\nexit 1\n", made / "old")
    message = shell("make .venv/ready PYTHON=./old").stderr
    (command,) = re.findall("'(make [^']+)'", message)
    assert shell("git init --quiet && " + command.replace("python3.12", "./new")).returncode == 0
    assert (made / ".venv/ready").exists()


@pytest.fixture
def ready(made: Path) -> Path:
    """The same with its environment."""
    assert shell("make .venv/ready PYTHON=./new").returncode == 0
    return made


def test_in_a_repository_that_is_made_as_advised_the_pipeline_runs(ready: Path) -> None:
    ceiling = {"GIT_CEILING_DIRECTORIES": str(ready.parent)}
    failed = shell("make repro", **ceiling)
    assert failed.returncode != 0
    (command,) = re.findall("run '(git [^']+)' here", failed.stderr)
    subprocess.run(shlex.split(command), check=True, capture_output=True)
    assert "dvc repro" in shell("make repro", **ceiling).stdout


def test_results_of_another_machine_are_committed_as_advised(ready: Path) -> None:
    who = {
        f"GIT_{role}_{what}": "t@t"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    Path("dvc.lock").write_text("theirs")
    Path("data").mkdir()
    for name in ("params.yaml", "dvc.yaml", "src", "data/exclusions.csv"):
        Path(name).touch()
    shell("git init --quiet && git add -f . && git commit --quiet -m theirs", **who)
    assert "bit for bit" not in shell("make repro").stdout
    Path("dvc.lock").write_text("ours")
    (command,) = re.findall("(git commit .+)", shell("make repro").stdout)
    assert shell(command, **who).returncode == 0
    assert "bit for bit" not in shell("make repro").stdout


def test_weights_of_a_package_are_installed_again(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled = replace(pretrained.PACKAGED[pretrained.LITE0], sha256="0" * 64)
    monkeypatch.setitem(pretrained.PACKAGED, pretrained.LITE0, spoiled)
    with pytest.raises(PandacatError) as refused:
        pretrained.load("efficientnet_lite0")
    command = shlex.split(command_in(str(refused.value)))
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    name, _, version = command[-1].partition("==")
    wheel = f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr(f"{name}/weights", "whole")
        packed.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"
        )
        packed.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any"
        )
        packed.writestr(f"{info}/RECORD", "")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "venv"], check=True)
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(here), "PIP_PYTHON": "venv/bin/python"}
    environment = os.environ | settings
    subprocess.run(command, env=environment, check=True, capture_output=True)
    (weights,) = Path("venv").rglob(f"{name}/weights")
    weights.write_text("damaged")
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert weights.read_text() == "whole"
