"""Versions of the model: which is promoted, which is refused, and what a kill leaves behind."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from filelock import FileLock
from mlflow import MlflowClient
from registry_project import (
    GOOD,
    LABELS,
    NULL,
    WORSE,
    commit,
    commit_and_register,
    copy_model,
    git,
    identify,
    jpeg_of,
    photo_of,
    run,
    swap_splits,
    write_model,
    write_photos,
)

from pandacat.app import promotion
from pandacat.app import registry as commands
from pandacat.app.cli import main
from pandacat.config.loading import default_config
from pandacat.core import paths
from pandacat.core.errors import PandacatError
from pandacat.data import store
from pandacat.data.images import perceptual_hash
from pandacat.models import registry
from pandacat.models.loading import load_classifier
from pandacat.models.registry import MODEL

GOOD_VERSION, NULL_VERSION, WORSE_VERSION, OTHER_VERSION, LEAKED_VERSION = "12345"
"""The last one has seen nine test photos of what is now in `data/photos`."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with five versions."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        identify(patch)
        Path("dvc.yaml").touch()
        shutil.copy(ROOT / "params.yaml", "params.yaml")
        git("init", "--quiet")
        write_photos()
        for bias in (GOOD, NULL, WORSE):
            write_model(bias)
            assert commit_and_register() == 0
            patch.setattr(commands, "save_mlflow_model", copy_model)
        write_model(GOOD, ("panda", "fox", "other"))
        assert commit_and_register() == 0
        index = (paths.PHOTOS / store.INDEX).read_bytes()
        swap_splits()
        write_model(GOOD)
        assert commit_and_register() == 0
        (paths.PHOTOS / store.INDEX).write_bytes(index)
        yield folder


@pytest.fixture
def client(project: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """MLflow's client in the project; no version has an alias."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(project)
    monkeypatch.setattr(commands, "save_mlflow_model", copy_model)
    client = MlflowClient("sqlite:///mlflow.db")
    for alias in registry.aliases(client):
        client.delete_registered_model_alias(MODEL, alias)
    return client


def let(client: MlflowClient, **aliases: str) -> None:
    for alias, version in aliases.items():
        client.set_registered_model_alias(MODEL, alias, version)


def test_elsewhere_it_says_where_and_leaves_nothing_behind(client, tmp_path, monkeypatch, capsys):
    project = Path.cwd()
    monkeypatch.chdir(tmp_path)
    assert run("show") == 1
    assert "There is no dvc.yaml here or above: run it in the project's folder" in (
        capsys.readouterr().err
    )
    assert [*tmp_path.iterdir()] == []
    monkeypatch.chdir(project)
    assert run("show") == 0
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlflow.db")
    assert run("show") == 0


def test_the_first_challenger_is_promoted_without_a_comparison(client, capsys):
    let(client, challenger=WORSE_VERSION)
    assert run("promote") == 0
    assert "no champion yet, so nothing is compared" in capsys.readouterr().out
    assert registry.aliases(client) == {"champion": WORSE_VERSION}


def test_a_null_change_is_promoted(client, capsys):
    let(client, champion=GOOD_VERSION, challenger=NULL_VERSION)
    assert run("promote") == 0
    output = capsys.readouterr().out
    assert "no clear change" in output
    assert "left out" not in output
    assert registry.aliases(client) == {"champion": NULL_VERSION, "previous": GOOD_VERSION}


def test_a_regression_is_refused(client, capsys):
    aliases = {"champion": GOOD_VERSION, "challenger": WORSE_VERSION}
    let(client, **aliases)
    assert run("promote") == 1
    output = capsys.readouterr().out
    assert "regression" in output
    assert f"Version {WORSE_VERSION} is not promoted." in output
    assert registry.aliases(client) == aliases


def test_test_photos_that_the_champion_was_trained_on_are_left_out(client, capsys):
    let(client, champion=LEAKED_VERSION, challenger=NULL_VERSION)
    assert run("promote") == 0
    output = capsys.readouterr().out
    assert "9 of 120 photos (test) are left out" in output
    assert "panda/test-0.jpg" in output
    assert "in accuracy that these 111 photos (test)" in output


@pytest.mark.parametrize(
    ("aliases", "message"),
    [
        ({"champion": GOOD_VERSION}, "There is no challenger: `pandacat registry register`"),
        (
            {"champion": GOOD_VERSION, "challenger": LEAKED_VERSION},
            "was made from other photos or labels than those here: check out its commit",
        ),
        (
            {"champion": GOOD_VERSION, "challenger": OTHER_VERSION},
            "was made from other photos or labels than those here: check out its commit",
        ),
        (
            {"champion": OTHER_VERSION, "challenger": GOOD_VERSION},
            "remove the alias champion on MLflow's page (`make ui`) and promote again.",
        ),
    ],
)
def test_what_cannot_be_compared_is_not_promoted(client, capsys, aliases, message):
    let(client, **aliases)
    assert run("promote") == 2
    assert message in capsys.readouterr().err
    assert registry.aliases(client) == aliases
    if "remove the alias champion" in message:
        client.delete_registered_model_alias(MODEL, "champion")
        assert run("promote") == 0


def test_a_champion_of_another_format_is_not_compared(client, capsys, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PandacatError("it has format 1")

    let(client, champion=GOOD_VERSION, challenger=NULL_VERSION)
    monkeypatch.setattr(promotion, "load_classifier", refuse)
    assert run("promote") == 2
    assert "Version 1 can't be used here (it has format 1), so the" in capsys.readouterr().err


def test_too_few_unseen_photos_compare_nothing(client, capsys, monkeypatch):
    let(client, champion=GOOD_VERSION, challenger=NULL_VERSION)
    hashes = store.read_index(paths.PHOTOS).mirrored_fingerprint.tolist()
    monkeypatch.setattr(registry, "read_training_photos", lambda _: hashes)
    assert run("promote") == 2
    output = capsys.readouterr()
    assert "120 of 120 photos (test) are left out" in output.out
    assert "Only 0 test photos of panda are left that neither model has seen" in output.err


def test_the_field_test_is_compared_too(client, capsys, monkeypatch, tmp_path):
    let(client, champion=GOOD_VERSION, challenger=WORSE_VERSION)
    rng = np.random.default_rng(1)
    hashes = []
    for label in LABELS:
        (tmp_path / "field" / label).mkdir(parents=True)
        for number in range(12):
            image = photo_of(label, number / 12, rng)
            (tmp_path / f"field/{label}/{number}.jpg").write_bytes(jpeg_of(image))
            hashes.append(perceptual_hash(image)[0])
    config = default_config()
    with_field = replace(config.evaluate, field_test=str(tmp_path / "field"))
    monkeypatch.setattr(promotion, "load_config", lambda: replace(config, evaluate=with_field))
    monkeypatch.setattr(registry, "read_training_photos", lambda _: hashes[:2])
    assert run("promote") == 1
    output = capsys.readouterr().out
    assert "2 of 36 photos (field_test) are left out" in output
    assert "field_test.fine_tuned.accuracy" in output


def test_the_previous_champion_can_come_back(client, capsys, monkeypatch):
    monkeypatch.setattr(promotion, "regressed", lambda *_: False)
    let(client, champion=GOOD_VERSION, challenger=NULL_VERSION)
    assert run("promote") == 0
    assert run("rollback") == 0
    assert registry.aliases(client) == {"champion": GOOD_VERSION}
    assert run("rollback") == 1
    assert "no previous version to go back to: `pandacat registry show`" in capsys.readouterr().err


class KilledError(BaseException):
    """The end of a command, wherever it is."""


def run_killed(action: str, names: list[str], step: int, *, done: bool) -> None:
    """Run a command that call number `step` of these methods of MLflow's client kills.

    The call itself is `done` or not.
    """
    calls = iter(range(100))

    def killing(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            dies = next(calls) == step
            if dies and not done:
                raise KilledError
            result = method(*arguments, **options)
            if dies:
                raise KilledError
            return result

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(MlflowClient, name, killing(getattr(MlflowClient, name)))
        with pytest.raises(KilledError):
            run(action)


ALIAS_CALLS = ["set_registered_model_alias", "delete_registered_model_alias"]


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("step", range(3))
def test_a_promotion_that_is_killed_leaves_one_champion(client, monkeypatch, step, done):
    let(client, previous=WORSE_VERSION, champion=GOOD_VERSION, challenger=NULL_VERSION)
    monkeypatch.setattr(promotion, "regressed", lambda *_: False)
    run_killed("promote", ALIAS_CALLS, step, done=done)
    late = (step, done) >= (1, True)
    assert registry.aliases(client)["champion"] == (NULL_VERSION if late else GOOD_VERSION)
    assert run("promote") == (2 if (step, done) == (2, True) else 0)
    assert registry.aliases(client) == {"champion": NULL_VERSION, "previous": GOOD_VERSION}


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("step", range(2))
def test_a_rollback_that_is_killed_leaves_one_champion(client, monkeypatch, step, done):
    let(client, previous=GOOD_VERSION, champion=NULL_VERSION)
    run_killed("rollback", ALIAS_CALLS, step, done=done)
    late = (step, done) >= (0, True)
    assert registry.aliases(client)["champion"] == (GOOD_VERSION if late else NULL_VERSION)
    assert run("rollback") == (1 if (step, done) == (1, True) else 0)
    assert registry.aliases(client) == {"champion": GOOD_VERSION}


REGISTER_CALLS = [
    *("create_run", "log_artifacts", "set_terminated", "create_model_version"),
    "set_registered_model_alias",
]


@pytest.mark.parametrize("step", range(len(REGISTER_CALLS)))
def test_a_registration_that_is_killed_changes_no_champion(client, monkeypatch, step):
    let(client, champion=GOOD_VERSION)
    write_model((0.0, 0.001 * (step + 1), 0.0))
    commit()
    before = len(registry.versions(client))
    run_killed("register", REGISTER_CALLS, step, done=True)
    assert registry.aliases(client)["champion"] == GOOD_VERSION
    assert run("register") == 0
    after = registry.versions(client)
    assert len(after) == before + 1
    assert registry.aliases(client) == {
        "champion": GOOD_VERSION,
        "challenger": str(after[-1].version),
    }


def test_of_two_commands_at_once_one_wins(client, capsys):
    let(client, challenger=GOOD_VERSION)
    with FileLock(commands.LOCK):
        assert run("promote") == 2
    assert "Another `pandacat registry` is at work here" in capsys.readouterr().err
    assert registry.aliases(client) == {"challenger": GOOD_VERSION}
    assert run("promote") == 0


def test_a_version_says_what_it_was_made_from(client):
    version = client.get_model_version(MODEL, GOOD_VERSION)
    index = store.read_index(paths.PHOTOS)
    commit_of_tag = git("rev-parse", f"exported@v0.0.{GOOD_VERSION}^{{commit}}")
    assert version.tags["git_commit"] == commit_of_tag
    lock = git("show", f"{commit_of_tag}:dvc.lock").encode()
    assert version.tags["dvc_lock"] == hashlib.sha256(lock).hexdigest()
    assert version.tags["photos"] == store.dataset_fingerprint(index)
    there = load_classifier(registry.address(GOOD_VERSION), models=paths.MODELS)
    assert version.tags["weights"] == there.sha256
    seen = index.fingerprint[index.split != "test"].tolist()
    assert registry.read_training_photos(GOOD_VERSION) == seen


def test_predict_follows_the_champion(client, capsys):
    photo = str(ROOT / "examples/cat/kitten.jpg")
    for version, action in ((GOOD_VERSION, "promote"), (WORSE_VERSION, None)):
        let(client, **({"challenger": version} if action else {"champion": version}))
        assert action is None or run(action) == 0
        capsys.readouterr()
        assert main(["predict", photo, "--model", "models:/pandacat@champion"]) == 0
        followed = capsys.readouterr().out
        assert main(["predict", photo, "--model", registry.address(version)]) == 0
        assert capsys.readouterr().out == followed


def test_a_version_is_not_registered_twice(client, capsys):
    write_model((0.01, 0.0, 0.0))
    assert commit_and_register() == 0
    versions = len(registry.versions(client))
    assert run("promote") == 0
    assert run("register") == 0
    assert "is the champion already." in capsys.readouterr().out
    assert len(registry.versions(client)) == versions
    assert "challenger" not in registry.aliases(client)


def test_show_lists_the_versions(client, capsys, monkeypatch, tmp_path):
    let(client, champion=GOOD_VERSION, previous=GOOD_VERSION)
    assert run("show") == 0
    first = capsys.readouterr().out.splitlines()[2]
    assert first.startswith(GOOD_VERSION)
    assert "champion, previous" in first
    assert client.get_model_version(MODEL, GOOD_VERSION).tags["git_commit"][:12] in first


def test_only_what_a_commit_leads_to_is_registered(client, capsys):
    write_model((0.0, 0.02, 0.0))
    assert run("register") == 1
    assert "dvc.lock is not as in Git's last commit" in capsys.readouterr().err
    git("commit", "--quiet", "--all", "--message", "Results")
    assert run("register") == 0


def test_a_model_of_other_photos_is_not_registered(client, capsys):
    write_model(GOOD)
    index = (paths.PHOTOS / store.INDEX).read_bytes()
    swap_splits()
    commit()
    try:
        assert run("register") == 1
    finally:
        (paths.PHOTOS / store.INDEX).write_bytes(index)
    assert "models/exported was trained on other photos than those" in capsys.readouterr().err


def test_a_tag_that_is_taken_is_told(client, capsys):
    latest = int(registry.versions(client)[-1].version)
    git("tag", "--annotate", "--message", "mine", f"exported@v0.0.{latest + 1}", "HEAD")
    write_model((0.0, 0.03, 0.0))
    assert commit_and_register() == 0
    assert "already exists), so only MLflow knows the version." in capsys.readouterr().out


def test_a_server_that_does_not_answer_is_a_sentence(client, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert run("show") == 1
    error = capsys.readouterr().err
    assert "MLflow at http://127.0.0.1:9 failed" in error
    assert "check MLFLOW_TRACKING_URI" in error
