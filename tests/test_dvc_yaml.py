"""`dvc.yaml` tells the truth: its stages depend on the code, files and parameters that they use."""

import re
from pathlib import Path

import pandas as pd
import pytest
from conftest import Pipeline
from dvc.repo import Repo
from dvc_stages import ROOT, declared_stages, run_declared
from ruamel.yaml import YAML

from tools import stage_dependencies

TEXT = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
STAGES = YAML(typ="safe").load(TEXT)["stages"]
DECLARED = declared_stages()


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_exactly_the_code_it_uses(name: str) -> None:
    named = [dep for dep in STAGES[name]["deps"] if dep.startswith(("src/", "stages/"))]
    assert named == stage_dependencies.code_used_by(name), "`make deps` lists it anew"


def test_make_deps_writes_what_is_there() -> None:
    assert stage_dependencies.updated(TEXT) == TEXT


def test_modules_that_change_no_output_are_there() -> None:
    assert [path for path in stage_dependencies.CARRIERS if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_runs_the_file_of_its_own_name_and_has_a_description(name: str) -> None:
    assert STAGES[name]["cmd"].split()[:3] == ["sh", "stages/run", name]
    assert (ROOT / "stages" / f"{name}.py").is_file()
    assert STAGES[name]["desc"]


def test_git_ignores_what_dvc_caches_and_nothing_else_beside_it() -> None:
    outputs: dict[str, dict[str, bool]] = {}
    for stage in STAGES.values():
        for out in [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]:
            outputs |= out if isinstance(out, dict) else {out: {}}
    cached = [Path(path) for path, options in outputs.items() if options.get("cache", True)]
    ignored = [
        folder / line.lstrip("/")
        for folder in {path.parent for path in cached}
        for line in (ROOT / folder / ".gitignore").read_text().splitlines()
    ]
    assert sorted(ignored) == sorted(cached)


def test_make_experiments_has_no_columns_for_hashes_of_dependencies() -> None:
    (dropped,) = re.findall("--drop '(.*)'", (ROOT / "Makefile").read_text())
    deps = {dep for stage in STAGES.values() for dep in stage["deps"]}
    assert [dep for dep in deps if not re.fullmatch(dropped, dep)] == []


def test_dvc_lock_holds_no_stage_that_dvc_yaml_no_longer_has() -> None:
    lock = YAML(typ="safe").load((ROOT / "dvc.lock").read_text(encoding="utf-8"))
    assert lock["stages"].keys() - STAGES.keys() == set(), "DVC keeps them: remove them by hand"


def test_every_stage_file_is_a_stage() -> None:
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == set(STAGES)


@pytest.mark.parametrize("name", DECLARED)
def test_a_stage_does_with_the_files_and_parameters_it_declares(
    pipeline: Pipeline, name: str
) -> None:
    assert pipeline.failures.get(name) is None


@pytest.mark.parametrize(
    ("name", "path"), [(s.name, path) for s in DECLARED.values() for path in s.inputs]
)
def test_a_stage_needs_every_file_it_declares(
    pipeline: Pipeline, tmp_path: Path, name: str, path: str
) -> None:
    with pytest.raises(SystemExit):
        run_declared(DECLARED[name], pipeline.workspace, tmp_path, without=path)


@pytest.mark.parametrize(
    ("name", "param"), [(s.name, param) for s in DECLARED.values() for param in s.params]
)
def test_a_stage_needs_every_parameter_it_declares(
    pipeline: Pipeline, tmp_path: Path, name: str, param: str
) -> None:
    with pytest.raises(SystemExit):
        run_declared(DECLARED[name], pipeline.workspace, tmp_path, without=param)


def test_every_model_is_an_artifact_under_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text(TEXT)
    Repo.init(str(tmp_path), no_scm=True)
    artifacts = Repo(str(tmp_path)).artifacts.read()["dvc.yaml"]
    outputs = [output for stage in DECLARED.values() for output in stage.outputs]
    models = {output for output in outputs if output.startswith("models/")}
    assert {artifact.path: name for name, artifact in artifacts.items()} == {
        model: Path(model).name for model in models
    }
    for artifact in artifacts.values():
        assert (artifact.type, bool(artifact.desc), bool(artifact.labels)) == ("model", True, True)


def test_plots_show_columns_that_the_stages_write(workspace: Path) -> None:
    for plot in YAML(typ="safe").load(TEXT)["plots"]:
        if isinstance(plot, str):
            assert (workspace / plot).exists()
            continue
        ((_, content),) = plot.items()
        across = content["x"] if isinstance(content["x"], dict) else {}
        for path, columns in [*content["y"].items(), *across.items()]:
            wanted = {columns} if isinstance(columns, str) else {*columns}
            wanted |= {content["x"]} if isinstance(content["x"], str) else set()
            assert wanted <= set(pd.read_csv(workspace / path).columns)
