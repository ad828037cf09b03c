"""How a stage ends when it can't go on."""

import errno
import sys

import pytest

from pandacat.errors import PandacatError
from pandacat.stage import run


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
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "data/photos"),
            "data/photos: No space left on device. Make room",
        ),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied. Give yourself"),
        (FileNotFoundError(errno.ENOENT, "No such file", "data/x"), "data/x is missing. `dvc"),
        (FileNotFoundError("data/x"), "data/x is missing. `dvc repro`"),
    ],
)
def test_what_the_system_refuses_is_a_sentence_with_the_next_step(
    error: OSError, said: str
) -> None:
    assert str(failing_with(error).code).startswith(f"error: {said}")


def test_ctrl_c_ends_with_130() -> None:
    assert failing_with(KeyboardInterrupt()).code == 130


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main)
