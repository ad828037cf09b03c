"""A file is complete or absent, and what a killed process left is removed."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pandacat.core import files
from pandacat.core.errors import PandacatError


def fill(folder: Path, text: str) -> None:
    with files.atomic_write(folder) as temporary:
        temporary.mkdir()
        (temporary / "content").write_text(text)


def test_a_block_that_raises_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    fill(target, "good")

    def fail() -> None:
        with files.atomic_write(target) as temporary:
            temporary.mkdir()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (target / "content").read_text() == "good"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "folder"
    fill(target, "good")
    rename = Path.replace

    def interrupted(path: Path, to: Path) -> Path:
        if to == target and path.name.count("part") == 1:
            raise KeyboardInterrupt
        return rename(path, to)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fill(target, "new")
    assert (target / "content").read_text() == "good"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    fill(tmp_path / "folder", "old")
    fill(tmp_path / "folder", "new")
    assert (tmp_path / "folder/content").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    fill(tmp_path / "folder", "good")
    with pytest.raises(PandacatError, match="is a folder"):
        files.write_text(tmp_path / "folder", "a file")
    assert (tmp_path / "folder/content").read_text() == "good"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR)
    try:
        files.write_text(pipe, "a table")
        assert os.read(reader, 100) == b"a table"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_damaged_file_is_named_with_the_command_that_writes_it(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"a": ')
    with pytest.raises(
        PandacatError, match=r"metrics\.json is damaged: `dvc repro` writes it again"
    ):
        files.read_json(tmp_path / "metrics.json")


def test_a_file_that_is_missing_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.read_json(tmp_path / "metrics.json")


def test_the_next_write_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from pandacat.core.files import atomic_write\n"
        "with atomic_write(Path(sys.argv[1])) as outer, atomic_write(outer) as inner:\n"
        "    outer.write_text('half'); inner.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    target = tmp_path / "photos.zip"
    killed = subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    other = tmp_path / f".other.zip.{os.getpid()}.part"
    other.touch()
    alive = tmp_path / f".photos.zip.{os.getppid()}.part"
    alive.touch()
    files.write_text(target, "whole")
    assert sorted(tmp_path.iterdir()) == sorted([target, other, alive])


def test_files_get_the_rights_that_the_user_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "text", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "text").stat().st_mode) == 0o640
