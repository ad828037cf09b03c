"""What the gate advises helps, when it is obeyed to the letter."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from test_gate import accuracy, commit, git, project, run, write

repository = project
"""The fixture: a Git repository with rules for the gate."""

GOOD = accuracy(0.9)


@pytest.fixture
def server(repository):
    """A repository with metrics in each of its commits: two on `main`, two more on `feature`."""
    for branch in ("main", "main", "feature", "feature"):
        if branch == "feature":
            git("checkout", "--quiet", "-B", branch)
        write(GOOD)
        git("add", ".")
        git("commit", "--quiet", "--allow-empty", "--message", "metrics")
    return repository


def clone(server, monkeypatch, *options):
    """Clone the server's branch `feature`, and go there."""
    folder = server.parent / f"{server.name}-clone"
    git("clone", "--quiet", "--branch", "feature", *options, f"file://{server}", str(folder))
    monkeypatch.chdir(folder)


def obey(text):
    """Run the commands in a message, and return the revision that it names for --against."""
    for command in re.findall(r"`(git [^`]+)`", text):
        subprocess.run(shlex.split(command), check=True, capture_output=True)
    named = re.search(r"name (\S+?),? (?:which there is, )?with --against", text)
    return named[1] if named else ""


def passes_after_advice(capsys, revision):
    """Return whether the gate passes in the end, obeying each message that is new."""
    seen = []
    while run("--against", revision) != 0:
        output = capsys.readouterr().out
        message = next(line for line in output.splitlines() if "Git revision" in line)
        if message in seen:
            return False
        seen.append(message)
        revision = obey(message) or revision
    return bool(seen)


CI = ("--depth", "1")
"""One commit of one branch, as CI checks out a pull request."""


@pytest.mark.parametrize("options", [CI, ("--single-branch",), ("--depth", "1", "--no-tags"), ()])
@pytest.mark.parametrize("revision", ["main", "main~1"])
def test_the_branch_of_a_server_is_found_by_what_the_gate_says(
    server, monkeypatch, capsys, options, revision
):
    clone(server, monkeypatch, *options)
    assert passes_after_advice(capsys, revision)


@pytest.mark.parametrize("revision", ["HEAD~1", "HEAD~3", "origin/main", "before"])
def test_what_a_shallow_clone_lacks_is_found_by_what_the_gate_says(
    server, monkeypatch, capsys, revision
):
    if revision == "before":  # a hash, as GitHub names the commit before a push
        head = ["git", "rev-parse", "HEAD~1"]
        revision = subprocess.check_output(head, text=True).strip()
    clone(server, monkeypatch, *CI)
    git("checkout", "--quiet", "--detach")
    assert passes_after_advice(capsys, revision)


@pytest.mark.parametrize("revision", ["nowhere", "", "0" * 40])
def test_what_is_nowhere_has_a_replacement(server, monkeypatch, capsys, revision):
    clone(server, monkeypatch, *CI)
    run("--against", revision)
    message = capsys.readouterr().out
    obey(message)
    assert "such as HEAD" in message
    assert run("--against", "HEAD") == 0


def test_without_a_commit_committing_helps(repository, capsys):
    write(GOOD)
    assert run() == 2
    assert "commit all, and name HEAD with --against" in capsys.readouterr().out
    commit()
    assert run("--against", "HEAD") == 0


def test_outside_a_repository_making_one_helps(repository, monkeypatch, capsys):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(repository))
    Path("new").mkdir()
    monkeypatch.chdir("new")
    Path("params.yaml").write_text(Path("../params.yaml").read_text())
    write(GOOD)
    assert run() == 2
    assert "run `git init` here and commit all" in capsys.readouterr().out
    git("init")
    commit()
    assert run("--against", "HEAD") == 0


@pytest.mark.parametrize("before", [None, "b" * 64])
def test_committing_results_makes_a_baseline(repository, capsys, before):
    if before:
        write(GOOD, fingerprint=before)
    commit()
    write(GOOD)
    assert run("--against", "HEAD") == 2
    assert re.search("commit (the one that `dvc repro` writes|these res)", capsys.readouterr().out)
    commit()
    assert run("--against", "HEAD") == 0


def test_a_branch_and_a_tag_of_one_name_are_no_error(repository):
    write(GOOD)
    commit()
    git("tag", "main")
    assert run() == 0


def test_without_git_its_absence_is_named(repository, monkeypatch, capsys):
    write(GOOD)
    monkeypatch.setenv("PATH", str(repository))
    assert run() == 2
    assert "Git is not installed here: install it" in capsys.readouterr().out


def test_in_a_folder_of_a_larger_repository_the_metrics_are_those_of_the_folder(
    repository, monkeypatch
):
    Path("vision").mkdir()
    Path("vision/params.yaml").write_text(Path("params.yaml").read_text())
    monkeypatch.chdir("vision")
    write(GOOD)
    commit()
    assert run() == 0
    write(accuracy(0.6))
    assert run() == 1
