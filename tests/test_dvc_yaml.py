"""`dvc.yaml` tells the truth: its dependencies are the code and files that the stages use."""

import ast
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
TEMPLATES = "src/pandacat/templates"
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
CARRIERS = {"errors", "files", "interrupts", "layout", "parallel", "params", "stage", "tracking"}
"""Modules that carry values about and change none, so they are nobody's dependency."""


def modules_imported_by(path: Path) -> set[Path]:
    """Return the files of the package that a file imports itself, at any depth in its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "pandacat":
                place = SOURCE.joinpath(*name.split("."))
                found |= {
                    file
                    for file in (place.with_suffix(".py"), place / "__init__.py")
                    if file.is_file()
                }
    return found


def modules_used_by(stage: Path) -> set[str]:
    """Return the package's files that a stage needs, directly or through others."""
    used: set[Path] = set()
    waiting = modules_imported_by(stage)
    while waiting:
        file = waiting.pop()
        if file.stem in CARRIERS or file in used:
            continue
        used.add(file)
        waiting |= modules_imported_by(file)
    return {
        str(file.relative_to(ROOT))
        for file in used
        if "import" in (text := file.read_text()) or "=" in text
    }


def code_named_by(stage: dict[str, object]) -> set[str]:
    """Return the Python files among a stage's dependencies; a folder stands for all in it."""
    deps = [
        dep
        for dep in stage["deps"]
        if dep.startswith(("src", "stages")) and not dep.startswith(TEMPLATES)
    ]
    files: set[str] = set()
    for dep in deps:
        path = ROOT / dep
        files |= {str(f.relative_to(ROOT)) for f in path.rglob("*.py")} if path.is_dir() else {dep}
    return files


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_exactly_the_code_it_uses(name: str) -> None:
    script = f"stages/{name}.py"
    assert code_named_by(STAGES[name]) == {script} | modules_used_by(ROOT / script)


def templates_used_by(modules: set[str]) -> set[str]:
    """Return the templates that modules name, and those that these name."""
    waiting = [ROOT / module for module in modules if module != "src/pandacat/pages.py"]
    used: set[str] = set()
    while waiting:
        text = waiting.pop().read_text()
        named = re.findall(r'(?:render\(|include|import|from)\s*"([\w-]+\.\w+)"', text)
        for template in {f"{TEMPLATES}/{name}" for name in named} - used:
            used.add(template)
            waiting.append(ROOT / template)
    return used


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_exactly_the_templates_it_fills(name: str) -> None:
    named = {dep for dep in STAGES[name]["deps"] if dep.startswith(TEMPLATES)}
    modules = modules_used_by(ROOT / "stages" / f"{name}.py")
    assert named == templates_used_by({f"stages/{name}.py"} | modules)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_runs_the_file_of_its_own_name_and_has_a_description(name: str) -> None:
    assert STAGES[name]["cmd"].split()[:3] == ["sh", "stages/run", name]
    assert (ROOT / "stages" / f"{name}.py").is_file()
    assert STAGES[name]["desc"]


def test_every_stage_file_is_a_stage() -> None:
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == set(STAGES)
