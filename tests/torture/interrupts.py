"""Ctrl-C at random moments: no traceback, nothing half-written, nothing left over."""

import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torture.project import Ended, Project, run
from torture.report import Row

TIMES_EACH = 5
PYTHON_STARTS_SECONDS = 0.3
"""Until then it is Python's own start that is interrupted, and Python reports it."""


def interrupted_stages(disturbed: Project, undisturbed: Project) -> Row:
    """Press Ctrl-C in each stage, from the first package it loads to its last output."""
    times = ends = 0
    for stage in undisturbed.stages:
        expected = undisturbed.fingerprints(stage)
        generator = random.Random(f"interrupts {stage}")
        disturbed.remove_outputs(stage)
        calm = disturbed.run_stage(stage)
        assert calm.code == 0, calm.output[-2000:]
        for _ in range(TIMES_EACH):
            disturbed.remove_outputs(stage)
            ended = _interrupted(disturbed.run_stage, stage, _moment(generator, calm))
            times += 1
            ends += ended.code == 0
            found = disturbed.fingerprints(stage)
            half_written = [name for name in found if found[name] != expected[name]]
            assert not half_written, f"{stage} left {half_written} unfinished"
            assert not disturbed.leftovers(), f"{stage} left {disturbed.leftovers()}"
        calm = disturbed.run_stage(stage)
        assert calm.code == 0, calm.output[-2000:]
        assert disturbed.fingerprints(stage) == expected, f"{stage} ended with other bits"
    happened = f"no traceback, nothing left; {ends} times it was done already"
    return Row("Ctrl-C in a stage", f"{TIMES_EACH} times in each", times, happened)


def interrupted_predictions(undisturbed: Project, photos: Path) -> Row:
    """Press Ctrl-C while `pandacat predict` writes a table."""
    generator = random.Random("interrupts predict")
    table = undisturbed.folder / "predictions.csv"
    program = Path(sys.executable).with_name("pandacat")
    predict = [str(program), "predict", str(photos), "--output", str(table)]

    def command(_: str, **more: Any) -> Ended:
        return run(predict, undisturbed.folder, **more)

    calm = command("")
    assert calm.code == 0, calm.output[-2000:]
    whole = table.read_bytes()
    for _ in range(TIMES_EACH):
        table.unlink(missing_ok=True)
        _interrupted(command, "predict", _moment(generator, calm))
        assert not table.exists() or table.read_bytes() == whole
    table.unlink(missing_ok=True)
    return Row(
        "Ctrl-C in `pandacat predict`", "the same", TIMES_EACH, "no traceback, no half table"
    )


def _moment(generator: random.Random, calm: Ended) -> float:
    return generator.uniform(PYTHON_STARTS_SECONDS, calm.seconds)


def _interrupted(command: Callable[..., Ended], name: str, seconds: float) -> Ended:
    ended = command(
        name,
        kill_after=seconds,
        by=signal.SIGINT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert ended.code in (0, 130, -signal.SIGINT), f"{name}: {ended.code}: {ended.output[-2000:]}"
    for word in ("Traceback", "KeyboardInterrupt", "error"):
        assert word not in ended.output, f"{name}: {ended.output[-2000:]}"
    return ended
