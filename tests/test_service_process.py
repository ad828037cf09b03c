"""`pandacat serve` as a process: where it listens, what it says, and how it ends."""

import asyncio
import errno
import re
import shlex
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from services import JPEG, PANDA, forms, serving, wait_until

from pandacat.app import cli
from pandacat.service.run import bound


def refused(*options: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the sentence with which the command ends."""
    assert cli.main(["serve", "--model", "pretrained", *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_an_answer_in_several_parts_is_sent_without_a_pause() -> None:
    """By default, the second part waits until the client has confirmed the first: 40 ms."""
    connected: list[int] = []

    def protocol() -> asyncio.Protocol:
        class Asking(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                accepted = transport.get_extra_info("socket")
                connected.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

        return Asking()

    async def connect(listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        async with await loop.create_server(protocol, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            while not connected:
                await asyncio.sleep(0.01)
            writer.close()

    with bound("127.0.0.1", 0) as listener:
        asyncio.run(connect(listener))
    assert connected[0]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_listens_on_loopback_only_and_ends_with_0(end: signal.Signals) -> None:
    with serving() as service:
        host, port = re.fullmatch(r"http://(.*):(\d+)", service.address).groups()
        assert host == "127.0.0.1"
        with socket.socket() as asking:  # another address of this machine, which 0.0.0.0 includes
            assert asking.connect_ex(("127.0.0.2", int(port))) != 0
        service.process.send_signal(end)
        log = service.ended()
    assert service.process.returncode == 0
    assert "Traceback" not in log


def test_what_is_in_flight_when_it_is_stopped_is_answered() -> None:
    """Four clients send without a pause; each one ends at the first answer that refuses it."""
    answered: list[int] = []

    def send_until_refused() -> None:
        with requests.Session() as session:
            status = 200
            while status == 200:
                status = session.post(
                    f"{service.address}/v1/predict", files=forms(*[PANDA] * 4), timeout=60
                ).status_code
                answered.append(status)

    with serving() as service, ThreadPoolExecutor() as pool:
        clients = [pool.submit(send_until_refused) for _ in range(4)]
        wait_until(lambda: len(answered) >= 8)
        service.process.send_signal(signal.SIGTERM)
        for client in clients:
            client.result()
        log = service.ended()
    assert service.process.returncode == 0
    assert sorted(answered)[-4:] == [503] * 4
    assert set(answered) == {200, 503}
    assert log.count("POST /v1/predict 200") == answered.count(200)


STUCK = """
import sys, time
from pandacat.app import cli
from pandacat.models.classifier import Classifier
Classifier.predict_photo = lambda *_, **__: time.sleep(100)
sys.exit(cli.main())
"""


def test_a_photo_that_takes_too_long_does_not_hold_up_the_end() -> None:
    program = (sys.executable, "-c", STUCK)
    with serving("--seconds", "2", program=program) as service, ThreadPoolExecutor() as pool:
        url = f"{service.address}/v1/predict"
        photo = pool.submit(requests.post, url, PANDA.read_bytes(), headers=JPEG)
        wait_until(lambda: "in_flight 1.0" in requests.get(f"{service.address}/metrics").text)
        service.process.terminate()
        assert photo.result().status_code == 503
        assert "Traceback" not in service.ended()
    assert service.process.returncode == 0


def test_a_second_signal_ends_it_at_once() -> None:
    program = (sys.executable, "-c", STUCK)
    with serving(program=program) as service, ThreadPoolExecutor() as pool:
        url = f"{service.address}/v1/predict"
        photo = pool.submit(requests.post, url, PANDA.read_bytes(), headers=JPEG)
        wait_until(lambda: "in_flight 1.0" in requests.get(f"{service.address}/metrics").text)
        service.process.send_signal(signal.SIGINT)
        wait_until(lambda: requests.get(f"{service.address}/health/ready").status_code == 503)
        service.process.send_signal(signal.SIGINT)
        assert "Traceback" not in service.ended()
        assert photo.result().status_code == 503
    assert service.process.returncode == 130


def test_while_it_is_being_stopped_it_is_alive_but_not_ready() -> None:
    with serving() as service, requests.Session() as session:
        assert session.get(f"{service.address}/health/ready").status_code == 200
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        ready = session.get(f"{service.address}/health/ready")
        live = requests.get(f"{service.address}/health/live")
        photo = requests.post(f"{service.address}/v1/predict", PANDA.read_bytes(), headers=JPEG)
        service.ended()
    assert (ready.status_code, live.status_code, photo.status_code) == (503, 200, 503)
    assert ready.headers["Retry-After"]
    assert ready.headers["Connection"] == "close"


def test_a_taken_port_is_told_and_the_one_that_is_named_is_free(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        message = refused("--port", str(taken.getsockname()[1]), capsys=capsys)
        assert "maybe another `pandacat serve`" in message
        command = shlex.split(re.findall(r"as in `([^`]+)`", message)[0])
        assert command[:3] == ["pandacat", "serve", "--port"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", int(command[3])))


def test_a_port_that_needs_permission_is_told_and_one_that_needs_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Denied(socket.socket):
        """Any socket of a user who is not root."""

        def bind(self, address: tuple[str, int]) -> None:  # type: ignore[override]
            if address[1] < 1024:
                raise PermissionError(errno.EACCES, "Permission denied")
            super().bind(address)

    monkeypatch.setattr(socket, "socket", Denied)
    message = refused("--port", "80", capsys=capsys)
    assert "may not listen on port 80: name one from 1024 up" in message
    named = int(re.findall(r"--port (\d+)`", message)[0])
    bound("127.0.0.1", named).close()


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_is_none_is_told(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is no port: name one from 1 to 65535" in refused("--port", port, capsys=capsys)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "x" * 300, "é" * 70])
def test_a_host_that_is_not_this_machine_is_told(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "127.0.0.1 is for this machine only" in refused("--host", host, capsys=capsys)


def test_a_wrong_model_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--model", "unknown", "--port", "0"]) == 1
    assert "There is no model called unknown" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [["--seconds", "0"], ["--seconds", "nan"], ["--max-body-mb", "-1"], ["--max-in-flight", "0"]],
)
def test_a_limit_that_is_none_is_told(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", *options])
    assert ended.value.code == 2
    assert "is not a" in capsys.readouterr().err
