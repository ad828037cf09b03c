"""The service as a process: where it listens, and how it ends."""

import errno
import logging
import os
import socket
import sys
import time
from types import FrameType

import uvicorn

from pandacat.core.errors import PandacatError
from pandacat.core.ports import free_port
from pandacat.models.classifier import Classifier
from pandacat.service.api import create_app
from pandacat.service.connection import Connection
from pandacat.service.limits import Limits
from pandacat.service.traffic import Traffic

LINGER_SECONDS = 0.5
"""In which clients that keep connections are told that the service is being stopped."""
ENDING_SECONDS = 10
"""In which answers that are written are sent."""


class Server(uvicorn.Server):
    """Stops when it is told to and has answered what is in flight; at once if told twice."""

    def __init__(self, config: uvicorn.Config, traffic: Traffic) -> None:
        super().__init__(config)
        self.traffic = traffic
        self._closing_since = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        if self.traffic.is_closing:
            self.should_exit = self.force_exit = True
        self.traffic.is_closing = True
        self._closing_since = time.monotonic()

    async def on_tick(self, counter: int) -> bool:
        """Return whether to close the connections now: every request ends, if late."""
        if self.traffic.is_closing:
            lingered = time.monotonic() - self._closing_since > LINGER_SECONDS
            self.should_exit |= lingered and not self.traffic.requests
        return await super().on_tick(counter)


def bound(host: str, port: int) -> socket.socket:
    """Return a socket with this address; port 0 stands for a free one.

    It does not listen yet, so that clients are refused until the model is loaded.

    Raises:
        PandacatError: the port is none, or taken, or the host is not this machine.
    """
    if not 0 <= port <= 65535:
        raise PandacatError(f"--port {port} is no port: name one from 1 to 65535.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the protocol is named; without it, answers are 40 ms late.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, TypeError) as error:  # the latter of a host whose name can't be encoded
        listener.close()
        raise _refusal(error, host, port) from None
    return listener


def _refusal(error: OSError | TypeError, host: str, port: int) -> PandacatError:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return PandacatError(
            f"Something listens on port {port} already, maybe another `pandacat serve`: open "
            f"http://127.0.0.1:{port}, or name a free one, as in `pandacat serve --port "
            f"{free_port(port)}`."
        )
    if number in (errno.EACCES, errno.EPERM):
        return PandacatError(
            f"This user may not listen on port {port}: name one from 1024 up, as in `pandacat "
            f"serve --port {free_port(8000)}`."
        )
    reason = getattr(error, "strerror", error)
    return PandacatError(
        f"--host {host} can't be used ({reason}): 127.0.0.1 is for this machine only, "
        "0.0.0.0 for all."
    )


def server_of(classifier: Classifier, limits: Limits) -> Server:
    """Return the service of a classifier, ready to run."""
    traffic = Traffic(limits)
    config = uvicorn.Config(
        create_app(classifier, limits, traffic),
        loop="asyncio",
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=ENDING_SECONDS,
    )
    return Server(config, traffic)


def serve(classifier: Classifier, limits: Limits, listener: socket.socket) -> int:
    """Serve until Ctrl-C or SIGTERM, then answer what is in flight; return an exit code."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    server = server_of(classifier, limits)
    server.run([listener])
    code = 130 if server.force_exit else 0
    if server.traffic.photos.taken:  # in threads that can't be stopped
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
