"""Connections of clients that may be slow, silent or broken."""

import asyncio
import json

from uvicorn.protocols.http.h11_impl import H11Protocol

from pandacat.service.limits import busy
from pandacat.service.traffic import SECURITY_HEADERS

SILENT_SECONDS = 15
"""After which a connection is cut whose client sends no complete head, or takes no answer."""

MOST_CONNECTIONS = 500
"""At once, so that files can still be opened: systems allow a process some 1,000 of both."""


class Connection(H11Protocol):
    """A connection that does not wait for its client forever."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request."""
        super().connection_made(transport)
        self.access_log = False  # which names paths; `traffic` keeps one that does not
        if len(self.connections) > MOST_CONNECTIONS:
            refusal = busy("Too many clients are connected")
            self._write("503 Service Unavailable", refusal.detail, **(refusal.headers or {}))
            transport.close()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        super().connection_lost(exc)
        if self._patience:
            self._patience.cancel()

    def on_response_complete(self) -> None:
        """Wait until the answer is taken, and for the next request."""
        super().on_response_complete()
        self._wait()

    def pause_writing(self) -> None:
        """Wait until the client takes what is already written."""
        super().pause_writing()
        self._wait()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Return whether the client, which sends no more, still gets an answer."""
        cycle = self.cycle
        if cycle is None or cycle.more_body or cycle.response_complete:
            return False
        cycle.keep_alive = False
        return True

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, unless an answer began."""
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self._write("400 Bad Request", f"{msg.rstrip('.')}: send another.")
        self.transport.close()

    def _write(self, status: str, detail: str, **headers: str) -> None:
        """Write an answer like those of the app, which does not get to see the request."""
        body = json.dumps({"detail": detail})
        headers |= SECURITY_HEADERS | {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        lines = (f"{name}: {value}" for name, value in headers.items())
        self.transport.write("\r\n".join([f"HTTP/1.1 {status}", *lines, "", body]).encode())

    def _wait(self) -> None:
        if self._patience:
            self._patience.cancel()
        self._patience = self.loop.call_later(SILENT_SECONDS, self._cut_if_silent)

    def _cut_if_silent(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if not answering or self.flow.write_paused:
            self.transport.abort()
