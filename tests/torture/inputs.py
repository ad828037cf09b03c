"""Damaged files between the stages: a result or an error message, whatever an input holds."""

import io
import json
import multiprocessing
import os
import random
import resource
import runpy
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from torture.damage import damaged
from torture.fuzz import mapped_bytes
from torture.params import ODD_VALUES
from torture.project import CALM, Project
from torture.report import Row

TIMES_EACH = 30
"""How often an input of each stage is damaged."""

SECONDS_EACH = 300
MEMORY_BYTES = 4 << 30
UNEXPECTED = "Unexpected error"


def damaged_inputs(disturbed: Project, undisturbed: Project) -> Row:
    """Damage inputs of each stage, one at a time, and run the stage by hand.

    The last stage comes first: what stages write, whole or wrong, is an input of later ones only.
    """
    os.environ |= CALM | {"GOMP_SPINCOUNT": "2000"}  # as stages/run does; read as packages load
    fates: Counter[str] = Counter()
    for stage in reversed(undisturbed.stages):
        paths = list(inputs(undisturbed, stage))
        if paths:
            load_packages(undisturbed, stage)
        for number in range(TIMES_EACH if paths else 0):
            path = paths[number % len(paths)]
            case = f"{stage}, {path}, mutant {number}"
            original = (undisturbed.folder / path).read_bytes()
            (disturbed.folder / path).write_bytes(mutant(path, original, random.Random(case)))
            fates[found := fate(disturbed, stage, case, SECONDS_EACH)] += 1
            assert found != "timed out", f"{case}: took more than {SECONDS_EACH} seconds"
            assert not disturbed.leftovers(), f"{case}: left {disturbed.leftovers()}"
            (disturbed.folder / path).write_bytes(original)
    results = ", ".join(f"{count:,} {fate}" for fate, count in fates.most_common())
    return Row("damaged inputs", f"{TIMES_EACH} in each stage, by hand", fates.total(), results)


def inputs(project: Project, stage: str) -> Iterator[str]:
    """Yield the data files that a stage reads."""
    for name in project.stages[stage]["deps"]:
        path = project.folder / name
        if not name.startswith(("src/", "stages/")):
            files = sorted(filter(Path.is_file, path.rglob("*"))) if path.is_dir() else [path]
            yield from (str(file.relative_to(project.folder)) for file in files)


def mutant(path: str, original: bytes, generator: random.Random) -> bytes:
    """Return the file damaged: its bytes, or what a table or description says."""
    if generator.random() < 0.5:
        content = _with_other_content(Path(path).suffix, original, generator)
        if content is not None:
            return content
    if generator.random() < 0.1:
        return b""
    return damaged([original], generator)


def _with_other_content(kind: str, original: bytes, generator: random.Random) -> bytes | None:
    if kind == ".json":
        return json.dumps(_changed(json.loads(original), generator)).encode()
    if kind == ".csv":
        return (
            _changed_table(pd.read_csv(io.BytesIO(original)), generator)
            .to_csv(index=False)
            .encode()
        )
    if kind == ".parquet":
        stream = io.BytesIO()
        _changed_table(pd.read_parquet(io.BytesIO(original)), generator).to_parquet(stream)
        return stream.getvalue()
    return None


def _changed(content: Any, generator: random.Random) -> Any:
    """Remove a key or give it an odd value, at any depth; or return an odd value for all."""
    if not isinstance(content, dict) or not content or generator.random() < 0.2:
        return generator.choice(ODD_VALUES)
    key = generator.choice(list(content))
    rest = {name: value for name, value in content.items() if name != key}
    return rest if generator.random() < 0.3 else rest | {key: _changed(content[key], generator)}


def _changed_table(table: pd.DataFrame, generator: random.Random) -> pd.DataFrame:
    column = generator.choice(list(table)) if len(table.columns) else None
    match generator.randrange(5):
        case 0:
            return table.iloc[:0]
        case 1:
            return table.iloc[: len(table) // 2]
        case 2:
            return table.drop(columns=[column] if column else [])
        case 3:
            return table.rename(columns={column: "odd"})
        case _:
            odd: Any = generator.choice(["odd", "", -1, 1e300])
            return table.assign(**{str(column or "odd"): odd})


def load_packages(project: Project, stage: str) -> None:
    """Import what a stage imports, so that not every attempt has to."""
    runpy.run_path(str(project.folder / "stages" / f"{stage}.py"))


def fate(project: Project, stage: str, case: str, seconds: int) -> str:
    """Run a stage in a process of its own that may die of it, and end it after so many seconds."""
    log = project.folder / "log.txt"
    process = multiprocessing.get_context("fork").Process(
        target=_run, args=(project, stage, log, seconds)
    )
    process.start()
    process.join()
    text = log.read_text(errors="replace")
    if process.exitcode == -signal.SIGALRM:
        return "timed out"
    assert process.exitcode in (0, 1), f"{case}: exit code {process.exitcode}: {text[-2000:]}"
    assert "Traceback" not in text, f"{case}: {text[-2000:]}"
    if process.exitcode == 0:
        return "ran through"
    (sentence,) = (line for line in text.splitlines() if line.startswith("error: "))
    return UNEXPECTED if UNEXPECTED in sentence else "error with the cause"


def _run(project: Project, stage: str, log: Path, seconds: int) -> None:
    os.chdir(project.folder)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
    sys.argv = [stage]
    resource.setrlimit(resource.RLIMIT_AS, (mapped_bytes() + MEMORY_BYTES,) * 2)
    signal.alarm(seconds)
    try:
        runpy.run_path(f"stages/{stage}.py", run_name="__main__")
        code = 0
    except SystemExit as ended:
        print(ended.code or "", file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
