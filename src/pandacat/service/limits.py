"""What the service takes from its clients, and how much of it at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

PAUSE_SECONDS = 20.0
"""In which a client that sends a body must send some of it."""
BODY_SECONDS = 120.0
"""In which a body must be complete."""
DISCARD_SECONDS = 2.0
"""In which the rest of a body that is refused is taken, and thrown away."""
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
        self._has_more = True

    async def __aenter__(self) -> "Body":
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._held.give_back(self._size)
        if isinstance(error, HTTPException) and error.status_code != 408:
            await self._discard()

    async def _discard(self) -> None:
        """Take what still comes: a client whose connection is closed while it sends gets no answer.

        A client that asked whether to send (`Expect: 100-continue`) sends nothing.
        """
        if "expect" in self._request.headers and not self._size:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_SECONDS):
                while self._has_more:
                    await self._receive()

    async def _receive(self) -> bytes:
        message = await self._request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self._has_more = message.get("more_body", False)
        data: bytes = message.get("body", b"")
        return data

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
        while self._has_more:
            try:
                patience = min(PAUSE_SECONDS, end - time.monotonic())
                chunk = await asyncio.wait_for(self._receive(), patience)
            except TimeoutError:
                raise HTTPException(408, "The photo came too slowly: send it again.") from None
            if self._size + len(chunk) > self._limits.max_body_bytes:
                raise self._too_large()
            if not self._held.take(len(chunk)):
                raise busy("Too many photos are coming in")
            self._size += len(chunk)
            yield chunk

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
