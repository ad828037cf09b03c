"""The code that each stage uses, as `dvc.yaml` lists it: `make deps` updates the lists.

A stage depends on its own file, on the modules that this imports, directly or through others, and
on the templates that these fill. Modules that carry values about and change none are left out, so
that a new parameter or a better error message reruns nothing.
"""

import ast
import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
TEMPLATES = ("src/pandacat/report/templates", "src/pandacat/models/export_files")
"""Folders of files that modules name."""
WHOLE_FOLDERS = ("src/drawn_animals",)
"""Named as one dependency."""

CARRIERS = (
    "src/pandacat/config/",
    "src/pandacat/tracking/",
    *(
        f"src/pandacat/core/{name}.py"
        for name in ("console", "errors", "files", "interrupts", "parallel", "paths", "stage")
    ),
)
"""Folders and modules on which no output depends."""


def imported_by(path: Path) -> set[Path]:
    """Return the project's files that a file imports itself, at any depth in its code."""
    files: set[Path | None] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            files |= {_file_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                files.add(_file_of(f"{node.module}.{alias.name}") or _file_of(node.module))
    return {file for file in files if file}


def _file_of(module: str) -> Path | None:
    """Return the file of a module or a package of this project."""
    place = SOURCE.joinpath(*module.split("."))
    files = (place.with_suffix(".py"), place / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def modules_used_by(stage: Path) -> set[str]:
    """Return the modules that a stage needs, directly or through others, relative to the root."""
    used: set[Path] = set()
    waiting = imported_by(stage)
    while waiting:
        file = waiting.pop()
        if file not in used and not _relative(file).startswith(CARRIERS):
            used.add(file)
            waiting |= imported_by(file)
    return {_relative(file) for file in used if _has_code(file)}


def _has_code(file: Path) -> bool:
    """Return whether there is more to a module than a docstring."""
    return len(ast.parse(file.read_text(encoding="utf-8")).body) > 1


def templates_used_by(modules: Iterable[str]) -> set[str]:
    """Return the templates that modules name, and those that these name."""
    waiting = [ROOT / module for module in modules]
    used: set[str] = set()
    while waiting:
        text = waiting.pop().read_text(encoding="utf-8")
        names = re.findall(r'"([\w-]+\.\w+)"', text)
        named = {f"{folder}/{name}" for folder in TEMPLATES for name in names}
        for template in named - used:
            if (ROOT / template).is_file():
                used.add(template)
                waiting.append(ROOT / template)
    return used


def code_used_by(name: str) -> list[str]:
    """Return the code that the stage called `name` depends on, as `dvc.yaml` lists it."""
    script = f"stages/{name}.py"
    modules = modules_used_by(ROOT / script)
    templates = templates_used_by({script} | modules)
    folders = {
        folder
        for folder in WHOLE_FOLDERS
        if any(module.startswith(f"{folder}/") for module in modules)
    }
    single = {module for module in modules if not module.startswith(tuple(folders or "?"))}
    return [script, *sorted(single | folders), *sorted(templates)]


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def updated(text: str) -> str:
    """Return the text of `dvc.yaml` with the code of each stage listed anew."""
    lines: list[str] = []
    stage, in_deps = "", False
    for line in [*text.splitlines(), ""]:
        if found := re.fullmatch(r"  (\w+):", line):
            stage = found[1]
        if in_deps and not line.startswith("      "):
            lines += [f"      - {dep}" for dep in code_used_by(stage)]
            in_deps = False
        if in_deps and re.match(r"      - (src|stages)/", line):
            continue
        in_deps = in_deps or line == "    deps:"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    """Write `dvc.yaml`; with `--check`, only say whether it would change."""
    path = ROOT / "dvc.yaml"
    text = path.read_text(encoding="utf-8")
    if "--check" not in sys.argv:
        path.write_text(updated(text), encoding="utf-8")
    elif updated(text) != text:
        sys.exit("dvc.yaml lists other code than its stages use: run `make deps`.")


if __name__ == "__main__":
    main()
