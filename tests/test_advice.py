"""What messages advise helps, when it is obeyed to the letter; the gate's are in its own file."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from contextlib import chdir
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from dvc_stages import ROOT
from ruamel.yaml import YAML
from test_gate import accuracy, commit, project, run, write
from test_tracking_pipeline import write_model

from pandacat.app.inputs import open_photos
from pandacat.config.loading import load_config
from pandacat.core import stage
from pandacat.core.errors import PandacatError
from pandacat.core.files import read_json
from pandacat.data.preprocess import read_exclusions
from pandacat.data.sources.sample import drawn_kinds
from pandacat.models.loading import load_classifier
from pandacat.models.saved import load_model
from pandacat.tracking.delivery import finished_journals, read_journal
from pandacat.tracking.journal import JOURNALS

repository = project
"""The fixture: a Git repository with rules for the gate; the current folder."""

EXCLUSIONS = Path("data/exclusions.csv")


def message_of(action):
    """Return what `action` raises for the user."""
    with pytest.raises((PandacatError, ValueError)) as raised:
        action()
    return str(raised.value)


def commands(message):
    return re.findall(r"`([^`]+)`", message)


@pytest.fixture
def comparable(repository):
    """The same, with metrics that are committed."""
    write(accuracy(0.9))
    commit()
    return repository


def test_missing_exclusions_come_back_from_git(repository):
    EXCLUSIONS.parent.mkdir()
    EXCLUSIONS.write_text("path,reason\na.jpg,blurred\n")
    commit()
    EXCLUSIONS.unlink()
    checkout, _ = commands(message_of(lambda: read_exclusions(EXCLUSIONS)))
    subprocess.run(checkout.split(), check=True, capture_output=True)
    assert read_exclusions(EXCLUSIONS) == {"a.jpg": "blurred"}


def test_missing_exclusions_can_be_one_line(tmp_path):
    path = tmp_path / "exclusions.csv"
    _, line = commands(message_of(lambda: read_exclusions(path)))
    path.write_text(line)
    assert read_exclusions(path) == {}


def test_params_are_found_in_the_top_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "run from the project's top folder" in message_of(load_config)
    monkeypatch.chdir(ROOT)
    assert load_config().labels


def test_after_a_failed_experiment_the_committed_parameters_come_back(
    repository, monkeypatch, capsys
):
    commit()
    committed = Path("params.yaml").read_text()
    Path("params.yaml").write_text(committed.replace('"steps": 100', '"steps": "abc"'))
    monkeypatch.setenv("DVC_EXP_NAME", "slow-panda")
    monkeypatch.setattr(sys, "argv", ["fine_tune.py"])
    with pytest.raises(SystemExit) as ended:
        stage.run(lambda: print(load_config()))
    (command,) = commands(str(ended.value.code))
    Path("dvc").write_text("#!/bin/sh\necho $*\n")
    Path("dvc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{repository}:{os.environ['PATH']}")
    assert subprocess.check_output(command, shell=True, text=True) == "repro\n"
    assert Path("params.yaml").read_text() == committed


@pytest.mark.parametrize("labels", [["tortoise"], ["cat", "kitty"]])
def test_every_label_that_the_sample_offers_can_be_drawn(labels):
    message = message_of(
        lambda: drawn_kinds({label: ("cat",) * (label == "kitty") for label in labels})
    )
    assert "or choose another label" in message
    offered = re.search(r"only ([\w, ]+): set", message)
    for label in offered[1].split(", ") if offered else ["dog"]:
        assert drawn_kinds({label: ()}) == {label: label}


def test_without_a_damaged_journal_no_run_waits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    journal = JOURNALS / "1-0123456789ab"
    journal.mkdir(parents=True)
    (journal / "journal.jsonl").write_text("{}\n")
    message = message_of(lambda: read_journal(journal))
    named, rest = message.split(" is damaged; ")
    assert rest.startswith("remove this folder")
    shutil.rmtree(named)
    assert finished_journals() == []


def test_the_command_for_an_address_sends_the_photo(tmp_path):
    (tmp_path / "a 'b'.jpg").write_bytes(b"a photo")
    (tmp_path / "pandacat").write_text("#!/bin/sh\nprintf '%s: ' \"$*\"; cat\n")
    (tmp_path / "pandacat").chmod(0o755)
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/a%20'b'.jpg?b=1&c=$2"
        (command,) = commands(message_of(lambda: open_photos([address]).__enter__()))
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        sent = subprocess.run(command, shell=True, env=environment, capture_output=True)
        server.shutdown()
    assert sent.stdout == b"predict -: a photo"


def test_a_zip_that_was_passed_over_is_read_when_it_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("my photos").mkdir()
    Path("my photos/cat.jpg").write_bytes(b"")
    with zipfile.ZipFile("my photos/zoo.zip", "w") as packed:
        packed.writestr("panda.jpg", b"")
    with open_photos(["my photos"]) as photos:
        assert [*photos] == ["my photos/cat.jpg"]
    (command,) = commands(capsys.readouterr().err)
    program, action, *paths = shlex.split(command)
    assert (program, action) == ("pandacat", "predict")
    with open_photos(paths) as photos:
        assert [*photos] == ["my photos/zoo.zip/panda.jpg"]


def test_standard_input_is_read_when_a_photo_is_sent(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    (command,) = commands(message_of(lambda: open_photos(["-"]).__enter__()))
    Path("pandacat").write_text("#!/bin/sh\nprintf '%s: ' \"$*\"; cat\n")
    Path("pandacat").chmod(0o755)
    Path("photo.jpg").write_bytes(b"a photo")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    sent = subprocess.run(command, shell=True, env=environment, capture_output=True)
    assert sent.stdout == b"predict -: a photo"


def test_a_damaged_or_missing_file_is_written_again_by_dvc(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text("stages: {a: {cmd: 'echo 5 > a.json', outs: [a.json]}}")
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--quiet", "--no-scm"], check=True)
    subprocess.run([*dvc, "repro", "--quiet"], check=True)
    monkeypatch.setattr(sys, "argv", ["headline.py"])
    for damage in (Path.unlink, lambda path: path.chmod(0o644) or path.write_text("{")):
        damage(Path("a.json"))
        with pytest.raises(SystemExit) as ended:
            stage.run(lambda: print(read_json(Path("a.json"))))
        (command,) = commands(str(ended.value.code))
        program, *arguments = command.split()
        assert program == "dvc"
        subprocess.run([*dvc, *arguments], check=True, capture_output=True)
        assert read_json(Path("a.json")) == 5


@pytest.mark.parametrize("lost", ["model.json", "weights.safetensors"])
def test_a_damaged_model_is_copied_again(tmp_path, lost):
    write_model(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "copy")
    (tmp_path / "copy" / lost).write_bytes(b"damaged")
    assert "or copy it again from its source" in message_of(lambda: load_model(tmp_path / "copy"))
    shutil.copytree(tmp_path / "whole", tmp_path / "copy", dirs_exist_ok=True)
    assert load_model(tmp_path / "copy").sha256 == load_model(tmp_path / "whole").sha256


def test_a_model_is_found_by_a_name_that_is_offered(tmp_path):
    write_model(tmp_path / "mine")
    message = message_of(lambda: load_classifier("yours", models=tmp_path))
    (offered,) = re.findall(r"There is: (.+?)\. --model pretrained", message)
    assert "mine" in offered.split(", ")
    for name in offered.split(", "):
        load_classifier(name, models=tmp_path)


@pytest.mark.parametrize("step", ["correct", "remove"])
def test_a_rule_that_is_corrected_or_removed_no_longer_fails(comparable, capsys, step):
    params = YAML(typ="safe").load(Path("params.yaml"))
    rules = params["gate"]
    rules["spede"] = rules.pop("speed")
    Path("params.yaml").write_text(json.dumps(params))
    assert run() == 1
    advice = "correct the rule in params.yaml, or remove it; metrics/headline.json has the names"
    assert capsys.readouterr().out.endswith(f"No metric is called spede: {advice}.\n")
    rule = rules.pop("spede")
    if step == "correct":
        assert "speed" in json.loads(Path("metrics/headline.json").read_text())
        rules["speed"] = rule
    Path("params.yaml").write_text(json.dumps(params))
    assert run() == 0


@pytest.mark.parametrize(
    ("given", "advice", "then"),
    [
        ("there.md", "exists: --force replaces it", ["there.md", "--force"]),
        ("folder", "is a folder; give the name of a file", ["folder/gate.md"]),
        ("metrics/gate.md", "choose another place", ["gate.md"]),
        ("x" * 300, "Choose a shorter name", ["x"]),
        ("there.md/gate.md", "move it, or choose another place", ["gate.md"]),
        ("", "give the name of a file", ["gate.md"]),
        ("no/such folder/gate.md", "`mkdir -p 'no/such folder'` creates it", None),
    ],
)
def test_a_place_for_the_table_is_found(comparable, capsys, given, advice, then):
    Path("there.md").touch()
    Path("folder").mkdir()
    assert run("--markdown", given) == 2
    message = capsys.readouterr().err
    assert advice in message
    for command in commands(message):
        subprocess.run(shlex.split(command), check=True)
    then = then or [given]
    assert run("--markdown", *then) == 0
    assert Path(then[0]).read_text()


def test_metrics_are_there_in_the_top_folder(comparable, capsys):
    Path("src").mkdir()
    with chdir("src"):
        assert run() == 2
        assert "in the project's top folder" in capsys.readouterr().err
    assert run() == 0
