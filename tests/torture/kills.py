"""`kill -9` at random moments: nothing half-written, nothing repeated, the same bits in the end."""

import random
import re
from pathlib import Path

from torture import project
from torture.project import TRAINING, Project
from torture.report import Row

KILLS_TRAINING = 20
KILLS_OTHER = 8
KILLS_REPRO = 12
MOST_TRIES = 200


def reference(folder: Path) -> Project:
    """Return a project in which `dvc repro` ran undisturbed, made where it is not there yet."""
    undisturbed = Project(folder)
    if not (folder / "dvc.lock").exists():
        undisturbed = project.create(folder)
        ended = undisturbed.repro()
        assert ended.code == 0, ended.output[-2000:]
    return undisturbed


def kill_stage(disturbed: Project, undisturbed: Project, stage: str) -> Row:
    """Kill a stage's command again and again, let it end, and compare its outputs each time.

    It is killed on and on until it comes to an end by itself. A stage that resumes may do that
    early; it starts anew then, as where it is killed between its last output and its end.
    """
    wanted = KILLS_TRAINING if stage in TRAINING else KILLS_OTHER
    generator = random.Random(f"kills {stage}")
    expected = undisturbed.fingerprints(stage)
    disturbed.remove_outputs(stage)
    calm = disturbed.run_stage(stage)
    assert calm.code == 0, calm.output[-2000:]
    assert disturbed.fingerprints(stage) == expected, f"{stage} differs without any kill"

    kills = ends = begun = 0
    trained: list[int] = []
    for _ in range(MOST_TRIES):
        disturbed.remove_outputs(stage)
        last = kills >= wanted
        moment = None if last else generator.uniform(0.3, 1) * calm.seconds
        ended = disturbed.run_stage(stage, kill_after=moment)
        epochs = [int(number) for number in re.findall(r"^epoch (\d+)/", ended.output, re.M)]
        repeated = set(epochs) & set(trained)
        assert not repeated, f"{stage} trained epochs {sorted(repeated)} again"
        trained += epochs
        found = disturbed.fingerprints(stage)
        half_written = {name for name in found if found[name] != expected[name]}
        assert not half_written, f"{stage} left {half_written} unfinished"
        if ended.code == -9:
            kills += 1
            begun += bool(epochs or found or disturbed.leftovers())
            has_checkpoint = any(disturbed.folder.glob(f".pandacat/checkpoints/{stage}-*.pt"))
            is_safe = has_checkpoint or found == expected or not trained
            assert is_safe, f"{stage} lost {len(trained)} epochs"
            trained = trained if has_checkpoint else []
            continue
        assert ended.code == 0, ended.output[-2000:]
        assert disturbed.fingerprints(stage) == expected, f"{stage} ended with other bits"
        assert not _of_stage(disturbed, stage), f"{stage} left {_of_stage(disturbed, stage)}"
        ends += 1
        trained = []
        if kills >= wanted:
            break
    happened = f"it came to its end {_times(ends)}, with the same bits"
    if stage in TRAINING:
        happened += "; no epoch was trained twice"
    done = f"at random moments; {begun} times it had begun to write"
    return Row(f"`kill -9` of {stage}", done, kills, happened)


def kill_repro(folder: Path, undisturbed: Project, seconds: float) -> Row:
    """Kill `dvc repro` of the whole pipeline again and again until it comes to its end."""
    generator = random.Random("kills repro")
    disturbed = project.create(folder)
    kills = 0
    while kills < KILLS_REPRO:
        ended = disturbed.repro(kill_after=generator.uniform(0.5, seconds))
        kills += ended.code == -9
        if ended.code == 0:
            break
        assert ended.code == -9, ended.output[-2000:]
    ended = disturbed.repro()
    assert ended.code == 0, ended.output[-2000:]
    differing = _differing(disturbed, undisturbed)
    assert not differing, f"dvc.lock differs in {differing}"
    assert disturbed.repro().output.count("Running stage") == 0
    return Row("`kill -9` of `dvc repro`", "with all it started", kills, "the same `dvc.lock`")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _differing(one: Project, other: Project) -> list[str]:
    ours, theirs = one.lock(), other.lock()
    return [stage for stage in theirs if ours.get(stage) != theirs[stage]]


def _of_stage(disturbed: Project, stage: str) -> list[Path]:
    """Return what was left aside for the outputs of a stage."""
    names = [path.name for path in disturbed.outputs(stage)]
    return [path for path in disturbed.leftovers() if any(name in path.name for name in names)]
