"""What messages advise helps, when it is obeyed to the letter; the gate's are in its own file."""

import json
import re
import shutil
import subprocess
from contextlib import chdir
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from dvc_stages import ROOT
from ruamel.yaml import YAML
from test_gate import accuracy, commit, project, run, write

from pandacat.app.inputs import open_photos
from pandacat.config.loading import load_config
from pandacat.core.errors import PandacatError
from pandacat.data.preprocess import read_exclusions
from pandacat.data.sources.sample import drawn_kinds
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
    handler.log_message = lambda *_: None
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/a%20'b'.jpg?b=1&c=$2"
        (command,) = commands(message_of(lambda: open_photos([address]).__enter__()))
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        sent = subprocess.run(command, shell=True, env=environment, capture_output=True)
        server.shutdown()
    assert sent.stdout == b"predict -: a photo"


@pytest.mark.parametrize("step", ["correct", "remove"])
def test_a_rule_that_is_corrected_or_removed_no_longer_fails(comparable, capsys, step):
    params = YAML(typ="safe").load(Path("params.yaml"))
    rules = params["gate"]
    rules["spede"] = rules.pop("speed")
    Path("params.yaml").write_text(json.dumps(params))
    assert run() == 1
    advice = "correct the rule in params.yaml, or remove it; metrics/headline.json has the names"
    assert f"No metric is called spede: {advice}" in capsys.readouterr().out
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
    ],
)
def test_a_place_for_the_table_is_found(comparable, capsys, given, advice, then):
    Path("there.md").touch()
    Path("folder").mkdir()
    assert run("--markdown", given) == 2
    assert advice in capsys.readouterr().err
    assert run("--markdown", *then) == 0
    assert Path(then[0]).read_text()


def test_metrics_are_there_in_the_top_folder(comparable, capsys):
    Path("src").mkdir()
    with chdir("src"):
        assert run() == 2
        assert "in the project's top folder" in capsys.readouterr().err
    assert run() == 0
