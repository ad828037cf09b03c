"""How a stage fails."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pandacat.core.errors import PandacatError
from pandacat.core.stage import run


def failing_with(error: BaseException) -> SystemExit:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run(main)
    return ended.value


@pytest.fixture(autouse=True)
def no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["stage.py"])


def test_arguments_reach_main(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(sys, "argv", ["stage.py", "mnist"])
    run(lambda dataset: seen.append(dataset))
    assert seen == ["mnist"]


def test_garbage_is_collected_but_rarely(tmp_path: Path) -> None:
    stage = tmp_path / "stage.py"
    stage.write_text("import gc\nprint(gc.isenabled(), gc.get_threshold()[0])\n")
    command = [sys.executable, "-P", "-m", "pandacat.core.stage", str(stage)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.split() == ["True", "100000"]


@pytest.mark.parametrize("arguments", [["mnist"], ["mnist", "photos"]])
def test_other_arguments_than_expected_are_a_sentence(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["stage.py", *arguments])
    with pytest.raises(SystemExit, match=r"^error: too many positional arguments\. dvc\.yaml"):
        run(lambda: None)


def test_an_error_for_the_user_is_a_sentence() -> None:
    # A text as exit code is written to stderr and stands for 1.
    assert failing_with(PandacatError("do this.")).code == "error: do this."


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "data/photos"),
            "data/photos: No space left on device. Free disk space",
        ),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied. Change its"),
        (
            IsADirectoryError(errno.EISDIR, "Is a directory", "x"),
            "x: Is a directory. A folder is",
        ),
        (OSError(errno.EFBIG, "File too large", "x"), "x: File too large. The system allows"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "Cannot allocate memory. Reduce"),
        (
            FileNotFoundError(errno.ENOENT, "No such file", "data/x"),
            "data/x is missing. `dvc repro`",
        ),
        (FileNotFoundError("data/x"), "data/x is missing. `dvc repro`"),
    ],
)
def test_what_the_system_refuses_is_a_sentence_with_the_next_step(
    error: OSError, message: str
) -> None:
    assert str(failing_with(error).code).startswith(f"error: {message}")


@pytest.mark.parametrize("error", [PandacatError("do this."), FileNotFoundError("data/x")])
def test_after_a_failed_experiment_the_way_back_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    assert "git restore" not in str(failing_with(error).code)
    monkeypatch.setenv("DVC_EXP_NAME", "slow-panda")
    assert "`git restore params.yaml && dvc repro`" in str(failing_with(error).code)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))  # it was queued, and this is a copy
    assert "git restore" not in str(failing_with(error).code)


def test_git_sees_the_parameters_of_an_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC changes them in the second in which it writes Git's index, and often no size."""

    def git(*arguments: str) -> str:
        return subprocess.check_output(["git", *arguments], cwd=tmp_path, text=True)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_EXP_NAME", "slow-panda")
    git("init", "--quiet")
    params = tmp_path / "params.yaml"
    while time.time() % 1 > 0.5:
        time.sleep(0.1)
    params.write_text("steps: 100")
    git("add", "params.yaml")
    params.write_text("steps: 200")
    os.utime(tmp_path / ".git/index", times=(time.time() + 5,) * 2)
    run(lambda: None)
    assert git("diff", "--name-only") == "params.yaml\n"
    git("restore", "params.yaml")
    assert params.read_text() == "steps: 100"


def test_ctrl_c_ends_with_130() -> None:
    assert failing_with(KeyboardInterrupt()).code == 130


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("Exception from src/inference/src/cpp/core.cpp: std::bad_alloc"),
    ],
)
def test_too_little_memory_is_a_sentence_with_the_next_step(error: Exception) -> None:
    message = str(failing_with(error).code)
    assert message.startswith("error: There is not enough memory")
    assert "batch_size" in message


def test_an_unexpected_error_is_one_line_and_its_traceback_is_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = str(failing_with(KeyError("label")).code)
    assert message.startswith("error: Unexpected error: KeyError: 'label' (test_stage.py, line ")
    assert "`dvc status`" in message
    assert message.endswith("this is a bug; please report it with .pandacat/traceback.txt.")
    assert "raise error" in (tmp_path / ".pandacat/traceback.txt").read_text()


def test_a_traceback_that_cannot_be_written_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".pandacat").touch()
    assert "Traceback (most recent call last)" in str(failing_with(KeyError("label")).code)


def test_without_a_stage_a_sentence_says_how_one_is_run() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pandacat.core.stage"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: no stage given. `sh stages/run NAME`")


def test_a_terminal_without_the_letters_of_a_name_gets_escapes(tmp_path: Path) -> None:
    stage = tmp_path / "stage.py"
    stage.write_text("print('猫.jpg')", encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "pandacat.core.stage", stage],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, b"\\u732b.jpg\n")


def test_nothing_is_said_of_fonts_where_there_is_no_cache_of_them(tmp_path: Path) -> None:
    stage = tmp_path / "stage.py"
    stage.write_text(
        "import threading\n"
        "class Timer(threading.Timer):\n"
        "    def start(self): self.function()\n"
        "threading.Timer = Timer\n"  # of five seconds, after which it is said
        "import matplotlib.font_manager\n"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "pandacat.core.stage", stage],
        env=os.environ | {"MPLCONFIGDIR": str(tmp_path / "cache")},
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert [*(tmp_path / "cache").glob("fontlist*")]
