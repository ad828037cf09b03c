"""The same bits in any folder, on any number of cores, and others with another seed."""

import copy
import os
import shutil
from pathlib import Path
from typing import Any

from torture.project import TRAINING, Project, small_params
from torture.report import Row

SEEDS = {
    "photos.sample.seed": "fetch_photos",
    "preprocess.seed": "preprocess",
    "train_scratch.mnist.seed": "train_scratch_mnist",
    "train_scratch.photos.seed": "train_scratch_photos",
    "predict_pretrained.seed": "predict_pretrained",
    "fine_tune.seed": "fine_tune",
    "audit.seed": "audit",
    "evaluate.seed": "evaluate",
    "robustness.seed": "robustness",
}
"""Every seed of `params.yaml`, and the stage whose outputs it decides."""


def any_cores(folder: Path, undisturbed: Project, stages: list[str]) -> list[Row]:
    """Run each stage on one core, and with two threads in each calculation.

    PyTorch adds gradients up in another order on more threads, so stages with gradients (training,
    Grad-CAM) are left out there.
    """
    disturbed = copied(folder, undisturbed)
    few = {min(os.sched_getaffinity(0))}
    ways: dict[str, dict[str, Any]] = {
        "one core": {"preexec_fn": lambda: os.sched_setaffinity(0, few)},
        "two threads": {"environment": {"OMP_NUM_THREADS": "2"}},
    }
    differing, runs = [], 0
    for stage in stages:
        for way, options in ways.items():
            if way == "two threads" and stage in (*TRAINING, "plots"):
                continue
            runs += 1
            disturbed.remove_outputs(stage)
            ended = disturbed.run_stage(stage, **options)
            assert ended.code == 0, ended.output[-2000:]
            if disturbed.fingerprints(stage) != undisturbed.fingerprints(stage):
                differing.append(f"{stage} on {way}")
    assert not differing, differing
    done = "each stage on one core; those without gradients with two threads, too"
    return [Row("other numbers of workers", done, runs, "the same bits")]


def seeds(folder: Path, undisturbed: Project) -> list[Row]:
    """Change each seed: other bits; change it back: the same bits again."""
    disturbed = copied(folder, undisturbed)
    deaf = []
    for key, stage in SEEDS.items():
        expected = undisturbed.fingerprints(stage)
        disturbed.write_params(changed(small_params(), key, 1234))
        assert disturbed.run_stage(stage).code == 0
        if disturbed.fingerprints(stage) == expected:
            deaf.append(key)
        disturbed.write_params(small_params())
        assert disturbed.run_stage(stage).code == 0
        assert disturbed.fingerprints(stage) == expected, key
    assert not deaf, f"these seeds change nothing: {deaf}"
    happened = "other bits, then the same again"
    return [Row("another seed", "each one of params.yaml, and back", len(SEEDS), happened)]


def copied(folder: Path, undisturbed: Project) -> Project:
    """Return a copy of a project in another folder, without its cache."""
    aside = shutil.ignore_patterns("cache", "tmp")
    shutil.copytree(undisturbed.folder, folder, symlinks=True, ignore=aside)
    return Project(folder)


def changed(params: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return a copy of the parameters with another value for a dotted key."""
    other = copy.deepcopy(params)
    *parents, last = key.split(".")
    place = other
    for parent in parents:
        place = place[parent]
    place[last] = value
    return other
