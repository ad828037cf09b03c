"""The service and clients that are slow, silent, broken, greedy or made from its OpenAPI."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import requests
from services import JPEG, PANDA, Running, forms, running, serving, wait_until
from torture.clients import examined

from pandacat.models.classifier import Classifier
from pandacat.models.loading import load_classifier
from pandacat.service import body, connection
from pandacat.service.limits import Limits

HEAD = (
    b"POST /v1/predict HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
)
PART = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier("pretrained", models=Path("nowhere"))


@pytest.fixture(scope="module")
def service(classifier: Classifier) -> Iterator[Running]:
    """A service that soon loses its patience."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "SILENT_SECONDS", 0.4)
        patch.setattr(body, "PAUSE_SECONDS", 0.3)
        patch.setattr(body, "BODY_SECONDS", 1.0)
        patch.setattr(body, "DISCARD_SECONDS", 0.5)
        with running(classifier, Limits(max_body_mb=2)) as started:
            yield started


def talk(service: Running, *sent: bytes | float) -> bytes:
    """Send these parts, with pauses; return all that comes until the connection is closed."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as client:
        for part in sent:
            if isinstance(part, float):
                time.sleep(part)
            else:
                client.sendall(part)
        try:
            return client.makefile("rb").read()
        except ConnectionResetError:
            return b""


def test_a_few_dozen_hostile_clients_get_answers_and_the_next_one_its_prediction(
    service: Running,
) -> None:
    outcomes = examined(range(64), service.port)
    assert {"200", "413", "422"} <= set(outcomes)
    assert requests.post(service.predict, PANDA.read_bytes(), headers=JPEG).ok
    wait_until(lambda: service.server.traffic.requests == 0)
    assert service.server.traffic.bytes.taken == service.server.traffic.photos.taken == 0


def test_a_body_that_stops_coming_gets_408(service: Running) -> None:
    answer = talk(service, HEAD % 1000 + b"half")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"too slowly" in answer


def test_a_body_that_never_ends_gets_408(service: Running) -> None:
    start = time.monotonic()
    drops: list[bytes | float] = [b"x", 0.1]
    answer = talk(service, HEAD % 1000, *drops * 11)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    "sent", [[], [b"POST /v1"], [b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /"]]
)
def test_a_connection_without_a_complete_head_is_cut(service: Running, sent: list[bytes]) -> None:
    start = time.monotonic()
    talk(service, *sent)
    assert time.monotonic() - start < 3


def test_a_client_that_takes_no_answer_is_cut(service: Running) -> None:
    request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", service.port))
        client.settimeout(1)
        with suppress(OSError):  # the service stops reading, and at last cuts the connection
            while True:
                client.sendall(request * 100)
        wait_until(lambda: not service.server.server_state.connections)


def test_clients_beyond_those_that_may_connect_get_503(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until(lambda: not service.server.server_state.connections)
    monkeypatch.setattr(connection, "MOST_CONNECTIONS", 2)
    monkeypatch.setattr(connection, "SILENT_SECONDS", 20)
    live = f"{service.address}/health/live"
    with ExitStack() as silent:
        for count in (1, 2):
            silent.enter_context(socket.create_connection(("127.0.0.1", service.port)))
            wait_until(lambda count=count: len(service.server.server_state.connections) == count)
        refused = requests.get(live)
        assert refused.status_code == 503
        assert "connected: try again after" in refused.json()["detail"]
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.headers["X-Content-Type-Options"] == "nosniff"
    wait_until(lambda: requests.get(live).ok)


def test_a_client_that_half_closes_gets_its_answer(service: Running) -> None:
    data = PANDA.read_bytes()
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as client:
        client.sendall(HEAD % len(data) + data)
        client.shutdown(socket.SHUT_WR)
        answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"label":"panda"' in answer


def test_requests_that_come_at_once_are_answered_in_turn(service: Running) -> None:
    data = PANDA.read_bytes()
    answers = talk(service, (HEAD % len(data) + data) * 2, (HEAD % 1) + b"x")
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"200", b"422"]


def test_an_endless_body_leaves_memory_as_it_is() -> None:
    def peak(pid: int) -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) >> 10

    with serving("--max-body-mb", "5") as service:
        url = f"{service.address}/v1/predict"
        assert requests.post(url, files=forms(PANDA)).ok
        before = peak(service.process.pid)
        for kind in ("image/jpeg", "multipart/form-data; boundary=x"):
            chunks = (PART + bytes(1_000_000) for _ in range(200))
            answer = requests.post(url, chunks, headers={"Content-Type": kind})
            assert answer.status_code == 413
        assert peak(service.process.pid) - before < 30


def test_schemathesis_finds_nothing(service: Running, tmp_path: Path) -> None:
    """Its requests follow the OpenAPI, or break it; random bytes are no photo, and get 422."""
    settings = tmp_path / "schemathesis.toml"
    settings.write_text("[checks.positive_data_acceptance]\nexpected-statuses = [200, 422]\n")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings), "run"]
    options = ["--max-examples", "8", "--seed", "1", "--no-color"]
    url = f"{service.address}/openapi.json"
    ended = subprocess.run([*command, url, *options], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Tested: 4" in ended.stdout
