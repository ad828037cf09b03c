"""A service that runs beside the tests."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Event, Thread
from time import monotonic, sleep
from typing import IO, Any, NamedTuple

import pytest
import requests
from conftest import EXAMPLES

from pandacat.models.classifier import Classifier
from pandacat.service.limits import Limits
from pandacat.service.run import Server, bound, server_of

PANDA = EXAMPLES / "panda/giant_panda.jpg"
JPEG = {"Content-Type": "image/jpeg"}


PANDACAT = (sys.executable, "-m", "pandacat")


class Serving(NamedTuple):
    """A process of `pandacat serve`."""

    process: subprocess.Popen[str]
    address: str
    log: IO[str]

    def ended(self) -> str:
        """Wait until it has ended; return its log."""
        self.process.wait(30)
        self.log.seek(0)
        return self.log.read()


@contextmanager
def serving(*options: str, program: Sequence[str] = PANDACAT) -> Iterator[Serving]:
    """Run `pandacat serve` on a free port, until the end of the block."""
    command = [*program, "serve", "--model", "pretrained", "--port", "0", *options]
    with (
        TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            lines = iter(process.stdout.readline, "")
            address = next(line.split()[1] for line in lines if line.startswith("Open "))
            wait_until(lambda: answers(address))
            yield Serving(process, address.rstrip("/"), log)
        finally:
            process.kill()


def answers(address: str) -> bool:
    with suppress(requests.ConnectionError):
        return requests.get(f"{address}health/ready").ok
    return False


class Running:
    """A service and its address."""

    def __init__(self, server: Server, port: int) -> None:
        self.server, self.port = server, port
        self.address = f"http://127.0.0.1:{port}"
        self.predict = f"{self.address}/v1/predict"


@contextmanager
def running(classifier: Classifier, limits: Limits | None = None) -> Iterator[Running]:
    """Run a service in a thread, on a free port, until the end of the block."""
    server = server_of(classifier, limits or Limits())
    with bound("127.0.0.1", 0) as listener:
        thread = Thread(target=server.run, args=[[listener]])
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield Running(server, listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def held(applies: Callable[[bytes], bool] = bool) -> Iterator[Event]:
    """Let no prediction end before the event is set or the block ends: of bytes it applies to."""
    predict, released = Classifier.predict_photo, Event()

    def predict_later(self: Classifier, name: str, read: Any, **options: Any) -> Any:
        if applies(read()):
            released.wait(60)
        return predict(self, name, read, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Classifier, "predict_photo", predict_later)
        try:
            yield released
        finally:
            released.set()


def wait_until(condition: Any, seconds: float = 20) -> None:
    """Return once the condition holds."""
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, "waited in vain"
        sleep(0.01)


def forms(*paths: Path) -> list[tuple[str, tuple[str, bytes]]]:
    """Return files as `requests` sends them in a form."""
    return [("files", (path.name, path.read_bytes())) for path in paths]
