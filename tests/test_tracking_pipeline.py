"""In MLflow, a pipeline is one run with what was changed and what came of it, its stages below."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import mlflow
import pytest
from conftest import ROOT
from test_tracking import journals, local_store, runs_in

from pandacat.app.cli import main
from pandacat.config.photos import ImageSpec
from pandacat.core.errors import PandacatError
from pandacat.core.paths import DEFAULT_PARAMS
from pandacat.models import pyfunc, scratch
from pandacat.models.loading import load_classifier
from pandacat.models.saved import Description, SavedModel, save_model
from pandacat.tracking.delivery import (
    create_database,
    deliver,
    finished_journals,
    open_store,
    running_pipelines,
    sync,
)
from pandacat.tracking.journal import UNFINISHED, tracked_stage
from pandacat.tracking.pipeline import VIEW, end_stopped
from pandacat.tracking.ui import dvc_runs, serve

DVC_YAML = """
stages:
  preprocess: {cmd: sh stages/run preprocess}
  fine_tune: {cmd: sh stages/run fine_tune}
  headline: {cmd: sh stages/run headline}
"""


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """MLflow's database, which takes seconds to make."""
    database = tmp_path_factory.mktemp("store") / "mlflow.db"
    create_database(database)
    return database


@pytest.fixture
def later(project, empty_store, monkeypatch):
    """A project whose journals wait, with three stages and the default parameters."""
    monkeypatch.setenv("PANDACAT_TRACKING", "later")
    shutil.copy(empty_store, project)
    Path("dvc.yaml").write_text(DVC_YAML)
    set_steps(100)
    return project


def set_steps(steps):
    """Write params.yaml with one value changed, as `dvc exp run -S fine_tune.steps=…` does."""
    changed, count = re.subn(r"\n  steps: 100", f"\n  steps: {steps}", DEFAULT_PARAMS.read_text())
    assert count == 1
    Path("params.yaml").write_text(changed)


def send(project):
    """Send all journals, as `sync` does in a process of its own."""
    for journal in finished_journals():
        deliver(*open_store(local_store(project)), journal)


def run_stages(*names, accuracy=0.9):
    """Run stages one after the other, the last of which has the results."""
    for name in names:
        with tracked_stage(name, {}) as run:
            if name == "headline":
                Path("report.html").write_text("<p>Results")
                write_model(Path("models/fine-tuned"))
                run.log_results(
                    {"accuracy": accuracy},
                    artifacts=[Path("report.html")],
                    model=Path("models/fine-tuned"),
                    loader=pyfunc.__name__,
                )


def write_model(folder):
    """Write a network without any training."""
    spec = scratch.ScratchSpec(image_channels=3, input_px=8, channels=(2,), depths=(1,), classes=3)
    state = scratch.build(spec, seed=1).state_dict()
    description = Description(
        kind="scratch",
        backbone="scratch",
        labels=("panda", "cat", "other"),
        label_classes=(),
        crops="square",
        input_px=8,
        temperature=1,
        image=ImageSpec(image_px=64, jpeg_quality=92, max_megapixels=1),
        trained_on="0" * 64,
        title="nothing",
        architecture=asdict(spec),
    )
    tensors = {f"backbone.{name}": values.numpy() for name, values in state.items()}
    save_model(folder, SavedModel(description, tensors))


def pipelines(project):
    """Return the runs of pipelines, oldest first."""
    client, experiment = open_store(local_store(project))
    return client.search_runs([experiment], "tags.pipeline != ''", order_by=["start_time"])


def nested(project, pipeline):
    """Return the stages nested below the run of a pipeline, in the order in which they began."""
    _, runs = runs_in(local_store(project))
    below = [r for r in runs if r.data.tags["mlflow.parentRunId"] == pipeline.info.run_id]
    return [r.info.run_name for r in sorted(below, key=lambda run: run.info.start_time)]


def table(pipeline):
    """Return the description of a pipeline's run: what is told of each stage."""
    lines = pipeline.data.tags["mlflow.note.content"].splitlines()[4:]
    return {row[1].strip(): row[2].strip() for row in (line.split("|") for line in lines)}


def test_one_query_gives_for_each_experiment_what_was_changed_and_whether_it_helped(
    later, monkeypatch
):
    values = (("main", 100, 0.95), ("slow-panda", 500, 0.97), ("quick-cat", 20, 0.91))
    for name, steps, accuracy in values:
        monkeypatch.setenv("DVC_EXP_NAME", name)
        set_steps(steps)
        run_stages("preprocess", "fine_tune", "headline", accuracy=accuracy)
    assert sync() == 9

    monkeypatch.setenv("MLFLOW_TRACKING_URI", local_store(later))
    runs = mlflow.search_runs(experiment_names=["pandacat"], filter_string="tags.pipeline != ''")
    columns = ["tags.mlflow.runName", "params.fine_tune.steps", "metrics.accuracy"]
    assert sorted(runs[columns].values.tolist()) == [
        ["main", "100", 0.95],
        ["quick-cat", "20", 0.91],
        ["slow-panda", "500", 0.97],
    ]
    assert [name for name in runs if name.startswith("params.")] == ["params.fine_tune.steps"]


def test_a_pipeline_has_its_stages_below_it_and_the_report_beside_its_results(later):
    run_stages("preprocess", "fine_tune", "headline")
    send(later)
    (pipeline,) = pipelines(later)
    client, _ = open_store(local_store(later))
    assert nested(later, pipeline) == ["preprocess", "fine_tune", "headline"]
    assert pipeline.data.params == {}
    assert pipeline.data.metrics == {"accuracy": 0.9}
    files = {file.path for file in client.list_artifacts(pipeline.info.run_id)}
    assert files == {"params.yaml", "report.html", "fine-tuned"}
    assert pipeline.info.status == "FINISHED"


def test_a_stage_without_a_run_came_from_the_cache(later):
    run_stages("fine_tune")
    send(later)
    (pipeline,) = pipelines(later)
    not_known = "from the cache, or not reached"
    assert table(pipeline) == {"preprocess": not_known, "fine_tune": "ran", "headline": not_known}

    run_stages("headline")
    send(later)
    (pipeline,) = pipelines(later)
    assert table(pipeline) == {
        "preprocess": "from the cache",
        "fine_tune": "ran",
        "headline": "ran",
    }


def test_an_interrupted_pipeline_and_its_second_half_are_one_run(later):
    run_stages("preprocess")
    with pytest.raises(KeyboardInterrupt), tracked_stage("fine_tune", {}):
        raise KeyboardInterrupt
    send(later)
    (pipeline,) = pipelines(later)
    assert pipeline.info.status == "KILLED"
    assert table(pipeline)["fine_tune"] == "was killed"

    run_stages("fine_tune", "headline")
    send(later)
    (pipeline,) = pipelines(later)
    assert nested(later, pipeline) == ["preprocess", "fine_tune", "fine_tune", "headline"]
    assert pipeline.info.status == "FINISHED"
    assert set(table(pipeline).values()) == {"ran"}


def test_a_pipeline_runs_until_it_has_results_and_is_killed_if_it_goes_on_no_more(later):
    run_stages("preprocess")
    send(later)
    (pipeline,) = pipelines(later)
    assert pipeline.info.status == "RUNNING"

    store = open_store(local_store(later))
    with tracked_stage("fine_tune", {}):
        end_stopped(*store, running_pipelines())
        assert pipelines(later)[0].info.status == "RUNNING"
    end_stopped(*store, running_pipelines())
    assert pipelines(later)[0].info.status == "KILLED"

    run_stages("headline")
    send(later)
    (pipeline,) = pipelines(later)
    assert pipeline.info.status == "FINISHED"
    end_stopped(*store, running_pipelines())
    assert pipelines(later)[0].info.status == "FINISHED"


def test_nothing_counts_as_stopped_while_dvc_runs_a_stage(later):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert not dvc_runs()
    for place in (".dvc/tmp", ".dvc/tmp/exps/queued/.dvc/tmp"):
        Path(place).mkdir(parents=True)
        for pid, runs in ((os.getpid(), True), (ended.pid, False)):
            lock = {"read": {"params.yaml": [{"pid": pid, "cmd": "dvc repro"}]}}
            Path(place, "rwlock").write_text(json.dumps(lock))
            assert dvc_runs() == runs
        Path(place, "rwlock").write_text("{")
        assert not dvc_runs()


def test_make_knows_whether_the_results_of_a_pipeline_were_logged(later):
    run_stages("preprocess")
    assert UNFINISHED.exists()
    run_stages("headline")
    assert not UNFINISHED.exists()


def test_pipelines_of_one_name_are_numbered(later, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "slow-panda")
    for steps in (100, 20, 50):
        set_steps(steps)
        run_stages("preprocess", "fine_tune")
    send(later)
    names = [pipeline.info.run_name for pipeline in pipelines(later)]
    assert names == ["slow-panda", "slow-panda (2)", "slow-panda (3)"]


@pytest.mark.parametrize("path", ["params.yaml", "dvc.yaml", "src/pandacat/new.py", "stages/a.py"])
def test_what_decides_results_makes_another_pipeline(later, path):
    run_stages("preprocess")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("a") as stream:
        stream.write("# changed\n")
    run_stages("preprocess")
    send(later)
    assert len(pipelines(later)) == 2


def test_results_that_are_made_again_are_another_pipeline(later):
    """As after `dvc repro --force fetch_photos`, with other photos in the same archive."""
    run_stages("preprocess", "headline", accuracy=0.8)
    run_stages("preprocess", "headline", accuracy=0.9)
    first, second, third, last = journals(later)
    client, experiment = open_store(local_store(later))
    for journal in (second, third, first, last):  # one that MLflow got late does not matter
        deliver(client, experiment, journal)
    found = [(nested(later, run), run.data.metrics["accuracy"]) for run in pipelines(later)]
    assert found == [(["preprocess", "headline"], 0.8), (["preprocess", "headline"], 0.9)]


def test_two_deliveries_at_once_make_one_pipeline(later):
    run_stages("preprocess", "fine_tune")
    code = "import sys; from pandacat.tracking.delivery import main; main()"
    deliveries = [
        subprocess.Popen([sys.executable, "-c", code, journal], stdin=subprocess.PIPE)
        for journal in journals(later)
    ]
    for delivery in deliveries:
        delivery.communicate(b"send", timeout=120)
    (pipeline,) = pipelines(later)
    assert nested(later, pipeline) == ["preprocess", "fine_tune"]
    assert table(pipeline)["fine_tune"] == table(pipeline)["preprocess"] == "ran"


def test_mlflow_loads_the_model_of_a_pipeline(later, monkeypatch):
    run_stages("headline")
    send(later)
    (pipeline,) = pipelines(later)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", local_store(later))
    model = mlflow.pyfunc.load_model(f"runs:/{pipeline.info.run_id}/fine-tuned")
    Path("notes.jpg").write_text("no photo")
    photo = ROOT / "examples/panda/giant_panda.jpg"
    first, second = model.predict([str(photo), "notes.jpg"]).to_dict("records")
    expected = load_classifier("fine-tuned", models=Path("models")).predict(photo)
    assert first["label"] == expected.label is not None
    assert {name: first[f"p_{name}"] for name in ("panda", "cat", "other")} == pytest.approx(
        expected.probabilities
    )
    assert second["reason"]


def test_predict_takes_the_model_of_a_run(later, capsys, monkeypatch):
    run_stages("headline")
    send(later)
    (pipeline,) = pipelines(later)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", local_store(later))
    photo = str(ROOT / "examples/panda/giant_panda.jpg")
    run = f"runs:/{pipeline.info.run_id}"
    assert main(["predict", photo, "--model", f"{run}/fine-tuned"]) == 0
    for address, reason in (
        (f"{run}/none", "Check the address"),
        (f"{run}/params.yaml", "has no model"),
    ):
        assert main(["predict", photo, "--model", address]) == 1
        assert reason in capsys.readouterr().err


def commit():
    """Commit all files; return the hash, cut to seven digits."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *arguments], check=True)
    return subprocess.check_output([*git, "rev-parse", "--short=7", "HEAD"], text=True).strip()


def test_a_pipeline_is_named_after_its_commit(later):
    first = commit()
    run_stages("preprocess")
    set_steps(20)
    run_stages("preprocess")
    send(later)
    names = [pipeline.info.run_name for pipeline in pipelines(later)]
    assert names == [f"main {first}", f"main {first}, changed"]


def test_a_parameter_counts_as_changed_since_the_last_commit_or_the_oldest_pipeline(later):
    set_steps(20)
    commit()
    run_stages("preprocess")
    send(later)
    assert [pipeline.data.params for pipeline in pipelines(later)] == [{}]

    set_steps(30)
    commit()
    run_stages("preprocess")
    send(later)
    values = [pipeline.data.params for pipeline in pipelines(later)]
    assert values == [{"fine_tune.steps": "20"}, {"fine_tune.steps": "30"}]


def test_a_journal_of_an_earlier_version_becomes_a_run_of_its_own(later):
    run_stages("preprocess")
    (journal,) = journals(later)
    first, *rest = (journal / "journal.jsonl").read_text().splitlines()
    old = {name: value for name, value in json.loads(first).items() if name != "pipeline"}
    (journal / "journal.jsonl").write_text("\n".join([json.dumps(old), *rest, ""]))
    (journal / "params.yaml").unlink()
    send(later)
    _, (run,) = runs_in(local_store(later))
    assert "mlflow.parentRunId" not in run.data.tags
    assert pipelines(later) == []


def test_runs_arrive_after_the_experiment_was_deleted_in_mlflow(later):
    run_stages("preprocess")
    send(later)
    client, experiment = open_store(local_store(later))
    client.delete_experiment(experiment)
    run_stages("fine_tune")
    send(later)
    (pipeline,) = pipelines(later)
    assert nested(later, pipeline) == ["fine_tune"]
    assert client.get_experiment(experiment).lifecycle_stage == "deleted"


def test_the_page_shows_by_default_what_was_changed_and_the_main_metrics(later):
    set_steps(20)
    run_stages("headline")
    send(later)
    client, experiment = open_store(local_store(later))
    view = json.loads(client.get_experiment(experiment).tags[VIEW])
    assert view == {"selectedColumns": ["params.`fine_tune.steps`", "metrics.`accuracy`"]}


@pytest.mark.parametrize("port", [0, 65536])
def test_a_port_that_is_none_is_refused(port):
    with pytest.raises(PandacatError, match="name one from 1 to 65535"):
        serve(port)


def test_a_port_that_is_taken_is_told(project):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with pytest.raises(PandacatError, match=r"make ui PORT=\d+"):
            serve(listening.getsockname()[1])


def test_ctrl_c_ends_the_pages_in_silence_and_they_show_what_was_killed(later):
    """The stage is killed as by `dvc queue stop --kill`; its journal waits, and `ui` sends it."""
    killed = "with tracked_stage('fine_tune', {}): os.kill(os.getpid(), signal.SIGKILL)"
    imports = "import os, signal\nfrom pandacat.tracking.journal import tracked_stage"
    subprocess.run([sys.executable, "-c", f"{imports}\n{killed}"], check=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pandacat", "tracking", "ui", "--port", str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as pages:
        assert any("Open http" in line for line in pages.stdout)
        os.killpg(pages.pid, signal.SIGINT)
        _, errors = pages.communicate(timeout=60)
    assert pages.returncode == 0
    assert "Traceback" not in errors
    with socket.socket() as asking:
        assert asking.connect_ex(("127.0.0.1", port)) != 0
    assert [pipeline.info.status for pipeline in pipelines(later)] == ["KILLED"]


SERVE = """
import sys
from types import SimpleNamespace
from pandacat.tracking import ui

answers = iter([False, True])
ui.listens = lambda port: next(answers)
ui.sync = ui.end_stopped = lambda *_: 0
experiment = SimpleNamespace(tags={})
ui.open_store = lambda uri: (SimpleNamespace(get_experiment=lambda _: experiment), "1")
sys.executable = "./server"
sys.exit(ui.serve(5000))
"""
"""Serves pages by the program `server`."""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP])
def test_the_server_ends_with_the_command_however_that_ends(project, end):
    Path("server").write_text("#!/bin/sh\necho $$ > server.pid\nexec sleep 100\n")
    Path("server").chmod(0o755)
    with subprocess.Popen(
        [sys.executable, "-c", SERVE],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(end, signal.SIG_DFL),  # which `nohup` ignores
    ) as pages:
        assert any("Open http" in line for line in pages.stdout)
        while not Path("server.pid").exists() or not Path("server.pid").read_text():
            time.sleep(0.05)
        pages.send_signal(end)
        assert pages.wait(20) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("server.pid").read_text()), 0)
