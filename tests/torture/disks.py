"""A disk that is full or may not be written: a sentence, and the last good outputs stay."""

import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torture.project import Ended, Project
from torture.report import Row

SPARE_BYTES = 64 << 20


def full_disk(folder: Path, undisturbed: Project, stages: list[str]) -> list[Row]:
    """Run each stage on a disk that has room for no output, for some, for nearly all."""
    generator = random.Random("disks")
    faults = 0
    with _disk_of(folder, undisturbed) as disk:
        for stage in stages:
            size_bytes = sum(map(_size_bytes, undisturbed.outputs(stage)))
            for share in (0, generator.uniform(0, 0.9)):
                with disk.room_for(int(share * size_bytes)):
                    ended = disk.project.run_stage(stage)
                _check_outputs(disk.project, undisturbed, stage)
                faults += _failed_well(stage, ended)
            disk.project.remove_outputs(stage)  # as DVC does
            with disk.room_for(int(generator.uniform(0.9, 1) * size_bytes)):
                faults += _failed_well(stage, disk.project.run_stage(stage))
            assert (
                disk.project.fingerprints(stage).items() <= undisturbed.fingerprints(stage).items()
            )
            assert disk.project.run_stage(stage).code == 0
            _check_outputs(disk.project, undisturbed, stage)
    return [Row("full disk", disk.how_filled, faults, HAPPENED)]


def read_only(folder: Path, undisturbed: Project, stages: list[str]) -> list[Row]:
    """Run each stage where nothing may be written."""
    faults = 0
    with _disk_of(folder, undisturbed) as disk, disk.locked():
        for stage in stages:
            faults += _failed_well(stage, disk.project.run_stage(stage))
            _check_outputs(disk.project, undisturbed, stage)
    return [Row("read-only folder", disk.how_locked, faults, HAPPENED)]


HAPPENED = "one sentence with the cause; the last good outputs stay, byte by byte"


def _failed_well(stage: str, ended: Ended) -> int:
    """Return 1 where the stage failed as it should, 0 where there was room enough."""
    if ended.code == 0:
        return 0
    assert "Traceback" not in ended.output, f"{stage}: {ended.output[-2000:]}"
    message = ended.output.strip().splitlines()[-1]
    assert re.fullmatch(
        r"error: .*(No space.* Free disk space|Read-only.* Work in another).*\.", message
    ), f"{stage}: {message}"
    return 1


def _check_outputs(project: Project, undisturbed: Project, stage: str) -> None:
    assert project.fingerprints(stage) == undisturbed.fingerprints(stage), stage


class _Disk:
    """A small disk in memory; only the superuser may make one."""

    how_filled = "each stage on a disk in memory with room for nothing, for a part, for nearly all"
    how_locked = "each stage on a disk mounted read-only"

    def __init__(self, folder: Path, project: Project) -> None:
        self.folder, self.project = folder, project

    @contextmanager
    def room_for(self, size_bytes: int) -> Iterator[None]:
        ballast = self.folder / "ballast"
        free_bytes = shutil.disk_usage(self.folder).free
        with ballast.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, max(1, free_bytes - size_bytes - 4096))
        try:
            yield
        finally:
            ballast.unlink()

    @contextmanager
    def locked(self) -> Iterator[None]:
        subprocess.run(["mount", "-o", "remount,ro", str(self.folder)], check=True)
        try:
            yield
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(self.folder)], check=True)


@contextmanager
def _disk_of(folder: Path, undisturbed: Project) -> Iterator[_Disk]:
    used = sum(_size_bytes(path) for path in undisturbed.folder.iterdir() if path.name != ".dvc")
    folder.mkdir(parents=True)
    size = f"size={used + SPARE_BYTES}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "pandacat", str(folder)], check=True)
    try:
        unwanted = shutil.ignore_patterns("cache", "tmp", "ballast")
        shutil.copytree(undisturbed.folder, folder / "project", symlinks=True, ignore=unwanted)
        yield _Disk(folder, Project(folder / "project"))
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def can_mount() -> bool:
    """Return whether this user may make a disk in memory."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("mount") is not None


def _size_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
