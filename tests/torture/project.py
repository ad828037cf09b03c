"""A copy of the project whose stages take seconds, to be disturbed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
TRAINING = ("train_scratch_mnist", "train_scratch_photos", "fine_tune")
"""The stages that resume."""

CALM = {
    "PANDACAT_TRACKING": "later",
    "OMP_NUM_THREADS": "1",
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
}
"""Keeps MLflow and the number of cores out of what is tested here."""


def small_params() -> dict[str, Any]:
    """Return the project's parameters, cut down until a stage takes seconds."""
    params = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    params["photos"]["sample"]["photos_per_class"] = 20
    params["preprocess"] |= {"min_photos_per_label": 5, "image_px": 160}
    still = {
        name: [1.0, 1.0] if name == "scale" else False if name == "flip" else 0
        for name in params["train_scratch"]["mnist"]["augment"]
    }
    digits = {"channels": [4], "depths": [1], "epochs": 5, "batch_size": 1024, "augment": still}
    params["train_scratch"]["mnist"] |= digits
    params["train_scratch"]["photos"] |= {"input_px": 32, "epochs": 150}
    params["predict_pretrained"]["crops"] = "center"
    params["predict_pretrained"]["augmented_copies"]["count"] = 1
    params["audit"] |= {"label_issues_shown": 6}
    params["fine_tune"] |= {"steps": 20, "patience": None}
    params["robustness"] |= {"photos": 1, "severities": [1, 5], "recompressed_photos": 10}
    return params


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    """Negative: by that signal."""
    output: str
    """What it printed, on both streams."""
    seconds: float


@dataclass(frozen=True)
class Project:
    """A copy of the project with a Git history and a DVC cache of its own."""

    folder: Path

    @property
    def stages(self) -> dict[str, dict[str, Any]]:
        """The stages of `dvc.yaml` in its order."""
        return YAML(typ="safe").load((self.folder / "dvc.yaml").read_text())["stages"]

    def write_params(self, params: dict[str, Any]) -> None:
        """Write `params.yaml`."""
        with (self.folder / "params.yaml").open("w") as stream:
            YAML(typ="safe", pure=True).dump(params, stream)

    def outputs(self, stage: str) -> list[Path]:
        """Return what the stage declares to write."""
        declared = self.stages[stage]
        listed = [
            *declared.get("outs", []),
            *declared.get("metrics", []),
            *declared.get("plots", []),
        ]
        names = [next(iter(out)) if isinstance(out, dict) else out for out in listed]
        return [self.folder / name for name in names]

    def fingerprints(self, stage: str) -> dict[str, str]:
        """Return a hash of each output that is there, by its path in the project."""
        return {
            str(path.relative_to(self.folder)): _fingerprint(path)
            for path in self.outputs(stage)
            if path.exists()
        }

    def remove_outputs(self, stage: str) -> None:
        """Remove the outputs, as DVC does before it runs a stage."""
        for path in self.outputs(stage):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def leftovers(self) -> list[Path]:
        """Return the files and folders that were written aside and never renamed."""
        return [path for path in self.folder.rglob("*.part") if ".dvc" not in path.parts]

    def run_stage(self, stage: str, *, kill_after: float | None = None, **more: Any) -> Ended:
        """Run a stage's command as DVC does; with `kill_after` seconds, kill it then."""
        command = ["sh", "-c", self.stages[stage]["cmd"]]
        return run(command, self.folder, kill_after=kill_after, **more)

    def repro(self, *arguments: str, kill_after: float | None = None) -> Ended:
        """Run `dvc repro`, and kill it with all that it started."""
        command = [sys.executable, "-m", "dvc", "repro", *arguments]
        return run(command, self.folder, kill_after=kill_after)

    def lock(self) -> dict[str, Any]:
        """Return the stages of `dvc.lock`: the hashes of all inputs and outputs."""
        return YAML(typ="safe").load((self.folder / "dvc.lock").read_text())["stages"]


def _fingerprint(path: Path) -> str:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    digest = sha256()
    for file in filter(Path.is_file, files):
        digest.update(str(file.relative_to(path)).encode() + b"\0")
        digest.update(sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def run(
    command: Sequence[str],
    folder: Path,
    *,
    kill_after: float | None = None,
    by: signal.Signals = signal.SIGKILL,
    environment: dict[str, str] | None = None,
    **more: Any,
) -> Ended:
    """Run a command; after `kill_after` seconds, kill it and all that it started."""
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **CALM, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        **more,
    )
    try:
        output, _ = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, by)
        output, _ = process.communicate()
        _wait_for_the_last_of(process.pid)
    return Ended(process.returncode, output, time.monotonic() - started)


def _wait_for_the_last_of(group: int) -> None:
    """Wait until the system has buried all processes of a group; until then they seem to live."""
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)


def create(folder: Path, params: dict[str, Any] | None = None) -> Project:
    """Copy what Git knows of the project to `folder`, with small parameters."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.split("\0"):
        source = ROOT / name
        if name and name != "dvc.lock" and not name.startswith("tests/") and source.is_file():
            if source.is_symlink():
                continue
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    project = Project(folder)
    project.write_params(params or small_params())
    for stage in project.stages:
        project.remove_outputs(stage)
    git = ["git", "-c", "user.name=torture", "-c", "user.email=torture@localhost"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "small"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True, capture_output=True)
    return project
