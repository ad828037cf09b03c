"""`pandacat cache`: results on one machine are results on another, or a sentence says why not."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from dvc_project import UP_TO_DATE, clone, dvc, make_project, run, set_number, set_remote
from dvc_stages import ROOT

from pandacat.app.cli import main


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, without a remote."""
    folder = tmp_path_factory.mktemp("template") / "project"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        make_project(folder)
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project; the current folder."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    shutil.copytree(template, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def failure(action: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the message of an action that fails, on one line."""
    capsys.readouterr()
    assert main(["cache", action]) == 1
    output = capsys.readouterr()
    assert output.err.count("\n") == 1, output
    return output.err


def test_a_clone_with_the_results_of_another_machine_computes_nothing(project: Path) -> None:
    set_remote(str(project.with_name("shared")))
    assert main(["cache", "push"]) == 0
    clone(project)
    assert main(["cache", "pull"]) == 0
    assert Path("copy").read_text() == "2\n"
    assert UP_TO_DATE in dvc("repro")


def test_what_another_machine_computed_from_other_inputs_comes_from_the_run_cache(
    project: Path,
) -> None:
    set_remote(str(project.with_name("shared")))
    set_number(21)
    dvc("repro")
    run("git", "checkout", "--quiet", "number", "dvc.lock")
    dvc("repro")
    assert main(["cache", "push"]) == 0
    clone(project)
    assert main(["cache", "pull"]) == 0
    set_number(21)
    assert dvc("repro", "--pull").count("is cached - skipping run, checking out outputs") == 2
    assert Path("copy").read_text() == "42\n"


def test_without_a_remote_the_command_that_names_one_is_told(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for action in ("pull", "push"):
        (command,) = re.findall("`(dvc [^`]+)`", failure(action, capsys))
    dvc(*shlex.split(command.replace("ADDRESS", "../shared"))[1:])
    assert main(["cache", "push"]) == 0
    assert main(["cache", "pull"]) == 0


def test_files_that_the_remote_lacks_are_pushed_or_computed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_remote(str(project.with_name("shared")))
    folder = clone(project)
    message = failure("pull", capsys)
    assert "lacks files that dvc.lock names: `make push` copies them, where they were" in message
    assert "`make repro` computes them here" in message
    dvc("repro")
    shutil.rmtree(folder / ".dvc/cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        assert main(["cache", "push"]) == 0
    assert main(["cache", "pull"]) == 0


@pytest.mark.parametrize(
    ("address", "module", "command"),
    [
        ("s3://bucket/path", "dvc_s3", "make extra-s3"),
        ("ssh://host/path", "dvc_ssh", "pip install dvc-ssh -c constraints.txt"),
    ],
)
def test_the_package_that_a_remote_needs_is_told(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    address: str,
    module: str,
    command: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    set_remote(address)
    message = failure("push", capsys)
    assert f"{address} needs the package {module.replace('_', '-')}: `{command}`" in message
    assert (ROOT / "constraints.txt").is_file()
    if command.startswith("make"):
        rule = run("make", "--silent", "--dry-run", "--directory", str(ROOT), command.split()[1])
        assert "-r extras/s3.lock" in rule
        assert re.search(r"^dvc-s3==", (ROOT / "extras/s3.lock").read_text(), re.MULTILINE)


def test_a_remote_that_may_not_be_written_is_a_sentence(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("../shared").write_text("a file")
    set_remote(str(project.with_name("shared")))
    message = failure("push", capsys)
    assert "shared" in message
    assert "A file is where a folder should be: move it" in message
    Path("../shared").unlink()
    assert main(["cache", "push"]) == 0


def test_an_error_that_is_not_foreseen_is_a_sentence(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_remote(str(project.with_name("shared")))
    Path("dvc.yaml").write_text("stages: 1\n")
    message = failure("push", capsys)
    assert "can't be used (" in message
    assert message.endswith("): correct this, and run it again.\n")
    run("git", "checkout", "--quiet", "dvc.yaml")
    assert main(["cache", "push"]) == 0


def test_make_runs_it() -> None:
    for action in ("push", "pull"):
        rule = run("make", "--silent", "--dry-run", "--directory", str(ROOT), action)
        assert rule.splitlines()[-1] == f".venv/bin/pandacat cache {action}"
