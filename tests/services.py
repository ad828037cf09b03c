"""A service that runs beside the tests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

import pytest
from conftest import EXAMPLES

from pandacat.models.classifier import Classifier
from pandacat.service.limits import Limits
from pandacat.service.run import Server, bound, server_of

PANDA = EXAMPLES / "panda/giant_panda.jpg"
JPEG = {"Content-Type": "image/jpeg"}


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
