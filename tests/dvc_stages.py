"""The stages as `dvc.yaml` declares them, and runs of one that find no more than it declares."""

import copy
import os
import runpy
import shutil
from collections.abc import Collection
from contextlib import chdir
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pandacat.config import loading

ROOT = Path(__file__).parents[1]
FIELD_TEST = "elsewhere"
"""The folder that `evaluate.field_test` names in the tests; parameters name it, not `dvc.yaml`."""


@dataclass(frozen=True)
class Stage:
    """One stage: how it is called, what it reads and what it writes, code aside."""

    name: str
    command: tuple[str, ...]
    """A file of the folder `stages`, without its ending, and arguments."""
    inputs: tuple[str, ...]
    params: tuple[str, ...]
    outputs: tuple[str, ...]


def declared_stages() -> dict[str, Stage]:
    """Return the stages of `dvc.yaml` by name, each after those that it depends on."""
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    stages: dict[str, Stage] = {}
    for name, content in YAML(typ="safe").load(text)["stages"].items():
        deps = content.get("deps", [])
        outputs = [out for kind in ("outs", "metrics", "plots") for out in content.get(kind, [])]
        stages[name] = Stage(
            name,
            command=tuple(content["cmd"].split()[2:]),
            inputs=tuple(dep for dep in deps if not dep.startswith(("src/", "stages/"))),
            params=tuple(content.get("params", [])),
            outputs=tuple(out if isinstance(out, str) else next(iter(out)) for out in outputs),
        )
    return stages


def run_stage(name: str, *arguments: str) -> None:
    """Run a stage in the current folder, as `dvc repro` does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [name, *arguments])
        runpy.run_path(str(ROOT / "stages" / f"{name}.py"), run_name="__main__")


def run_declared(stage: Stage, workspace: Path, alone: Path, *, without: str = "") -> None:
    """Run a stage in the folder `alone`, with links to its inputs in `workspace` and no others.

    Of the parameters, the stage is given only what it declares. `without` is an input or a
    parameter that it has to do without, too.

    Raises:
        SystemExit: the stage failed; the argument says why.
        AssertionError: it wrote something else than its outputs.
    """
    for path in {"params.yaml", FIELD_TEST, *stage.inputs}:
        if path != without and (workspace / path).exists():
            _link(workspace / path, alone / path)
    params = [param for param in stage.params if param != without]
    config = only(params, loading.load_config(workspace / "params.yaml"))
    before = _files(alone)
    with pytest.MonkeyPatch.context() as patch, chdir(alone):
        patch.setattr(loading, "load_config", lambda: config)
        run_stage(*stage.command)
    written = {path for path in _files(alone) - before if not path.startswith(".pandacat/")}
    assert written == {path for output in stage.outputs for path in _files(alone, output)}
    assert [output for output in stage.outputs if not (alone / output).exists()] == []


def only(params: Collection[str], section: Any) -> Any:
    """Return a copy of a section of the parameters that lacks what `params` doesn't name."""
    rest = copy.copy(section)
    for field in fields(section):
        prefix = f"{field.name}."
        inside = [param.removeprefix(prefix) for param in params if param.startswith(prefix)]
        if inside:
            inner = only(inside, getattr(section, field.name))
            object.__setattr__(rest, field.name, inner)
        elif field.name not in params:
            object.__delattr__(rest, field.name)
    return rest


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=os.link)
    else:
        os.link(source, target)


def _files(folder: Path, inside: str = ".") -> set[str]:
    """Return the files in a folder, or the one file, relative to `folder`."""
    place = folder / inside
    paths = [place] if place.is_file() else [p for p in place.rglob("*") if p.is_file()]
    return {path.relative_to(folder).as_posix() for path in paths}
