"""What messages about models, runs and options advise helps, when it is obeyed to the letter."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from conftest import EXAMPLES, ROOT
from safetensors.numpy import load_file, save_file
from test_cli import KITTEN
from test_gate import accuracy, commit, git, project, run, write
from test_tracking_pipeline import write_model

from pandacat.app import predict, serve
from pandacat.app.cli import main
from pandacat.core import paths
from pandacat.core.errors import PandacatError
from pandacat.core.files import atomic_write
from pandacat.models import engine, loading
from pandacat.models.loading import load_classifier
from pandacat.models.saved import FORMAT, ConformalThresholds, load_model, save_model
from pandacat.tracking import ui
from pandacat.tracking.delivery import open_store

repository = project
"""The fixture: a Git repository with rules for the gate; the current folder."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with one photo, and with one model that was not fine-tuned."""
    monkeypatch.chdir(tmp_path)
    Path(KITTEN).parent.mkdir(parents=True)
    shutil.copy(EXAMPLES / "cat/kitten.jpg", KITTEN)
    write_model(Path("models/mine"))
    return tmp_path


def message_of(action):
    """Return what `action` raises for the user."""
    with pytest.raises((PandacatError, ValueError)) as raised:
        action()
    return str(raised.value)


def test_the_fine_tuned_model_has_prediction_sets(folder, capsys):
    arguments = ["predict", KITTEN, "--prediction-sets"]
    assert main([*arguments, "--model", "mine"]) == 1
    assert "use the fine-tuned one, which `dvc repro` trains" in capsys.readouterr().err
    calibrated = ConformalThresholds(
        0.95, 0.9, (0.0, 0.0, 0.0)
    )  # as the stage `fine_tune` writes them
    save_model(
        Path("models/fine-tuned"), load_model(Path("models/mine")).described(conformal=calibrated)
    )
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("panda, cat or other ")


def test_another_model_than_that_of_digits_is_chosen(folder, capsys):
    digits = load_model(Path("models/mine")).described(image=None, labels=("0", "1", "2"))
    save_model(Path("models/digits"), digits)
    assert main(["predict", KITTEN, "--model", "digits"]) == 1
    assert "it is not for photos: choose another with --model" in capsys.readouterr().err
    assert main(["predict", KITTEN, "--model", "mine"]) == 0


HEAD, BIAS = "backbone.head.weight", "backbone.head.bias"
OVERFLOWING = np.array([3e38, -3e38, 3e38], np.float32)


def spoil_weights(folder, change):
    tensors = load_file(folder / "weights.safetensors")
    name = max(tensors, key=lambda name: tensors[name].ndim)
    save_file(change(tensors, name), folder / "weights.safetensors")


def describe(folder, **changes):
    file = folder / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda model: describe(model, format=FORMAT - 1, views=12),
            f"has format {FORMAT - 1}, this program reads {FORMAT}",
        ),
        (lambda model: describe(model, labels=[]), "can't be used"),
        (lambda model: (model / "model.json").unlink(), "lacks model.json"),
        (
            lambda model: spoil_weights(
                model, lambda each, name: each | {name: each[name] * np.nan}
            ),
            "is not finite",
        ),
        (
            lambda model: spoil_weights(
                model, lambda each, name: each | {name: each[name][:1, :1]}
            ),
            "These are not the weights of a scratch network",
        ),
        (
            lambda model: spoil_weights(
                model, lambda each, _: each | {HEAD: each[HEAD] * 0 + 3e38, BIAS: OVERFLOWING}
            ),
            "The model is damaged: it gives no probabilities for a gray image",
        ),
    ],
)
def test_a_model_that_is_trained_again_can_be_used(folder, capsys, damage, message):
    damage(Path("models/mine"))
    assert main(["predict", KITTEN, "--model", "mine"]) == 1
    advice = capsys.readouterr().err
    assert message in advice
    assert "rain it again with `dvc repro`" in advice.replace("\n", " ")
    shutil.rmtree("models/mine")
    write_model(Path("models/mine"))  # as a stage does
    assert main(["predict", KITTEN, "--model", "mine"]) == 0


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("backbone.body.conv_stem.weight", lambda values: values[:1], "The weights do not fit"),
        ("head.weight", lambda values: values[:, :8], "The model's head and backbone do not fit"),
    ],
)
def test_a_model_of_a_backbone_is_copied_again(folder, capsys, name, change, message):
    whole = loading._default_pretrained()
    save_model(Path("models/mine"), whole.with_tensors({name: change(whole.tensors[name])}))
    arguments = ["predict", KITTEN, "--model", "mine", "--device", "cpu"]
    assert main(arguments) == 1
    advice = capsys.readouterr().err
    assert message in advice
    assert "or copy it again from its source" in advice
    save_model(Path("models/mine"), whole)
    assert main(arguments) == 0


def test_a_model_that_fails_at_a_photo_says_only_that(folder, capsys, recwarn):
    whole = loading._default_pretrained()
    head = whole.tensors["head.weight"] * 0 + np.float32(3e38)
    save_model(Path("models/mine"), whole.with_tensors({"head.weight": head}))
    assert main(["predict", KITTEN, "--model", "mine", "--device", "cpu"]) == 1
    assert f"{KITTEN}: the model gives no probabilities for it\n" in capsys.readouterr().out
    assert [*recwarn] == []


def test_the_pretrained_model_needs_no_training(folder):
    message = message_of(lambda: load_classifier("nobody", models=Path("models")))
    assert "--model pretrained needs no training" in message
    assert load_classifier("pretrained", models=Path("models")).class_names


@pytest.mark.parametrize("step", [{"name": "torch"}, {"precision": "float32"}])
def test_on_a_processor_without_a_precision_another_engine_or_precision_is_used(monkeypatch, step):
    monkeypatch.setattr(engine, "is_native", lambda precision: precision == "float32")
    monkeypatch.setattr(engine, "_torch_engine", lambda *_: "built")
    monkeypatch.setattr(engine, "_place", lambda _: None)
    monkeypatch.setattr(engine, "convert_backbone", lambda *_: None)
    monkeypatch.setattr(engine, "_openvino_engine", lambda *_: "built")

    def build(name="openvino", precision="bfloat16"):
        return engine.compile_backbone(lambda: None, 8, "key", name=name, precision=precision)

    assert "use the engine torch, or the precision float32" in message_of(build)
    assert build(**step) == "built"


@pytest.fixture
def options(monkeypatch):
    """The options with which `pandacat predict` would begin."""
    begun = []

    def begin(options):
        begun.append(options)
        return 0

    monkeypatch.setattr(predict, "run", begin)
    return begun


@pytest.mark.parametrize(
    ("wrong", "advice", "then"),
    [
        (["a.jpg", "--top", "0"], "is not a whole number from 1 up", ["a.jpg", "--top", "1"]),
        (["a.jpg", "--device", "gpu"], "(choose from", ["a.jpg", "--device", "cuda"]),
        (["a.jpg", "--outptu", "b.csv"], "[-o FILE]", ["a.jpg", "-o", "b.csv"]),
        ([], "the following arguments are required: PATH", ["a.jpg"]),
    ],
)
def test_options_are_corrected_as_told(options, capsys, wrong, advice, then):
    with pytest.raises(SystemExit, match="2"):
        main(["predict", *wrong])
    assert advice in capsys.readouterr().err
    assert options == []
    assert main(["predict", *then]) == 0
    assert len(options) == 1


@pytest.mark.parametrize("option", ["--seconds", "--max-body-mb"])
def test_an_amount_is_corrected_as_told(monkeypatch, capsys, option):
    monkeypatch.setattr(serve, "run", lambda options: 0)
    with pytest.raises(SystemExit, match="2"):
        main(["serve", option, "1000000"])
    assert "is not a number between 0 and a million" in capsys.readouterr().err
    assert main(["serve", option, "0.5"]) == 0


def test_a_command_is_chosen_from_those_that_are_told(options, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["recognize", "a.jpg"])
    assert "predict" in capsys.readouterr().err
    assert main(["predict", "a.jpg"]) == 0


def test_a_file_that_has_no_name_gets_one(tmp_path):
    def write_to(target):
        with atomic_write(target) as temporary:
            temporary.touch()

    assert "is not the name of a file: give one" in message_of(lambda: write_to(Path()))
    (tmp_path / "folder").mkdir()
    message = message_of(lambda: write_to(tmp_path / "folder"))
    assert "is a folder; give the name of a file" in message
    write_to(tmp_path / "folder/name")


@pytest.fixture
def served(project, monkeypatch):
    """The ports on which the pages of MLflow would be served."""
    ports = []

    def serve_on(_, port):
        ports.append(port)
        return 0

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(ui, "_serve", serve_on)
    return ports


def test_a_port_is_one_of_those_that_are_told(served, capsys):
    assert main(["tracking", "ui", "--port", "0"]) == 1
    for port in re.findall(r"one from (\d+) to (\d+)", capsys.readouterr().err)[0]:
        assert main(["tracking", "ui", "--port", port]) == 0
    assert served == [1, 65535]


@pytest.mark.parametrize("port", [0, 5001])
def test_instead_of_a_taken_port_another_is_free_and_the_taken_one_answers(served, capsys, port):
    with HTTPServer(("127.0.0.1", port), SimpleHTTPRequestHandler) as taken:
        Thread(target=taken.handle_request).start()
        assert main(["tracking", "ui", "--port", str(taken.server_port)]) == 1
        message = capsys.readouterr().err
        assert (
            re.search(r"open (http://\S+),", message)[1] == f"http://127.0.0.1:{taken.server_port}"
        )
        command = shlex.split(re.search("as in `([^`]+)`", message)[1])
        plan = [*command, "--dry-run", "--no-print-directory", "--assume-old", ".venv/ready"]
        words = shlex.split(subprocess.check_output(plan, cwd=ROOT, text=True))
        assert main(words[words.index("tracking") :]) == 0
    assert served != [taken.server_port]
    with socket.socket() as free:
        free.bind(("127.0.0.1", *served))


@pytest.mark.parametrize("step", ["a name in UTF-8", "set MLFLOW_TRACKING_URI"])
def test_runs_of_a_folder_whose_name_is_no_text_reach_mlflow(project, monkeypatch, step):
    odd = project / os.fsdecode(b"caf\xe9")
    odd.mkdir()
    monkeypatch.chdir(odd)
    assert step in message_of(lambda: open_store("sqlite:///mlflow.db"))
    if step == "a name in UTF-8":
        opened = (
            "from pandacat.tracking.delivery import open_store; open_store('sqlite:///mlflow.db')"
        )
        run = [sys.executable, "-c", opened]
        subprocess.run(run, cwd=odd.rename(project / "café"), check=True)
    else:
        assert open_store(f"sqlite:///{project}/mlflow.db")


@pytest.fixture
def comparable(repository):
    """A repository with metrics that are committed."""
    write(accuracy(0.9))
    commit()
    return repository


def test_damaged_metrics_are_written_again_or_those_of_another_revision_named(comparable, capsys):
    whole = paths.HEADLINE.read_text()
    paths.HEADLINE.write_text("{")
    git("commit", "--quiet", "--all", "--message", "damaged")
    assert run() == 2
    assert "`dvc repro` writes both again" in capsys.readouterr().err
    paths.HEADLINE.write_text(whole)  # as DVC does
    assert run() == 2
    assert "if they belong to a revision, name another one" in capsys.readouterr().out
    assert run("--against", "HEAD~1") == 0


@pytest.mark.parametrize("step", ["correct one", "add one"])
def test_where_no_rule_matches_one_is_corrected_or_added(comparable, capsys, step):
    params = json.loads(Path("params.yaml").read_text())
    rule = params["gate"]["speed"]
    wrong = {"spede": rule} if step == "correct one" else {}
    Path("params.yaml").write_text(json.dumps(params | {"gate": wrong}))
    assert run() == 2
    message = capsys.readouterr().err
    assert step in message
    assert "speed" in json.loads(Path("metrics/headline.json").read_text())
    Path("params.yaml").write_text(json.dumps(params | {"gate": {"speed": rule}}))
    assert run() == 0


def test_with_git_the_gate_compares(comparable, monkeypatch, capsys):
    with monkeypatch.context() as without:
        without.setenv("PATH", str(comparable))
        assert run() == 2
        assert "Git is not installed here: install it" in capsys.readouterr().out
    assert run() == 0


def test_the_table_of_the_gate_goes_to_another_place_than_a_model(comparable, capsys):
    write_model(Path("mine"))
    assert run("--markdown", "mine/gate.md") == 2
    assert "is in a model's folder; choose another place" in capsys.readouterr().err
    assert run("--markdown", "gate.md") == 0
