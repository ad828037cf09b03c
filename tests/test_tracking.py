"""Runs reach MLflow once, and a result never depends on it."""

import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from torture.trackers import server

from pandacat.core.errors import PandacatError
from pandacat.tracking.delivery import (
    create_database,
    deliver,
    finished_journals,
    open_store,
    read_journal,
    sync,
)
from pandacat.tracking.journal import JOURNALS, tracked_stage


@dataclass(frozen=True)
class Recipe:
    epochs: int = 2
    folders: tuple[str, ...] = ("cat", "cats")
    archive: str | None = None


pytestmark = pytest.mark.usefixtures("project")


def stage():
    with tracked_stage("train", {"train": Recipe()}) as run:
        for epoch in (1, 2):
            run.log_metrics({"loss": 1 / epoch, "validation": {"accuracy": 0.9}}, step=epoch)
        Path("plots").mkdir(exist_ok=True)
        Path("plots/curve.csv").write_text("epoch,loss\n")
        run.log_artifact(Path("plots/curve.csv"))


def journals(project):
    return sorted((project / JOURNALS).glob("*"))


def runs_in(uri):
    """Return MLflow's client and the runs of all stages."""
    client, experiment = open_store(uri)
    return client, client.search_runs([experiment], "tags.stage != ''")


def local_store(project):
    return f"sqlite:///{project / 'mlflow.db'}"


def assert_whole(client, run):
    """Everything that `stage` logs is there, once."""
    assert run.info.status == "FINISHED"
    assert run.data.params == {
        "train.epochs": "2",
        "train.folders": '["cat", "cats"]',
        "train.archive": "null",
    }
    losses = client.get_metric_history(run.info.run_id, "loss")
    assert [(loss.step, loss.value) for loss in losses] == [(1, 1.0), (2, 0.5)]
    assert run.data.metrics["validation.accuracy"] == 0.9
    assert run.data.metrics["seconds"] >= 0
    assert run.data.tags["stage"] == "train"
    artifacts = client.list_artifacts(run.info.run_id, "plots")
    assert [artifact.path for artifact in artifacts] == ["plots/curve.csv"]


def test_a_stage_reaches_mlflow_and_leaves_the_journal_empty(project, monkeypatch, capfd):
    monkeypatch.setenv("DVC_EXP_NAME", "brave-panda")
    stage()
    client, (run,) = runs_in(local_store(project))
    assert_whole(client, run)
    assert run.data.tags["DVC_EXP_NAME"] == "brave-panda"
    assert run.info.artifact_uri.startswith((project / "mlruns").as_uri())
    assert journals(project) == []
    assert capfd.readouterr() == ("", "")


def test_stages_do_not_load_mlflow(monkeypatch):
    monkeypatch.setenv("PANDACAT_TRACKING", "later")
    code = "import sys, test_tracking; test_tracking.stage(); sys.exit('mlflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_experiment_in_a_copy_is_tracked_in_the_original(project, monkeypatch):
    original = project / "original"
    original.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(original))
    monkeypatch.setenv("PANDACAT_TRACKING", "later")
    stage()
    assert len(journals(original)) == 1
    assert not (project / ".pandacat").exists()


@contextmanager
def refused():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://someone:secret@127.0.0.1:{unused.getsockname()[1]}"


@contextmanager
def silent():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def read_only():
    create_database(Path("locked.db").absolute())
    yield f"sqlite:///file:{Path('locked.db').absolute()}?mode=ro&uri=true"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ImportError('no such module')", "no such module"),
        ("print('x' * 100_000); sys.stderr.write('x\\n'); os.abort()", "x"),
        ("sys.exit('no key for http://someone:secret@host')", "no key for http://host"),
        ("os._exit(0)", "ended early"),
        ("time.sleep(60)", "no answer within 1 seconds"),
    ],
)
def test_an_mlflow_that_crashes_hangs_or_prints_costs_one_warning(
    project, monkeypatch, capfd, code, reason
):
    (project / "fake").mkdir()
    (project / "fake/mlflow.py").write_text(f"import os, sys, time\n{code}\n")
    monkeypatch.setenv("PYTHONPATH", str(project / "fake"))
    monkeypatch.setattr("pandacat.tracking.journal.SEND_SECONDS", 1 if "sleep" in code else 30)
    stage()
    output, warning = capfd.readouterr()
    assert output == ""
    assert warning.count("\n") == 1
    assert f"{reason})" in warning
    assert "secret" not in warning
    assert len(journals(project)) == 1


def test_stores_that_fail_cost_one_warning_each_and_get_the_runs_later(project, monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    reasons = {refused: "refused", silent: "timed out", read_only: "readonly database"}
    for store, reason in reasons.items():
        with store() as uri:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
            capfd.readouterr()  # what the making of the store printed
            stage()
        warning = capfd.readouterr().err
        assert warning.count("\n") == 1
        assert reason in warning
        assert "`pandacat tracking sync` sends it" in warning
        assert "secret" not in warning
    assert len(journals(project)) == 3

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert sync() == 3
    assert sync() == 0
    client, runs = runs_in(local_store(project))
    assert len(runs) == 3
    for run in runs:
        assert_whole(client, run)


def test_sync_without_a_store_says_what_is_left(project, monkeypatch):
    monkeypatch.setenv("PANDACAT_TRACKING", "later")
    stage()
    stage()
    with refused() as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(PandacatError, match=r"2 of 2 runs could not be sent.*refused"):
            sync()
    assert len(journals(project)) == 2
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert sync() == 2


def test_a_folder_in_the_place_of_the_store_is_reported_at_once(project, monkeypatch):
    monkeypatch.setenv("PANDACAT_TRACKING", "later")
    stage()
    (project / "mlflow.db").mkdir()
    with pytest.raises(PandacatError, match=r"mlflow\.db is a folder"):
        sync()


class Dying:
    """A client whose connection breaks after so many calls."""

    def __init__(self, client, calls):
        self.client, self.calls = client, calls

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.calls -= 1
            if self.calls < 0:
                raise ConnectionError
            answer = getattr(self.client, name)(*args, **kwargs)
            if self.calls == 0:
                raise ConnectionError  # the server did it, but the answer got lost
            return answer

        return call

    def log_batch(self, run_id, **batch):
        """Send a batch in parts, as MLflow does with a large one."""
        for kind, entities in batch.items():
            self.__getattr__("log_batch")(run_id, **{kind: entities})


def test_a_run_cut_off_anywhere_is_completed_and_not_doubled(project, monkeypatch):
    monkeypatch.setenv("PANDACAT_TRACKING", "later")
    client, experiment = open_store(local_store(project))
    for calls in range(1, 14):
        stage()
        (journal,) = journals(project)
        with pytest.raises(ConnectionError):
            deliver(Dying(client, calls), experiment, journal)
        deliver(client, experiment, journal)
        _, runs = runs_in(local_store(project))
        assert len(runs) == calls
        assert_whole(client, runs[0])
    stage()
    deliver(Dying(client, 14), experiment, journals(project)[0])


def test_more_than_mlflow_takes_at_once_is_sent_in_parts(project, monkeypatch):
    monkeypatch.setenv("PANDACAT_TRACKING", "later")
    many = {f"p{number}": "x" * 7000 for number in range(130)}
    with tracked_stage("train", many) as run:
        run.append(tags={"long": "y" * 9000, "odd/name?": "z", "n" * 300: "z"})
        for step in range(1200):
            run.log_metrics({"loss": step}, step=step)
    client, experiment = open_store(local_store(project))
    with pytest.raises(ConnectionError):
        deliver(Dying(client, 5), experiment, journals(project)[0])
    deliver(client, experiment, journals(project)[0])
    _, (sent,) = runs_in(local_store(project))
    assert len(sent.data.params) == 130
    assert len(client.get_metric_history(sent.info.run_id, "loss")) == 1200
    assert sent.data.tags["odd/name_"] == "z"
    assert sent.data.tags["n" * 250] == "z"


def test_a_stage_that_raises_is_logged_as_failed(project, monkeypatch):
    monkeypatch.setenv("PANDACAT_TRACKING", "later")
    with pytest.raises(ZeroDivisionError), tracked_stage("train", {}):
        _ = 1 / 0
    client, experiment = open_store(local_store(project))
    deliver(client, experiment, journals(project)[0])
    assert {run.info.status for run in client.search_runs([experiment])} == {"FAILED"}


def test_a_killed_stage_is_sent_as_killed_and_a_living_one_left_alone(project, monkeypatch):
    script = (
        "import os, signal\n"
        "from pandacat.tracking.journal import tracked_stage\n"
        "with tracked_stage('train', {}) as run:\n"
        "    run.log_metrics({'loss': 1})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    (killed,) = journals(project)
    monkeypatch.setenv("PANDACAT_TRACKING", "later")
    with tracked_stage("train", {}):
        assert finished_journals() == [killed]
    client, experiment = open_store(local_store(project))
    deliver(client, experiment, killed)
    _, (run,) = runs_in(local_store(project))
    assert run.info.status == "KILLED"
    assert run.data.metrics["loss"] == 1


def test_a_damaged_line_in_a_journal_is_counted_and_the_rest_sent(project, monkeypatch):
    monkeypatch.setenv("PANDACAT_TRACKING", "later")
    stage()
    (journal,) = journals(project)
    lines = (journal / "journal.jsonl").read_text().splitlines()
    lines[1:1] = [
        *("}", "[]", "{}", '{"time_ms": 1, "metric": {}}'),
        '{"time_ms": 1, "step": 0, "metrics": {"loss": null}}',
        '{"time_ms": 1, "tags": {"a": 1}}',
    ]
    (journal / "journal.jsonl").write_text("\n".join(lines) + '\n{"time_ms": 1, "met')
    assert sync() == 1
    client, (run,) = runs_in(local_store(project))
    assert_whole(client, run)
    assert run.data.tags["damaged_lines"] == "6"


@pytest.mark.parametrize("text", ["[]\n", "\n", '{"time_ms": 1, "status": "KILLED"}'])
def test_a_journal_of_which_no_run_can_be_made_is_named_and_kept(project, monkeypatch, text):
    monkeypatch.setenv("PANDACAT_TRACKING", "later")
    stage()
    (journal,) = journals(project)
    (journal / "journal.jsonl").write_text(text)
    with pytest.raises(PandacatError, match=f"{journal.name} is damaged; remove this folder"):
        sync()
    assert journals(project) == [journal]


def test_what_else_lies_among_the_journals_is_left_alone(project, monkeypatch):
    monkeypatch.setenv("PANDACAT_TRACKING", "later")
    stage()
    for name in ("notes-of-mine.txt", "my-folder/thesis.txt"):
        stray = project / JOURNALS / name
        stray.parent.mkdir(exist_ok=True)
        stray.touch()
    assert sync() == 1
    assert stray.exists()
    assert (project / JOURNALS / "notes-of-mine.txt").exists()


def test_a_journal_that_cannot_be_written_costs_one_warning(project, capfd):
    (project / ".pandacat").write_text("in the way")
    stage()
    warning = capfd.readouterr().err
    assert warning.count("\n") == 1
    assert "the stage goes on" in warning
    assert Path("plots/curve.csv").exists()


def test_a_missing_artifact_costs_a_warning_and_the_rest_is_kept(project, monkeypatch, capfd):
    monkeypatch.setenv("PANDACAT_TRACKING", "later")
    with tracked_stage("train", {}) as run:
        run.log_artifact(Path("nothing.csv"))
        run.log_metrics({"loss": 1})
    assert "nothing.csv" in capfd.readouterr().err
    records, _ = read_journal(journals(project)[0])
    assert any("loss" in record.metrics for record in records)


def test_four_stages_at_once_on_a_fresh_store_all_arrive(project):
    code = "import test_tracking; test_tracking.stage()"
    stages = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait(timeout=120) for process in stages] == [0, 0, 0, 0]
    client, runs = runs_in(local_store(project))
    assert len(runs) == 4
    for run in runs:
        assert_whole(client, run)
    assert journals(project) == []


def test_a_real_server_that_dies_in_the_middle_gets_the_run_when_it_is_back(
    project, monkeypatch, capfd
):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    with server(project, port) as kill, tracked_stage("train", {"train": Recipe()}) as run:
        run.log_metrics({"loss": 1.0}, step=1)
        kill()
        run.log_metrics({"loss": 0.5}, step=2)
        Path("report.md").write_text("done")
        run.log_artifact(Path("report.md"))
    assert "refused" in capfd.readouterr().err
    with server(project, port):
        assert sync() == 1
        client, (sent,) = runs_in(f"http://127.0.0.1:{port}")
        assert sent.info.status == "FINISHED"
        assert len(client.get_metric_history(sent.info.run_id, "loss")) == 2
        assert [file.path for file in client.list_artifacts(sent.info.run_id)] == ["report.md"]
