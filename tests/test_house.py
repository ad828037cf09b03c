"""The rooms of the house: which may import which, how many there are, and how large.

A room is a file or a folder at the top of `src/pandacat`, or the package `drawn_animals`.
"""

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from dvc_stages import ROOT

from tools.stage_dependencies import SOURCE, imported_by

ORDER = (
    ("labels",),
    ("core",),
    ("config", "tracking"),
    ("data", "metrics"),
    ("models",),
    ("training",),
    ("evaluation",),
    ("report",),
    ("__init__",),
    ("service",),
    ("app",),
    ("__main__",),
)
"""From the lowest to the highest. A room imports lower ones, not those beside it."""

LOWER = {
    room: {below for rooms in ORDER[:level] for below in rooms}
    for level, rooms in enumerate(ORDER)
    for room in rooms
}

RECORDING = {"app", "__main__"}
"""Rooms that may record runs. Elsewhere the stage does it, so that calling the library has none."""

ALLOWED = {
    **{room: lower if room in RECORDING else lower - {"tracking"} for room, lower in LOWER.items()},
    "data": LOWER["data"] - {"tracking"} | {"drawn_animals"},
    "drawn_animals": set(),
    "metrics": {"labels"},
    "service": {"labels", "core", "config", "data", "metrics", "models", "__init__"},
    "tracking": {"core"},
}

PRIVATE_WORDS = re.compile(
    "promise|judged|shown_others|recogni[sz]er|take_in|written_aside|untouched", re.IGNORECASE
)
"""Words of earlier versions for which the field has its own: CHANGELOG.md lists them."""

MODULES = sorted(SOURCE.rglob("*.py"))
IMPORTS = {module: imported_by(module) for module in MODULES}


def room(module: Path) -> str:
    package, *inside = module.relative_to(SOURCE).with_suffix("").parts
    return inside[0] if package == "pandacat" else package


def name(module: Path) -> str:
    return module.relative_to(SOURCE).as_posix()


def lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_module_imports_only_lower_rooms_and_its_own(module: Path) -> None:
    allowed = ALLOWED[room(module)] | {room(module)}
    assert sorted(name(other) for other in IMPORTS[module] if room(other) not in allowed) == []


def test_no_module_imports_itself_not_even_through_others() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(name(module) for module in error.args[1]))


def test_every_module_is_used_by_a_stage_or_by_the_command() -> None:
    waiting = [*(ROOT / "stages").glob("*.py"), SOURCE / "pandacat/__main__.py"]
    used: set[Path] = set()
    while waiting:
        used.add(module := waiting.pop())
        waiting += imported_by(module) - used
    copied = {*(SOURCE / "pandacat/models/export_files").iterdir()}
    unused = {module for module in MODULES if module.name != "__init__.py"} - used - copied
    assert sorted(map(name, unused)) == []


def test_there_are_at_most_16_rooms() -> None:
    """The file that starts the command and the docstring of the package count, too."""
    assert {room(module) for module in MODULES} == set(ALLOWED)
    assert len(ALLOWED) <= 16


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_module_has_at_most_350_lines(module: Path) -> None:
    assert len(lines(module)) <= 350


@pytest.mark.parametrize("place", ["src", "stages", "params.yaml"])
def test_things_have_the_names_that_the_field_gives_them(place: str) -> None:
    files = [ROOT / place, *(ROOT / place).rglob("*")]
    texts = [file for file in files if file.suffix in {".py", ".yaml", ".md", ".html", ".css"}]
    assert texts
    assert [
        f"{file.relative_to(ROOT)}, line {number}: {line.strip()}"
        for file in texts
        for number, line in enumerate(lines(file), start=1)
        if PRIVATE_WORDS.search(line)
    ] == []
