"""What the service takes from its clients, and how much of it at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from threading import Lock

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

PAUSE_SECONDS = 20.0
"""In which a client that sends a body must send some of it."""
BODY_SECONDS = 120.0
"""In which a body must be complete."""
LARGEST_BODIES = 8
"""As many bodies of the largest size may be in memory at once."""
RETRY_SECONDS = 2
"""After which a client that was refused may try again."""


@dataclass(frozen=True)
class Limits:
    """What a client may ask for."""

    max_body_mb: float = 50
    """Of a request's body, in 10⁶ bytes."""
    max_in_flight: int = 64
    """Photos that wait or are predicted at once."""
    seconds: float = 60
    """That the prediction of a photo may take."""

    @property
    def max_body_bytes(self) -> int:
        """`max_body_mb` in bytes."""
        return int(self.max_body_mb * 1e6)


class Budget:
    """How much of something is taken, of what there is; any thread may take and give back."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0
        self._lock = Lock()

    def take(self, amount: int) -> bool:
        """Take `amount`, and return whether there was as much."""
        with self._lock:
            if self.taken + amount > self.total:
                return False
            self.taken += amount
            return True

    def give_back(self, amount: int) -> None:
        """Undo `take`."""
        with self._lock:
            self.taken -= amount


class Body:
    """The body of a request, limited while it comes in; its bytes count until it is left."""

    def __init__(self, request: Request, limits: Limits, held: Budget) -> None:
        """Read from `request`; `held` is the budget of bytes of all bodies at once."""
        self._request, self._limits, self._held = request, limits, held
        self._size = 0

    def __enter__(self) -> "Body":
        return self

    def __exit__(self, *_: object) -> None:
        self._held.give_back(self._size)

    async def whole(self) -> bytes:
        """Return all of it; raises as `chunks` does."""
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield it in the parts in which it comes in.

        Raises:
            HTTPException: it is too large (413), too slow (408), or too many others are there
                already (503).
            ClientDisconnect: the client is gone.
        """
        if int(self._request.headers.get("content-length") or 0) > self._limits.max_body_bytes:
            raise self._too_large()
        end = time.monotonic() + BODY_SECONDS
        more = True
        while more:
            try:
                patience = min(PAUSE_SECONDS, end - time.monotonic())
                message = await asyncio.wait_for(self._request.receive(), patience)
            except TimeoutError:
                raise HTTPException(408, "The photo came too slowly: send it again.") from None
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk: bytes = message.get("body", b"")
            if self._size + len(chunk) > self._limits.max_body_bytes:
                raise self._too_large()
            if not self._held.take(len(chunk)):
                raise busy("Too many photos are coming in")
            self._size += len(chunk)
            yield chunk
            more = message.get("more_body", False)

    def _too_large(self) -> HTTPException:
        return HTTPException(
            413,
            f"The body has more than {self._limits.max_body_mb:g} MB: send photos one by one, or "
            "smaller ones.",
        )


def busy(cause: str) -> HTTPException:
    """Return the refusal of a request that may succeed later."""
    return HTTPException(
        503,
        f"{cause}: try again after {RETRY_SECONDS} s.",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )
