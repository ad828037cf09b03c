"""`stages/run` finds a Python that can run a stage, or says what to do."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import BLAS_THREADS, ROOT

from pandacat.core.parallel import core_count

FULL = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
BARE = f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n'
"""A Python without installed packages."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with one stage, which tells how it was called."""
    (tmp_path / "stages").mkdir()
    shutil.copy(ROOT / "stages/run", tmp_path / "stages")
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    code = "import os, sys\nprint(sys.argv[1:], os.environ['PYTHONPATH'])\nsys.exit(7)\n"
    (tmp_path / "stages/tell.py").write_text(code)
    return tmp_path


def install(python: str, at: Path) -> None:
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_text(python)
    at.chmod(0o755)


def run(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "stages/run", *arguments],
        cwd=project,
        env={"PATH": str(project / "bin"), **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("place", ["bin/python", ".venv/bin/python"])
def test_a_stage_gets_its_arguments_and_the_folders_own_code(project: Path, place: str) -> None:
    install(FULL, project / place)
    ended = run(project, "tell", "mnist")
    assert (ended.stdout, ended.stderr, ended.returncode) == ("['mnist'] src\n", "", 7)


def test_products_of_a_stage_take_one_core_unless_told_otherwise(project: Path) -> None:
    install(FULL, project / "bin/python")
    (project / "stages/tell.py").write_text(BLAS_THREADS)
    assert run(project, "tell").stdout == "{1}\n"
    told = run(project, "tell", OPENBLAS_NUM_THREADS="2").stdout
    assert told == f"{{{min(2, core_count())}}}\n"


def test_a_python_without_the_packages_is_passed_over(project: Path) -> None:
    install(BARE, project / "bin/python")
    install(FULL, project / ".venv/bin/python")
    assert run(project, "tell").returncode == 7


def test_a_python_with_another_version_of_a_package_is_passed_over(project: Path) -> None:
    install(FULL, project / "bin/python")
    requirements = (project / "requirements.txt").read_text()
    (project / "requirements.txt").write_text(requirements + "\ntqdm==0.0.1\n")
    ended = run(project, "tell")
    assert ended.returncode == 1
    assert "in its versions" in ended.stderr


def test_ctrl_c_while_packages_load_says_nothing(project: Path) -> None:
    install(FULL, project / "bin/python")
    (project / "stages/tell.py").write_text(
        "import time\nprint('loading', flush=True)\ntime.sleep(60)"
    )
    process = subprocess.Popen(
        ["/bin/sh", "stages/run", "tell"],
        cwd=project,
        env={"PATH": str(project / "bin")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate() == ("", "")
    assert process.returncode == -signal.SIGINT


def test_a_package_that_cannot_be_loaded_is_a_sentence(project: Path) -> None:
    install(FULL, project / "bin/python")
    (project / "stages/tell.py").write_text("import a_package_that_is_not_there")
    ended = run(project, "tell")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: The package a_package_that_is_not_there is not inst")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["sing"], ["../src/pandacat/cli"]])
def test_a_stage_that_is_not_there_is_a_sentence(project: Path, arguments: list[str]) -> None:
    ended = run(project, *arguments)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: no stage")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("found", [[], ["bin/python"], ["bin/python", ".venv/bin/python"]])
def test_where_no_python_has_the_packages_a_sentence_says_what_to_do(
    project: Path, found: list[str]
) -> None:
    for place in found:
        install(BARE, project / place)
    ended = run(project, "tell", "mnist")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: no Python found that has all packages")
    assert ended.stderr.count("\n") == 1
