"""Two workers of `dvc exp run` at once."""

import re
import shutil
import subprocess
import sys
import time
from hashlib import md5
from pathlib import Path

from ruamel.yaml import YAML

from torture import project
from torture.bits import changed, copied
from torture.project import Project, small_params
from torture.report import Row

SEEDS = (21, 22, 23, 24)
MINUTES = 8
AFTER = ("fine_tune", "evaluate", "robustness", "plots", "report", "headline")
"""What the seed changes."""


def two_workers(folder: Path, undisturbed: Project) -> list[Row]:
    """Queue four experiments, let two workers run them, compare one with a run on its own."""
    queued = Project(folder / "queued")
    shutil.copytree(undisturbed.folder, queued.folder, symlinks=True)
    _git(queued, "add", "-A")
    _git(queued, "commit", "-q", "-m", "the undisturbed run")
    names = [f"seed-{seed}" for seed in SEEDS]
    for seed, name in zip(SEEDS, names, strict=True):
        _dvc(queued, "exp", "run", "--queue", "--name", name, "-S", f"fine_tune.seed={seed}")
    _dvc(queued, "queue", "start", "--jobs", "2")
    try:
        status = _wait(queued)
    finally:
        _dvc(queued, "queue", "stop", "--kill")
    assert status == dict.fromkeys(names, "Success"), status

    alone = copied(folder / "alone", undisturbed)
    alone.write_params(changed(small_params(), "fine_tune.seed", SEEDS[0]))
    for stage in AFTER:
        assert alone.run_stage(stage).code == 0
    _require_same_bits(queued, names[0], alone)
    assert _git(queued, "status", "--porcelain") == "", "an experiment changed the workspace"
    happened = "all succeed; the same bits as on its own; the workspace unchanged"
    return [Row("experiments at once", "two workers of `dvc queue`", len(SEEDS), happened)]


def _require_same_bits(queued: Project, name: str, alone: Project) -> None:
    """Compare the hashes that DVC noted for an experiment with those of files made without it."""
    references = _git(queued, "for-each-ref", "--format=%(refname)", "refs/exps").split()
    (reference,) = [line for line in references if line.endswith(f"/{name}")]
    lock = YAML(typ="safe").load(_git(queued, "show", f"{reference}:dvc.lock"))
    for stage in AFTER:
        for output in lock["stages"][stage]["outs"]:
            file = alone.folder / output["path"]
            if file.is_file():
                assert md5(file.read_bytes()).hexdigest() == output["md5"], output["path"]


def _wait(queued: Project) -> dict[str, str]:
    """Return how each experiment ended."""
    end = time.monotonic() + 60 * MINUTES
    while True:
        table = _dvc(queued, "queue", "status")
        status = dict(re.findall(r"(seed-\d+)\s.*?(Queued|Running|Success|Failed)", table))
        if not {"Queued", "Running"} & set(status.values()) or time.monotonic() > end:
            return status
        time.sleep(2)


def _dvc(queued: Project, *arguments: str) -> str:
    ended = project.run([sys.executable, "-m", "dvc", *arguments], queued.folder)
    assert ended.code == 0, ended.output[-2000:]
    return ended.output


def _git(queued: Project, *arguments: str) -> str:
    git = ["git", "-c", "user.name=torture", "-c", "user.email=torture@localhost", *arguments]
    return subprocess.run(
        git, cwd=queued.folder, check=True, capture_output=True, text=True
    ).stdout.strip()
