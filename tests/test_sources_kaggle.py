"""Downloads through the real `kaggle` client, from a mock of Kaggle on the loopback."""

import io
import json
import os
import random
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest
from kaggle_server import (
    Answer,
    Handler,
    KaggleServer,
    broken_after,
    corrupted,
    length_off_by,
    silent_after,
    status,
)

from pandacat.config.loading import load_config
from pandacat.config.photos import KaggleParams, LabelParams
from pandacat.config.schema import Config
from pandacat.core.errors import PandacatError
from pandacat.data.provenance import Provenance
from pandacat.data.sources import fetching, kaggle
from pandacat.data.sources.transfer import RetryPolicy

PROJECT = Path(__file__).parents[1]
DATASET = "someone/animals"
PAGE = "https://www.kaggle.com/datasets/someone/animals"
IMPATIENT = RetryPolicy(connect_seconds=2, stall_seconds=0.3, attempts=3, pause_seconds=0.01)


def zipped(*names: str, padding_bytes: int = 1 << 20) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, random.Random(name).randbytes(padding_bytes // len(names)))
    return packed.getvalue()


ARCHIVE = zipped("animals/panda/1.jpg", "animals/cats/1.jpg")
PART = 10 << 15
"""Bytes sent before a connection breaks."""


@pytest.fixture
def server() -> Iterator[KaggleServer]:
    with KaggleServer(ARCHIVE) as running:
        yield running


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: KaggleServer) -> Path:
    """An empty home folder, an empty project, no credentials, and Kaggle on the loopback."""
    for name in [name for name in os.environ if name.startswith("KAGGLE_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    (home / ".kaggle").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "TEST")
    with redirect_stdout(io.StringIO()):
        from kaggle.api.kaggle_api_extended import KaggleApi
    from kagglesdk import kaggle_env

    monkeypatch.setattr(KaggleApi, "config", str(home / ".kaggle/kaggle.json"))
    address = f"http://localhost:{server.server_port}"
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.TEST, address)
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return home


def download(policy: RetryPolicy = IMPATIENT) -> Provenance:
    return kaggle.download(DATASET, Path("photos.zip"), policy=policy)


def downloaded() -> bytes:
    return Path("photos.zip").read_bytes()


def partial_downloads() -> list[str]:
    return sorted(path.name for path in kaggle.DOWNLOADS.glob("*"))


def authorizations(server: KaggleServer) -> set[str]:
    return {
        headers.get("authorization", "") for path, headers, _ in server.requests if "Data" in path
    }


def test_a_public_data_set_needs_no_account(server: KaggleServer) -> None:
    origin = download()
    assert downloaded() == ARCHIVE
    assert origin == Provenance("Animals", "kaggle", PAGE, "3", "CC0: Public Domain")
    assert authorizations(server) == {""}
    assert partial_downloads() == []


def test_the_version_that_kaggle_names_is_the_one_downloaded(server: KaggleServer) -> None:
    download()
    body = next(body for path, _, body in server.requests if path.endswith("DownloadDataset"))
    assert json.loads(body)["datasetVersionNumber"] == 3


def test_what_kaggle_does_not_state_is_unknown(server: KaggleServer) -> None:
    server.dataset_info = None
    assert download() == Provenance(DATASET, "kaggle", PAGE, "unknown", "unknown")
    assert downloaded() == ARCHIVE


def test_user_name_and_key_sign_in(server: KaggleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    download()
    assert downloaded() == ARCHIVE
    assert all(header.startswith("Basic ") for header in authorizations(server))


def test_the_key_file_signs_in(server: KaggleServer, home: Path) -> None:
    key_file = home / ".kaggle/kaggle.json"
    key_file.write_text('{"username": "someone", "key": "secret"}')
    key_file.chmod(0o600)
    download()
    assert all(header.startswith("Basic ") for header in authorizations(server))


def test_a_token_signs_in(server: KaggleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")
    download()
    assert authorizations(server) == {"Bearer secret"}


def test_empty_credentials_are_none(server: KaggleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.setenv(name, "")
    download()
    assert authorizations(server) == {""}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"username": "someone"}'])
def test_a_malformed_key_file_is_named_with_the_ways_to_sign_in(home: Path, content: str) -> None:
    (home / ".kaggle/kaggle.json").write_text(content)
    with pytest.raises(PandacatError, match=r"(?s)kaggle\.json.*need no account.*KAGGLE_API_TOKEN"):
        download()


def test_a_user_name_without_a_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    with pytest.raises(PandacatError, match="malformed: KAGGLE_USERNAME"):
        download()


def test_a_broken_download_is_resumed_to_the_same_bytes(server: KaggleServer) -> None:
    server.transfers = [broken_after(PART), broken_after(PART)]
    download()
    assert downloaded() == ARCHIVE
    assert server.ranges() == ["", f"bytes={PART}-", f"bytes={2 * PART}-"]


def test_a_later_run_resumes_where_the_last_one_stopped(server: KaggleServer) -> None:
    server.transfers = [broken_after(PART), *[status(503)] * 3]
    with pytest.raises(PandacatError, match="503"):
        download()
    assert not Path("photos.zip").exists()
    download()
    assert downloaded() == ARCHIVE
    assert server.ranges()[-1] == f"bytes={PART}-"


def test_a_server_that_can_not_resume_sends_everything_again(server: KaggleServer) -> None:
    server.resumes = False
    server.transfers = [broken_after(PART)]
    download()
    assert downloaded() == ARCHIVE


def test_a_part_of_an_older_version_is_not_continued(server: KaggleServer) -> None:
    server.transfers = [broken_after(PART), *[status(503)] * 3]
    with pytest.raises(PandacatError):
        download()
    server.archive = zipped("animals/panda/2.jpg", "animals/cats/2.jpg")
    download()
    assert downloaded() == server.archive


def test_progress_renews_the_attempts(server: KaggleServer) -> None:
    server.transfers = [broken_after(100_000)] * 8
    download()
    assert downloaded() == ARCHIVE


def test_a_stalled_download_is_resumed(server: KaggleServer) -> None:
    server.transfers = [silent_after(PART)]
    download()
    assert downloaded() == ARCHIVE


def test_a_server_that_stays_silent_is_given_up_after_some_attempts(server: KaggleServer) -> None:
    server.transfers = [silent_after(0)] * 3
    with pytest.raises(PandacatError, match=r"stopped responding.*run it again.*photos\.archive"):
        download()


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_transient_errors_of_the_server_are_retried(server: KaggleServer, code: int) -> None:
    server.downloads = [status(code)]
    server.transfers = [status(code)]
    download()
    assert downloaded() == ARCHIVE


def test_lasting_errors_of_the_server_are_a_sentence(server: KaggleServer) -> None:
    server.downloads = [status(500)] * 3
    with pytest.raises(PandacatError, match=r"Kaggle has a problem: run it again later \(500; "):
        download()
    assert not Path("photos.zip").exists()


def test_after_too_many_requests_it_waits_as_long_as_the_server_asks(
    server: KaggleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    server.downloads = [status(429, {"Retry-After": "7"})]
    download()
    assert downloaded() == ARCHIVE
    assert pauses == [7]


def test_too_long_a_pause_is_reported_and_not_waited_for(server: KaggleServer) -> None:
    server.downloads = [status(429, {"Retry-After": "3600"})]
    with pytest.raises(PandacatError, match="run it again in 60 minutes"):
        download()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (401, r"requires an account.*KAGGLE_API_TOKEN.*photos\.archive"),
        (403, r"refuses access.*terms.*kaggle\.com/datasets/someone/animals.*sign in"),
        (404, r"has no such data set.*photos\.kaggle\.dataset.*datasets/someone/animals"),
        (418, r"refuses the download \(418; .*datasets/someone/animals"),
    ],
)
def test_a_refusal_without_an_account_says_what_to_do(
    server: KaggleServer, code: int, sentence: str
) -> None:
    server.downloads = [status(code)] * 9
    with pytest.raises(PandacatError, match=sentence):
        download()
    assert len(server.downloads) == 8, "a refusal is not asked for twice"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [(401, "does not accept your credentials"), (403, "refuses access"), (404, "it is private")],
)
def test_a_refusal_with_an_account_says_what_to_do(
    server: KaggleServer, monkeypatch: pytest.MonkeyPatch, code: int, sentence: str
) -> None:
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    monkeypatch.setenv("KAGGLE_KEY", "wrong")
    server.downloads = [status(code)]
    with pytest.raises(PandacatError, match=sentence) as refused:
        download()
    assert ("To sign in" in str(refused.value)) == (code == 401)


@pytest.mark.parametrize("resumes", [True, False])
def test_more_bytes_announced_than_sent_are_detected(server: KaggleServer, resumes: bool) -> None:
    server.announces_md5, server.resumes = False, resumes
    server.transfers = [length_off_by(1000)] * 2
    download()
    assert downloaded() == ARCHIVE


def test_fewer_bytes_announced_than_sent_are_detected(server: KaggleServer) -> None:
    server.transfers = [length_off_by(-1000)]
    download()
    assert downloaded() == ARCHIVE


def test_a_complete_but_corrupted_partial_download_is_fetched_again(server: KaggleServer) -> None:
    server.transfers = [broken_after(PART), *[status(503)] * 3]
    with pytest.raises(PandacatError):
        download()
    (archive,) = kaggle.DOWNLOADS.glob("*.zip")
    archive.write_bytes(ARCHIVE[:-1] + b"!")
    download()
    assert downloaded() == ARCHIVE
    assert server.ranges()[-2:] == [f"bytes={len(ARCHIVE)}-", ""]


def test_a_zip_of_an_unknown_version_is_discarded(server: KaggleServer) -> None:
    server.archive = ARCHIVE.replace(b"PK\1\2\x14\x03\x14", b"PK\1\2\x14\x03\x5a")
    assert server.archive != ARCHIVE
    with pytest.raises(PandacatError, match="is not a complete zip"):
        download()
    assert partial_downloads() == []


@pytest.mark.parametrize("content", [ARCHIVE[:-2000], b"<!DOCTYPE html>", b""])
def test_an_incomplete_zip_is_discarded(server: KaggleServer, content: bytes) -> None:
    server.archive = content
    with pytest.raises(PandacatError, match=r"not a complete zip.*try again.*photos\.archive"):
        download()
    assert partial_downloads() == []
    assert not Path("photos.zip").exists()


@pytest.mark.parametrize("step", ["Correct", "remove"])
def test_malformed_credentials_are_corrected_or_removed(home: Path, step: str) -> None:
    key_file = home / ".kaggle/kaggle.json"
    key_file.write_text("{")
    with pytest.raises(PandacatError, match=f"kaggle.json.*{step}") as refused:
        download()
    assert str(key_file) in str(refused.value)
    if step == "remove":
        key_file.unlink()
    else:
        key_file.write_text('{"username": "someone", "key": "secret"}')
        key_file.chmod(0o600)
    download()
    assert downloaded() == ARCHIVE


def sign_in_by_token(home: Path) -> None:
    os.environ["KAGGLE_API_TOKEN"] = "secret"


def sign_in_by_name_and_key(home: Path) -> None:
    os.environ |= {"KAGGLE_USERNAME": "someone", "KAGGLE_KEY": "secret"}


def sign_in_by_file(home: Path) -> None:
    (home / ".kaggle/kaggle.json").write_text('{"username": "someone", "key": "secret"}')
    (home / ".kaggle/kaggle.json").chmod(0o600)


@pytest.mark.parametrize(
    ("step", "sign_in"),
    [
        ("KAGGLE_API_TOKEN to a token", sign_in_by_token),
        ("KAGGLE_USERNAME and KAGGLE_KEY", sign_in_by_name_and_key),
        ("in ~/.kaggle/kaggle.json", sign_in_by_file),
    ],
)
@pytest.mark.parametrize("code", [401, 403, 404])
def test_where_an_account_is_asked_for_signing_in_helps(
    server: KaggleServer,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    sign_in: Callable[[Path], None],
    code: int,
) -> None:
    def refuse_strangers(handler: Handler) -> None:
        if "Authorization" in handler.headers:
            handler.send_archive()
        else:
            status(code)(handler)

    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.setenv(name, "")  # which puts it back afterwards
    server.downloads = [refuse_strangers] * 2
    with pytest.raises(PandacatError, match="To sign in, ") as refused:
        download()
    assert step in str(refused.value)
    sign_in(home)
    download()
    assert downloaded() == ARCHIVE


def test_credentials_that_are_not_accepted_are_removed(
    server: KaggleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    monkeypatch.setenv("KAGGLE_KEY", "wrong")
    server.downloads = [status(401)]
    with pytest.raises(PandacatError, match="replace them, or remove them, since public data"):
        download()
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.delenv("KAGGLE_KEY")
    download()
    assert downloaded() == ARCHIVE


@pytest.mark.parametrize(
    ("answers", "advice"),
    [
        ([status(503)] * 3, "run it again later"),
        ([status(429, {"Retry-After": "3600"})], "run it again in 60 minutes"),
        ([silent_after(0)] * 3, "Check the network and run it again"),
    ],
)
def test_running_it_again_helps(server: KaggleServer, answers: list[Answer], advice: str) -> None:
    server.transfers = answers
    with pytest.raises(PandacatError, match=advice):
        download()
    download()
    assert downloaded() == ARCHIVE


def test_what_is_no_zip_is_sent_again(server: KaggleServer) -> None:
    server.archive = ARCHIVE[:-2000]
    with pytest.raises(PandacatError, match="was discarded: try again"):
        download()
    server.archive = ARCHIVE
    download()
    assert downloaded() == ARCHIVE


def test_the_name_of_a_data_set_is_compared_with_its_page(server: KaggleServer) -> None:
    server.downloads = [status(404)]
    with pytest.raises(PandacatError, match=r"compare photos\.kaggle\.dataset with") as refused:
        kaggle.download("someone/animal", Path("photos.zip"), policy=IMPATIENT)
    assert f"{PAGE[:-1]})" in str(refused.value)
    download()
    assert downloaded() == ARCHIVE


def test_a_zip_that_was_downloaded_by_hand_is_used(server: KaggleServer, tmp_path: Path) -> None:
    server.downloads = [status(418)]
    with pytest.raises(PandacatError, match=r"set photos\.source to archive and photos\.archive"):
        fetching.fetch(config(), Path("data/photos.zip"))
    (tmp_path / "browser.zip").write_bytes(ARCHIVE)
    photos = replace(config().photos, source="archive", archive=str(tmp_path / "browser.zip"))
    fetching.fetch(replace(config(), photos=photos), Path("data/photos.zip"))
    assert Path("data/photos.zip").read_bytes() == ARCHIVE


def test_an_unreachable_server_is_a_sentence(server: KaggleServer) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(PandacatError, match="can't be reached"):
        download()


def test_bytes_other_than_the_announced_hash_are_fetched_again(server: KaggleServer) -> None:
    server.transfers = [corrupted]
    download()
    assert downloaded() == ARCHIVE


def config(cat_folder: str = "cats") -> Config:
    """Return the default parameters, but for the source of the photos and a folder's name."""
    default = load_config(PROJECT / "params.yaml")
    photos = replace(default.photos, source="kaggle", kaggle=KaggleParams(dataset=DATASET))
    labels = default.labels | {"cat": LabelParams(folders=(cat_folder,), imagenet=())}
    return replace(default, photos=photos, labels=labels)


def test_the_provenance_names_page_version_license_and_hash() -> None:
    origin, _ = fetching.fetch(config(), Path("data/photos.zip"))
    assert Path("data/photos.zip").read_bytes() == ARCHIVE
    assert origin.origin == PAGE
    assert (origin.version, origin.license) == ("3", "CC0: Public Domain")
    assert len(origin.sha256) == 64
    assert not origin.drawn


def test_an_archive_without_a_required_label_is_kept_for_corrected_folder_names(
    server: KaggleServer,
) -> None:
    with pytest.raises(
        PandacatError, match=r"no photos of cat.*animals/cats.*labels\.cat\.folders.*is kept at"
    ):
        fetching.fetch(config(cat_folder="felines"), Path("data/photos.zip"))
    assert not Path("data/photos.zip").exists()
    fetching.fetch(config(), Path("data/photos.zip"))
    assert Path("data/photos.zip").read_bytes() == ARCHIVE
    assert server.ranges() == ["", f"bytes={len(ARCHIVE)}-"], "nothing is sent twice"


def test_the_stage_downloads_with_the_client_in_a_process_of_its_own(tmp_path: Path) -> None:
    try:
        with socket.create_connection(("localhost", 7777), timeout=0.2):
            pytest.skip("port 7777, where the client looks for its test server, is in use")
    except OSError:
        pass
    config = (PROJECT / "params.yaml").read_text().replace("source: sample", "source: kaggle")
    Path("params.yaml").write_text(config)
    with KaggleServer(ARCHIVE, port=7777):
        done = subprocess.run(
            [sys.executable, PROJECT / "stages/fetch_photos.py"],
            env={**os.environ, "PYTHONPATH": str(PROJECT / "src")},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert Path("data/raw/photos.zip").read_bytes() == ARCHIVE
    assert json.loads(Path("data/raw/provenance.json").read_text())["source"] == "kaggle"
    assert json.loads(Path("metrics/fetch_photos.json").read_text())["files"]["panda"] == 1
    assert "Authentication required" not in done.stdout
