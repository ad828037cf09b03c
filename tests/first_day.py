"""The first day: all that README says, typed into a fresh clone, then its second half backwards.

    PYTHONPATH=tests python tests/first_day.py

The clone has small parameters and, as on a machine of one's own, a `dvc.lock` in Git that names
results of another processor. After each command all outputs are there, or `dvc repro` makes them
again within a minute, the exit code is as README says, and Git lists no file that README does not
explain.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dvc.utils.hydra import apply_overrides
from kaggle_server import KaggleServer
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
SMALL = (
    "photos.sample.photos_per_class=24",
    "preprocess.min_photos_per_label=5",
    "preprocess.image_px=200",
    "train_scratch.mnist.channels=[4]",
    "train_scratch.mnist.depths=[1]",
    "train_scratch.mnist.epochs=1",
    "train_scratch.photos.input_px=32",
    "train_scratch.photos.epochs=2",
    "predict_pretrained.crops=center",
    "predict_pretrained.augmented_copies.count=1",
    "fine_tune.steps=8",
    "robustness.photos=1",
    "robustness.severities=[1,5]",
)
LEFT_OUT = {
    "make test": "it runs beside this",
    "source .venv/bin/activate": "this environment is active",
    "make bench": "half an hour of measuring",
    "make ui": "a server, which does not end",
    "make serve": "a server, which does not end",
    "curl": "there is no such address",
}
"""Commands of README that are not typed, and why."""

FAILING = {"git commit": 1, "make gate": 2, "pandacat predict examples/ -o": 1}
"""Exit codes besides 0: nothing to commit; a metric regressed, by way of make; the file exists."""

EXPLAINED = {"dvc.lock", "params.yaml", "predictions.csv", "why/"}
"""What Git may list, besides `metrics/`: what README says, and what its commands name."""

REMADE_SECONDS = 60
KAGGLE_PORT = 7777
"""Of the test environment of Kaggle's client."""


@dataclass(frozen=True)
class Clone:
    """A clone of the project, and the environment that commands get there."""

    folder: Path
    environment: dict[str, str]

    def run(self, command: str) -> tuple[int, str]:
        """Return the exit code of a line of shell, and what it printed."""
        ended = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        return ended.returncode, ended.stdout

    def require(self, command: str) -> str:
        """Return what a command printed that must succeed."""
        code, output = self.run(command)
        assert code == 0, f"{command} ended with {code}:\n{output[-3000:]}"
        return output

    def missing_outputs(self) -> list[str]:
        """Return the outputs in `dvc.yaml` that are not there."""
        stages = YAML(typ="safe").load(self.folder / "dvc.yaml")["stages"]
        outputs = [
            next(iter(out)) if isinstance(out, dict) else out
            for stage in stages.values()
            for kind in ("outs", "metrics", "plots")
            for out in stage.get(kind, [])
        ]
        return [output for output in outputs if not (self.folder / output).exists()]

    def changed_files(self) -> list[str]:
        """Return the files that `git status` lists."""
        return [line[3:] for line in self.require("git status --porcelain").splitlines()]


def commands_in(text: str) -> Iterator[str]:
    """Yield the commands in the code blocks and tables of a Markdown page, without comments."""
    pattern = r"^```(bash|console)\n(.*?)^```|^\| `((?:dvc|make) .*?)`"
    for language, block, command in re.findall(pattern, text, re.M | re.S):
        for line in [command] if command else block.splitlines():
            if line and (language != "console" or line.startswith("$ ")):
                yield re.sub(r"\s+#.*", "", line.removeprefix("$ "))


def main() -> None:
    """Play the day; stop at the first thing that is not as README says."""
    with tempfile.TemporaryDirectory(prefix="first-day-") as temporary:
        top = Path(temporary)
        clone = prepare(top)
        archive = (clone.folder / "data/raw/photos.zip").read_bytes()
        with KaggleServer(archive, port=KAGGLE_PORT):
            commands = [*commands_in((ROOT / "README.md").read_text())]
            for command in [*commands, *reversed(commands[len(commands) // 2 :])]:
                play(clone, command)


def small_clone(top: Path, *more: str) -> Clone:
    """Return a clone of the project with small parameters and those given, all of it committed."""
    clone = Clone(top / "pandacat", environment(top))
    subprocess.run(["git", "clone", "--quiet", ROOT, clone.folder], check=True)
    (clone.folder / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        (clone.folder / ".venv" / part.name).symlink_to(part)
    (clone.folder / ".venv/ready").unlink(missing_ok=True)
    (clone.folder / ".venv/ready").touch()
    (clone.folder / ".git/info/exclude").write_text(".venv\n*.zip\n")
    clone.require("git switch --quiet -C main")
    apply_overrides(clone.folder / "params.yaml", [*SMALL, *more])
    clone.require("git commit --quiet -am 'Small parameters'")
    return clone


def prepare(top: Path) -> Clone:
    """Return a clone in which `make repro` has run, on a machine that is not the author's."""
    clone = small_clone(top)
    clone.require("make repro")

    mine = {name: (clone.folder / name).read_text() for name in clone.changed_files()}
    lock = clone.folder / "dvc.lock"
    lock.write_text(of_another_machine(lock.read_text()))
    clone.require('git commit --quiet -am "Results of the author\'s machine"')
    for name, text in mine.items():
        (clone.folder / name).write_text(text)
    for archive in (top / "photos.zip", clone.folder / "animal-image-dataset.zip"):
        shutil.copy(clone.folder / "data/raw/photos.zip", archive)
    with zipfile.ZipFile(clone.folder / "field-test.zip", "w") as field_test:
        for photo in sorted((ROOT / "examples").rglob("*.jpg")):
            field_test.write(photo, photo.relative_to(ROOT / "examples"))
    return clone


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a person with a home of their own, whose Kaggle is a loopback."""
    return os.environ | {
        "HOME": str(home),
        "PYTHONPATH": str(home / "pandacat/src"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "KAGGLE_API_ENVIRONMENT": "TEST",
        "GIT_AUTHOR_NAME": "a person",
        "GIT_AUTHOR_EMAIL": "person@example.org",
        "GIT_COMMITTER_NAME": "a person",
        "GIT_COMMITTER_EMAIL": "person@example.org",
    }


def of_another_machine(lock: str) -> str:
    """Return the text of a `dvc.lock` with other hashes for all that is trained."""
    same = ("fetch_mnist", "fetch_photos", "preprocess")
    for name, stage in YAML(typ="safe").load(lock)["stages"].items():
        for output in stage["outs"] if name not in same else []:
            md5 = output["md5"].partition(".")[0]
            lock = lock.replace(md5, hashlib.md5(md5.encode()).hexdigest())
    return lock


def play(clone: Clone, command: str) -> None:
    """Run one command of README, and check what it leaves."""
    if reason := next((why for start, why in LEFT_OUT.items() if command.startswith(start)), ""):
        print(f"–      {command}: {reason}", flush=True)
        return
    started = time.monotonic()
    code, output = clone.run(command)
    seconds = time.monotonic() - started
    allowed = {0, *(code for start, code in FAILING.items() if command.startswith(start))}
    assert code in allowed, f"{command} ended with {code}:\n{output[-3000:]}"
    if command.startswith("git restore params.yaml"):
        params = (clone.folder / "params.yaml").read_text()
        assert params == clone.require("git show HEAD:params.yaml"), "Git did not see a change"
    if command.startswith("dvc queue start"):
        wait_for_queue(clone)
    remade = ""
    if missing := clone.missing_outputs():
        began = time.monotonic()
        clone.require("dvc repro")
        took = time.monotonic() - began
        assert took < REMADE_SECONDS, f"{missing} remade in {took:.0f} s"
        assert not clone.missing_outputs()
        remade = f", {len(missing)} outputs remade in {took:.0f} s"
    unexplained = [
        name
        for name in clone.changed_files()
        if name not in EXPLAINED and not name.startswith("metrics/")
    ]
    assert not unexplained, f"after {command}, Git lists {unexplained}"
    print(f"{seconds:4.0f} s {command}{f' (exit code {code})' if code else ''}{remade}", flush=True)


def wait_for_queue(clone: Clone) -> None:
    """Wait until no experiment is queued or runs; all must have succeeded."""
    while re.search(r"\b(Queued|Running)\b", status := clone.require("dvc queue status")):
        time.sleep(2)
    assert "Failed" not in status, status


if __name__ == "__main__":
    main()
