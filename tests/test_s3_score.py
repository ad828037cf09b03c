"""`pandacat score s3://…`, on a server that runs on the loopback: the extra s3."""

import re
import shlex
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import EXAMPLES
from fake_classifier import Fake

from pandacat.app import score
from pandacat.app.cli import main
from pandacat.data.sources import prefetch, s3
from pandacat.data.sources.s3 import list_photos
from pandacat.models.classifier import Prediction

pytest.importorskip("moto", reason="the extra s3 is not installed: make extra-s3")

from s3_server import S3Server, s3_server, use

PHOTOS = 60
BLOCK = 10


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        running.put_photos("zoo", PHOTOS)
        yield running


@pytest.fixture(autouse=True)
def here(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one and as home; the user has the right key."""
    use(server, monkeypatch, home=tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(score, "BLOCK_PHOTOS", BLOCK)
    classify_with(monkeypatch, Fake())
    return tmp_path


def classify_with(monkeypatch: pytest.MonkeyPatch, classifier: Fake) -> None:
    monkeypatch.setattr(score, "load", lambda _: ("fake", classifier))


def put(server: S3Server, folder: str, **files: bytes) -> None:
    for name, data in files.items():
        server.client.put_object(Bucket="zoo", Key=f"{folder}/{name}", Body=data)


def run(*sources: str, to: str = "scores") -> int:
    return main(["score", *sources, "--to", to])


def rows(folder: str = "scores") -> list[dict]:
    return pq.read_table(folder).to_pylist()


def files(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.parquet")}


def test_scores_of_stored_photos_are_those_of_the_same_photos_in_a_folder(
    server: S3Server,
) -> None:
    Path("photos").mkdir()
    for number in range(PHOTOS):
        Path(f"photos/{number:03d}.jpg").write_bytes(b"%d" % number)
    assert run("photos", to="local") == run("s3://zoo/many") == 0
    moved = [row | {"path": f"s3://zoo/many/{Path(row['path']).name}"} for row in rows("local")]
    assert rows() == moved


def test_the_same_files_are_taken_for_photos_as_in_folders(
    server: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    jpeg = (EXAMPLES / "cat/kitten.jpg").read_bytes()
    names = {
        "taken.JPG": b"1",
        "without_ending": jpeg,
        "deeper/down.png": b"2",
        "empty.jpg": b"",
        "empty": b"",
        "notes.bin": b"no photo",
        "README.md": b"a document",
        ".hidden.jpg": b"3",
        "@eaDir/thumb.jpg": b"4",
        "packed.zip": b"PK",
        "folder/": b"",
    }
    put(server, "mixed", **names)
    put(server, "mixed-up", **{"neighbor.jpg": b"5"})
    assert run("s3://zoo/mixed") == 1
    taken = ["deeper/down.png", "empty.jpg", "taken.JPG", "without_ending"]
    assert [row["path"] for row in rows()] == [f"s3://zoo/mixed/{name}" for name in taken]
    assert [row["reason"] for row in rows()] == [None, "empty", None, None]
    told = capsys.readouterr().err
    assert "no photos that can be read: 3 (s3://zoo/mixed/empty, s3://zoo/mixed/notes.bin, " in told
    assert run("s3://zoo/mixed/", to="with-slash") == 1
    assert files("with-slash") == files("scores")
    assert run("s3://zoo/mixed/taken.JPG", to="one") == 0
    assert [row["path"] for row in rows("one")] == ["s3://zoo/mixed/taken.JPG"]


def test_a_folder_and_a_bucket_at_once(server: S3Server) -> None:
    Path("photos").mkdir()
    Path("photos/a.jpg").write_bytes(b"a")
    server.client.create_bucket(Bucket="pond")
    server.client.put_object(Bucket="pond", Key="b.jpg", Body=b"b")
    for _ in range(2):
        assert run("s3://pond", "photos") == 0
        assert [row["path"] for row in rows()] == ["photos/a.jpg", "s3://pond/b.jpg"]


def test_photos_are_listed_while_others_are_in_use(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    listed = prefetch.fetch_ahead(list_photos("s3://zoo/many"))
    first = [name for name, _ in islice(listed, 3)]
    assert first == [f"s3://zoo/many/{number:03d}.jpg" for number in range(3)]
    put(server, "many", **{"last.jpg": b"came meanwhile"})
    try:
        *rest, last = listed
    finally:
        server.client.delete_object(Bucket="zoo", Key="many/last.jpg")
    assert len(rest) == PHOTOS - 3
    assert last[0] == "s3://zoo/many/last.jpg"
    assert last[1]() == b"came meanwhile"


class Surprised(Fake):
    """Something happens when so many photos have been predicted."""

    def __init__(self, after: int, happens: Callable[[], object]) -> None:
        super().__init__()
        self.left, self.happens = after, happens

    def predict_photo(self, path: str, read: Callable[[], bytes]) -> Prediction:
        self.left -= 1
        if self.left == 0:
            self.happens()
        return super().predict_photo(path, read)


def test_stopped_by_the_death_of_the_server_the_same_command_goes_on(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("s3://zoo/many", to="undisturbed") == 0
    monkeypatch.setattr(prefetch, "READERS", 1)
    classify_with(monkeypatch, Surprised(25, server.stop))
    capsys.readouterr()
    try:
        assert run("s3://zoo/many") == 1
        message = capsys.readouterr().err
        assert f"s3://zoo/many: the server {server.address} does not answer" in message
        assert message.count("\n") == 1
        assert 0 < len(rows()) < PHOTOS
        assert {row["reason"] for row in rows()} == {None}
    finally:
        server.start()
    classify_with(monkeypatch, Fake())
    assert run("s3://zoo/many") == 0
    assert files("scores") == files("undisturbed")
    assert f"{PHOTOS} photos: " in capsys.readouterr().err


def test_stopped_by_ctrl_c_the_same_command_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("s3://zoo/many", to="undisturbed") == 0
    classify_with(monkeypatch, Fake(stops_after=25))
    capsys.readouterr()
    assert run("s3://zoo/many") == 130
    assert capsys.readouterr().err == ("20 photos are scored; the same command scores the rest.\n")
    classify_with(monkeypatch, Fake())
    assert run("s3://zoo/many") == 0
    assert files("scores") == files("undisturbed")


def test_a_photo_that_is_gone_since_it_was_listed_has_a_reason(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(server, "going", **{f"{number:02d}.jpg": b"1" for number in range(40)})

    def remove() -> None:
        server.client.delete_object(Bucket="zoo", Key="going/39.jpg")

    monkeypatch.setattr(prefetch, "READERS", 1)
    classify_with(monkeypatch, Surprised(1, remove))
    assert run("s3://zoo/going") == 1
    assert [row["reason"] for row in rows()] == [None] * 39 + ["gone since it was listed"]


def test_a_photo_larger_than_any_is_not_fetched(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "LARGEST_FILE_BYTES", 1 << 20)
    put(server, "large", **{"a.jpg": bytes((1 << 20) + 1), "b.jpg": bytes(1 << 20)})
    assert run("s3://zoo/large") == 1
    assert [row["reason"] for row in rows()] == ["larger than 1 MiB: save it as JPEG", None]


@pytest.mark.parametrize(
    ("source", "setting", "value", "message"),
    [
        ("s3://zoo/many", "AWS_ACCESS_KEY_ID", "AKIAWRONG", "the server refuses this key (Inv"),
        ("s3://zoo/many", "AWS_SECRET_ACCESS_KEY", "wrong", "the server refuses this key (Sig"),
        ("s3://zoo/many", "AWS_ACCESS_KEY_ID", "", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_"),
        (
            "s3://zoo/many",
            "AWS_ENDPOINT_URL",
            "http://127.0.0.1:9",
            ":9 does not answer. Check the",
        ),
        ("s3://zoo/many", "AWS_PROFILE", "nobody", "correct the address or the settings of AWS"),
        ("s3://zoo/mani", "", "", "No photos in s3://zoo/mani: name the bucket and folder they a"),
        ("s3://zo_o/many/", "", "", "there is no such bucket. Check its name"),
        ("s3://", "", "", "correct the address or the settings of AWS"),
    ],
)
def test_a_storage_that_cannot_be_used_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    source: str,
    setting: str,
    value: str,
    message: str,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if setting:
            patch.setenv(setting, value)
        assert run(source) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith((f"pandacat: {source}", "pandacat: No photos"))
    assert said.count("\n") == 1
    assert not Path("scores").exists()
    assert run("s3://zoo/many") == 0


def test_predict_names_the_command_that_reads_object_storage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "s3://zoo/many/000.jpg"]) == 1
    (command,) = re.findall("`pandacat ([^`]+)`", capsys.readouterr().err)
    assert main(shlex.split(command)) == 0
    assert [row["path"] for row in rows()] == ["s3://zoo/many/000.jpg"]
