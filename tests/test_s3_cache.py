"""DVC's cache in object storage, on a server that runs on the loopback: the extra s3."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc_project import (
    UP_TO_DATE,
    clone,
    dvc,
    empty_cache,
    make_project,
    set_number,
    set_remote,
)

from pandacat.app.cli import main
from pandacat.data.sources.s3 import s3_error

pytest.importorskip("moto", reason="the extra s3 is not installed: make extra-s3")

from botocore.exceptions import ClientError
from s3_server import S3Server, s3_server, use

WRONG_KEY = {"AWS_ACCESS_KEY_ID": "AKIAWRONG", "AWS_SECRET_ACCESS_KEY": "wrong"}


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        running.client.create_bucket(Bucket="shared")
        yield running


@pytest.fixture(scope="module")
def shared(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project that shares its cache on the server."""
    folder = tmp_path_factory.mktemp("shared") / "project"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        make_project(folder)
        set_remote("s3://shared/pandacat", endpointurl=server.address)
        yield folder


@pytest.fixture
def project(
    shared: Path, server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The current folder, whose user has the right key; DVC knows the server's address."""
    use(server, monkeypatch, home=tmp_path)
    for name in ("DVC_ROOT", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(shared)
    return shared


def test_pushed_and_pulled_nothing_is_computed(project: Path) -> None:
    assert main(["cache", "push"]) == 0
    empty_cache()
    assert main(["cache", "pull"]) == 0
    assert Path("copy").read_text() == "2\n"
    assert UP_TO_DATE in dvc("repro")


def test_another_machine_gets_what_was_computed_from_other_inputs(project: Path) -> None:
    set_number(21)
    dvc("repro")
    set_number(1)
    dvc("repro")
    assert main(["cache", "push"]) == 0
    clone(project)
    assert main(["cache", "pull"]) == 0
    assert UP_TO_DATE in dvc("repro")
    set_number(21)
    assert dvc("repro", "--pull").count("is cached - skipping run, checking out outputs") == 2


def require_sentence(message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Require that both actions fail with this message and no other line; empty the cache."""
    for action in ("push", "pull"):
        if action == "pull":
            empty_cache()
        capsys.readouterr()
        assert main(["cache", action]) == 1
        output = capsys.readouterr()
        assert message in output.err
        assert output.err.count("\n") == 1, output.err
        assert output.out == ""


def require_success() -> None:
    dvc("repro")
    assert main(["cache", "push"]) == 0
    assert main(["cache", "pull"]) == 0


@pytest.mark.parametrize("wrong", WRONG_KEY)
def test_a_wrong_key_is_a_sentence(
    project: Path,
    server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wrong: str,
) -> None:
    monkeypatch.setenv(wrong, WRONG_KEY[wrong])
    message = "s3://shared/pandacat: the server refuses this key ("
    require_sentence(message, capsys)
    monkeypatch.setenv(wrong, server.environment[wrong])
    require_success()


def test_no_key_is_a_sentence(
    project: Path,
    server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for name in WRONG_KEY:
        monkeypatch.delenv(name)
    message = (
        "s3://shared/pandacat can't be used (Unable to locate credentials): set AWS_ACCESS_KEY_ID "
        "and AWS_SECRET_ACCESS_KEY, or write them to ~/.aws/credentials."
    )
    require_sentence(message, capsys)
    (tmp_path / ".aws").mkdir()
    lines = [f"{name.lower()} = {server.environment[name]}\n" for name in WRONG_KEY]
    (tmp_path / ".aws/credentials").write_text("[default]\n" + "".join(lines))
    require_success()


def test_a_missing_bucket_is_a_sentence(
    project: Path, server: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    set_remote("s3://not-there/pandacat", endpointurl=server.address)
    try:
        require_sentence("s3://not-there/pandacat: there is no such bucket.", capsys)
        server.client.create_bucket(Bucket="not-there")
        require_success()
    finally:
        set_remote("s3://shared/pandacat", endpointurl=server.address)


def test_a_dead_server_is_a_sentence(
    project: Path, server: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    dvc("remote", "modify", "shared", "endpointurl", "http://127.0.0.1:9")
    try:
        require_sentence("http://127.0.0.1:9", capsys)
    finally:
        dvc("remote", "modify", "shared", "endpointurl", server.address)
    require_success()


def test_any_other_answer_is_a_sentence() -> None:
    answer = {"Error": {"Code": "SlowDown", "Message": "Please reduce your request rate."}}
    error = s3_error(ClientError(answer, "PutObject"), "s3://shared")
    assert str(error) == (
        "s3://shared: the server answers SlowDown (Please reduce your request rate.). Check the "
        "address, and run it again later."
    )
