"""A project of two stages that take no time, in Git and DVC, and copies of it on other machines."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

STAGES = """
stages:
  double:
    cmd: mkdir -p out && expr 2 '*' $(cat number) > out/double
    deps: [number]
    outs: [out]
  copy:
    cmd: cp out/double copy
    deps: [out]
    outs: [copy]
"""
UP_TO_DATE = "Data and pipelines are up to date."


def run(*command: str) -> str:
    """Return what a command printed that must succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def dvc(*arguments: str) -> str:
    return run(sys.executable, "-m", "dvc", *arguments)


def make_project(folder: Path) -> None:
    """Make the project in a new folder, the current one from now on; its stages have run."""
    folder.mkdir()
    os.chdir(folder)
    run("git", "init", "--quiet")
    dvc("init", "--quiet")
    Path("dvc.yaml").write_text(STAGES)
    set_number(1)
    dvc("repro")
    commit()


def set_number(number: int) -> None:
    Path("number").write_text(f"{number}\n")


def set_remote(address: str, **settings: str) -> None:
    """Let a folder or an address be the default remote, for all who clone the project."""
    dvc("remote", "add", "--force", "--default", "shared", address)
    for name, value in settings.items():
        dvc("remote", "modify", "shared", name, value)
    commit()


def commit() -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    run("git", "add", "--all")
    run("git", *who, "commit", "--quiet", "--allow-empty", "--message", "results")


def clone(project: Path) -> Path:
    """Clone the project, as on another machine; the clone is the current folder from now on."""
    folder = project.with_name("clone")
    run("git", "clone", "--quiet", str(project), str(folder))
    os.chdir(folder)
    return folder


def empty_cache() -> None:
    """Remove all results, as on a machine that has computed none."""
    for name in (".dvc/cache", "out"):
        shutil.rmtree(name, ignore_errors=True)
    Path("copy").unlink(missing_ok=True)
