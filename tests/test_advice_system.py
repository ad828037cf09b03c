"""What messages advise where the system, the disk or the tools fail helps, obeyed to the letter."""

import errno
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import pytest
from dvc_stages import ROOT

from pandacat.app.inputs import open_photos
from pandacat.config.loading import load_config
from pandacat.core import stage
from pandacat.core.errors import sentence_of
from pandacat.core.files import read_json, write_json

SOURCE = {
    "PYTHONPATH": str(ROOT / "src"),
    "PATH": os.environ["PATH"],
    "PYTHONDONTWRITEBYTECODE": "1",  # Python cuts its own files off, too, where they get too large
}
FILE = Path("metrics/a.json")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder; the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    monkeypatch.setattr(sys, "argv", ["stage.py"])
    return tmp_path


def message_of(main: Callable[..., None]) -> str:
    """Return what a stage prints that fails."""
    with pytest.raises(SystemExit) as ended:
        stage.run(main)
    return str(ended.value.code)


def command_in(message: str) -> str:
    return re.findall(r"`([^`]+)`", message)[0]


def write() -> None:
    write_json(FILE, {"accuracy": 0.9})


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Let somebody own `folder` and all in it who, unlike root, needs permissions."""
    if os.geteuid() != 0:
        yield
        return
    nobody = 65534
    for path in (folder, *folder.rglob("*")):
        os.chown(path, nobody, nobody)
    try:
        os.seteuid(nobody)
    except OSError:
        pytest.skip("this container has no other users")
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("closed", [FILE, FILE.parent])
def test_what_may_not_be_read_is_read_with_other_permissions(here: Path, closed: Path) -> None:
    write()
    with as_nobody(here):
        mode = closed.stat().st_mode
        closed.chmod(0)
        message = message_of(lambda: print(read_json(FILE)))
        assert message.startswith(f"error: {FILE}: Permission denied. Change its permissions or")
        closed.chmod(mode)
        assert read_json(FILE)


@pytest.mark.parametrize("step", ["of its folder", "work in another folder"])
def test_what_may_not_be_written_is_written_elsewhere_or_with_other_permissions(
    here: Path, step: str
) -> None:
    FILE.parent.mkdir()
    Path("another").mkdir()
    with as_nobody(here):
        FILE.parent.chmod(0o500)
        message = message_of(write)
        assert "Permission denied. Change its permissions or those of its folder, or" in message
        assert step in message
        if step == "of its folder":
            Path(message.split()[1]).parent.chmod(0o700)
        else:
            os.chdir("another")
        write()


def test_on_a_full_disk_nothing_is_left_and_a_second_run_works_once_there_is_space(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fill(path: Path, text: str, **_: object) -> int:
        path.write_bytes(text.encode()[:5])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as full:
        full.setattr(Path, "write_text", fill)
        message = message_of(write)
    assert message.endswith("Free disk space and run it again; no incomplete file was left.")
    assert [*FILE.parent.iterdir()] == []
    write()
    assert read_json(FILE)


def test_a_disk_that_is_read_only_is_left_for_another_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(path: Path, *_: object, **__: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    with monkeypatch.context() as full:
        full.setattr(Path, "write_text", refuse)
        assert message_of(write).endswith("Read-only file system. Work in another folder.")
    Path("another").mkdir()
    with chdir("another"):
        write()


def test_larger_files_are_written_when_the_limit_is_raised(here: Path) -> None:
    code = (
        "from pathlib import Path; from pandacat.core import stage; from pandacat.core.files "
        "import write_text; stage.run(lambda: write_text(Path('a'), 'a' * 100_000))"
    )
    python = shlex.join([sys.executable, "-P", "-c", code])
    first = f"ulimit -S -f 1; {python}"
    ended = subprocess.run(first, shell=True, env=SOURCE, capture_output=True, text=True)
    assert "File too large. The system allows no larger files: raise the limit" in ended.stderr
    assert not Path("a").exists()
    then = f"ulimit -S -f 1; {command_in(ended.stderr)}; {python}"
    subprocess.run(then, shell=True, env=SOURCE, check=True)
    assert Path("a").stat().st_size == 100_000


MEMORY = """
import resource, sys
from pandacat.core import stage
from pandacat.models import scratch

def main(channels):
    spec = scratch.ScratchSpec(
        image_channels=3, input_px=32, channels=(int(channels),) * 2, depths=(1, 1), classes=3
    )
    scratch.build(spec, seed=1)

used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000,) * 2)
stage.run(main)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")
def test_a_network_of_fewer_channels_fits_into_the_memory() -> None:
    def train(channels: str) -> str:
        python = [sys.executable, "-P", "-c", MEMORY, channels]
        return subprocess.run(python, env=SOURCE, capture_output=True, text=True).stderr

    message = train("4096")
    assert message.startswith("error: There is not enough memory (")
    assert "Reduce the stage's batch_size, image_px or channels in params.yaml" in message
    assert train("64") == ""


def test_a_folder_where_a_file_should_be_is_moved() -> None:
    Path("params.yaml").mkdir()
    message = message_of(lambda: print(load_config()))
    assert "params.yaml: Is a directory. A folder is where a file should be: move it, or" in message
    Path("params.yaml").rename("moved")
    Path("params.yaml").symlink_to(ROOT / "params.yaml")
    assert load_config()


def test_a_file_where_a_folder_should_be_is_moved() -> None:
    FILE.parent.touch()
    assert "A file is where a folder should be: move it, or choose" in message_of(write)
    FILE.parent.rename("moved")
    write()


def test_where_no_folder_for_temporary_files_is_found_one_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def use() -> None:
        with tempfile.TemporaryDirectory():
            pass

    def places() -> list[str]:  # in a container in which `/tmp` and others are read-only
        return [os.environ["TMPDIR"]] if "TMPDIR" in os.environ else []

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", places)
    monkeypatch.delenv("TMPDIR", raising=False)
    (name,) = re.findall(r"set (\w+) to one that this user may write to", message_of(use))
    monkeypatch.setenv(name, str(here))
    use()


def test_a_photo_is_found_by_its_name_and_the_current_folder(here: Path) -> None:
    Path("photos").mkdir()
    Path("photos/cat.jpg").write_bytes(b"a photo")
    for name in ("photos/cta.jpg", "cat.jpg"):
        with open_photos([name]) as photos, pytest.raises(OSError, match="No such") as missing:
            photos[name]()
        assert sentence_of(missing.value).endswith("Check the name and the current folder.")
    with open_photos(["photos/cat.jpg"]) as photos:
        assert photos["photos/cat.jpg"]() == b"a photo"
    with chdir("photos"), open_photos(["cat.jpg"]) as photos:
        assert photos["cat.jpg"]() == b"a photo"
