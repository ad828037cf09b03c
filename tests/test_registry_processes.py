"""`pandacat registry` as processes: killed anywhere, two at once, and the way back to the bytes."""

import json
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE

import pytest
from conftest import ROOT
from registry_project import GOOD, NULL, commit, git, identify, run, write_model, write_photos

from pandacat.core import paths
from pandacat.models.loading import load_classifier
from pandacat.models.saved import load_model

DVC_YAML = """
stages:
  export: {cmd: "false", outs: [models/exported]}
artifacts:
  exported: {path: models/exported, type: model}
"""

FIRST, SECOND = 1, 2
"""Versions."""


def dvc(*arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with two versions, whose commits lead to their files through DVC."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")  # MLflow keeps it open
        patch.delenv("DVC_ROOT", raising=False)
        patch.setenv("PYTHONPATH", f"{ROOT}/src:{ROOT}/tests")
        identify(patch)
        shutil.copy(ROOT / "params.yaml", "params.yaml")
        Path("dvc.yaml").write_text(DVC_YAML)
        git("init", "--quiet")
        dvc("init", "--quiet")
        write_photos()
        for bias in (GOOD, NULL):
            write_model(bias)
            Path("dvc.lock").unlink()
            dvc("commit", "--force")
            git("add", "dvc.yaml", ".dvc")
            commit()
            assert run("register") == 0
        yield folder


def let(**aliases: int) -> None:
    """Give versions these aliases and no others, behind MLflow's back."""
    with sqlite3.connect("mlflow.db") as database:
        database.execute("DELETE FROM registered_model_aliases")
        rows = [(alias, version, "pandacat") for alias, version in aliases.items()]
        insert = "INSERT INTO registered_model_aliases (alias, version, name) VALUES (?, ?, ?)"
        database.executemany(insert, rows)
    database.close()


def aliases() -> dict[str, int]:
    with sqlite3.connect("mlflow.db") as database:
        rows = database.execute("SELECT alias, version FROM registered_model_aliases").fetchall()
    database.close()
    return dict(rows)


@pytest.mark.usefixtures("project")
def test_the_champion_leads_to_a_commit_and_this_to_the_same_bytes(tmp_path: Path) -> None:
    for version in (FIRST, SECOND):
        let(champion=version)
        champion = load_classifier("models:/pandacat@champion", models=paths.MODELS)
        with sqlite3.connect("mlflow.db") as database:
            query = "SELECT key, value FROM model_version_tags WHERE version = ?"
            tags = dict(database.execute(query, (version,)).fetchall())
        database.close()
        tag = f"v0.0.{version}"
        assert git("rev-parse", f"exported@{tag}^{{commit}}") == tags["git_commit"]
        fetched = tmp_path / tag
        dvc("artifacts", "get", ".", "exported", "--rev", tag, "--out", str(fetched))
        assert load_model(fetched).sha256 == champion.sha256 == tags["weights"]


@pytest.mark.usefixtures("project")
def test_a_rollback_takes_at_most_five_seconds() -> None:
    """Of a processor, from the start of the process to its end, whatever runs beside it."""
    let(champion=SECOND, previous=FIRST)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "pandacat", "registry", "rollback"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert aliases() == {"champion": FIRST}
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime <= 5


PROCESSES = """
import json, os, signal, subprocess, sys
import mlflow.store.model_registry.sqlalchemy_store, mlflow.store.tracking.sqlalchemy_store
from sqlalchemy import event
from sqlalchemy.engine import Engine
from registry_project import copy_model
from pandacat.app import promotion, registry
from pandacat.app.cli import main
from test_registry_processes import aliases, let

registry.save_mlflow_model = copy_model
promotion.regressed = lambda *_: False


def run_killed(action, moment):
    '''Run an action that dies at this moment, by a signal; return its exit code.

    Moments are before and after each statement that changes MLflow's database, and before it is
    committed.
    '''
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    seen, writing = [], set()

    def at(connection, statement):
        if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA")):
            writing.add(connection)
            die()

    def at_commit(connection):
        if connection in writing:
            writing.remove(connection)
            die()

    def die():
        seen.append(None)
        if len(seen) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", lambda c, _, statement, *__: at(c, statement))
    event.listen(Engine, "after_cursor_execute", lambda c, _, statement, *__: at(c, statement))
    event.listen(Engine, "commit", at_commit)
    os._exit(main(["registry", action]))
"""

KILLS = """
def kill_and_complete(action, **before):
    for moment in range(1, 100):
        let(**before)
        code = run_killed(action, moment)
        killed, again = aliases(), run_killed(action, 0)
        print(json.dumps([action, code, killed, again, aliases()]), file=sys.stderr)
        if code != -signal.SIGKILL:
            return

def kill_again_and_again(action, **before):
    let(**before)
    for moment in range(1, 100):
        code = run_killed(action, moment)
        print(json.dumps([action, code, aliases()]), file=sys.stderr)
        if code != -signal.SIGKILL:
            return

kill_and_complete("promote", previous=3, champion=1, challenger=2)
kill_and_complete("rollback", previous=1, champion=2)
subprocess.run(["git", "commit", "--quiet", "--allow-empty", "-m", "again"], check=True)
kill_again_and_again("register", champion=1)
"""


@pytest.mark.usefixtures("project")
def test_killed_at_any_moment_there_is_one_champion_and_the_same_command_completes_it() -> None:
    command = [sys.executable, "-c", PROCESSES + KILLS]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    runs = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("[")]
    killed = [run for run in runs if run[1] == -signal.SIGKILL]
    actions = [run[0] for run in killed]
    assert actions[:15] == ["promote"] * 9 + ["rollback"] * 6
    assert set(actions[15:]) == {"register"}
    assert len(actions) >= 20, actions
    completed = {"promote": {"champion": 2, "previous": 1}, "rollback": {"champion": 1}}
    for action, _, found, *again in killed:
        if action == "register":
            assert found["champion"] == FIRST
        else:
            assert found["champion"] in (FIRST, SECOND)
            assert again == [0, completed[action]]
    assert runs[-1] == ["register", 0, {"champion": FIRST, "challenger": 3}]


WAITING = """
def wait_to_be_released(*_):
    print("comparing", flush=True)
    sys.stdin.readline()
    return False

promotion.regressed = wait_to_be_released
sys.exit(main(["registry", "promote"]))
"""


@pytest.mark.usefixtures("project")
def test_of_two_promotions_at_once_one_wins() -> None:
    let(champion=FIRST, challenger=SECOND)
    command = [sys.executable, "-c", PROCESSES + WAITING]
    with subprocess.Popen(command, text=True, stdin=PIPE, stdout=PIPE, stderr=PIPE) as first:
        assert first.stdout.readline() == "comparing\n"
        promote = [sys.executable, "-m", "pandacat", "registry", "promote"]
        second = subprocess.run(promote, capture_output=True, text=True)
        assert second.returncode == 2
        assert "Another `pandacat registry` is at work here" in second.stderr
        assert aliases() == {"champion": FIRST, "challenger": SECOND}
        first.communicate("released\n")
    assert first.returncode == 0
    assert aliases() == {"champion": SECOND, "previous": FIRST}
