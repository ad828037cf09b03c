"""The body of a request: limited while it comes in, and the photos in it. It stays in memory."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import cast
from urllib.parse import unquote_to_bytes

from fastapi import HTTPException, Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from pandacat.core.errors import some_of
from pandacat.service.limits import Budget, Limits, busy

PAUSE_SECONDS = 20.0
"""In which a client that sends a body must send some of it."""
BODY_SECONDS = 120.0
"""In which a body must be complete."""
DISCARD_SECONDS = 2.0
"""In which the rest of a body that is refused is taken, and thrown away."""
FORM, BYTES = "multipart/form-data", "application/octet-stream"
FIELD = "files"
"""The name of the parts of a form that are photos."""
HOW = f"send photos as parts called {FIELD}, as `curl -F {FIELD}=@photo.jpg ADDRESS` does"
MOST_FIELDS = 16
"""Parts of a form that are no files, and passed over."""
UNNAMED = "photo"
"""The name of a photo that came without one."""


@dataclass(frozen=True)
class Photo:
    """A photo as it was sent."""

    name: str
    data: bytes


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


class _Parser(MultiPartParser):
    spool_max_size = 0  # any number of bytes: nothing goes to the disk
    is_complete = False

    def on_end(self) -> None:
        self.is_complete = True

    def on_headers_finished(self) -> None:
        part = self._current_part
        if part.content_disposition:
            part.content_disposition += _plain_name(part.content_disposition)
        super().on_headers_finished()


_ENCODED_NAME = re.compile(rb";\s*filename\*\s*=\s*\"?([\w-]+)'[^']*'([^;\s\"]*)", re.IGNORECASE)
"""As RFC 5987 has it, and .NET and older releases of `requests` write it; starlette ignores it."""


def _plain_name(disposition: bytes) -> bytes:
    """Return the parameter that gives a file its encoded name, if it has one."""
    found = _ENCODED_NAME.search(disposition)
    if not found:
        return b""
    encoding, name = found[1].decode(), unquote_to_bytes(found[2])
    with suppress(LookupError):  # of an encoding that there is not
        name = name.decode(encoding, "replace").encode()
    quoted = name.replace(b"\\", rb"\\").replace(b'"', rb"\"")
    return b'; filename="' + quoted + b'"'


async def photos_in(request: Request, body: Body, most: int) -> list[Photo]:
    """Return the photos in a body: itself, or the files of a form, `most` at most, in order.

    Raises:
        HTTPException: it is neither (415); the form is broken or has no files (422); or as
            `Body.chunks` does.
        ClientDisconnect: the client is gone.
    """
    kind = media_type(request)
    if kind == FORM:
        return await _photos_in_form(request.headers, body, most)
    if kind.startswith("image/") or kind == BYTES:
        return [Photo(UNNAMED, await body.whole())]
    raise HTTPException(
        415,
        "Send a photo as the body, with its Content-Type, such as image/jpeg, or as "
        f"{BYTES}; or files called {FIELD} as {FORM}.",
    )


def media_type(request: Request) -> str:
    """Return the type of the body, in small letters and without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _photos_in_form(headers: Headers, body: Body, most: int) -> list[Photo]:
    chunks = cast(AsyncGenerator[bytes, None], body.chunks())
    parser = _Parser(headers, chunks, max_files=most, max_fields=MOST_FIELDS)
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError) as error:  # of text in a coding that it is not in
        reason = str(getattr(error, "message", error)).rstrip(".")
        if reason.startswith("Too many files"):
            raise HTTPException(
                422,
                f"A form holds {most} photos at most: send the others in a second one, as "
                f"`curl -F {FIELD}=@photo.jpg ADDRESS` does.",
            ) from None
        raise _broken(reason) from None
    if not parser.is_complete:
        raise _broken("it ends too early")
    names = {name for name, value in form.multi_items() if isinstance(value, UploadFile)}
    if others := names - {FIELD}:
        raise HTTPException(422, f"The form has files called {some_of(sorted(others))}: {HOW}.")
    files = [
        Photo(_text(value.filename) or UNNAMED, value.file.read())
        for value in form.getlist(FIELD)
        if isinstance(value, UploadFile)
    ]
    if not files:
        raise HTTPException(422, f"The form has no files called {FIELD}: {HOW}.")
    return files


def _broken(reason: str) -> HTTPException:
    return HTTPException(422, f"The form can't be read ({reason}): {HOW}.")


def _text(name: str | None) -> str:
    """Return a name without what JSON can't hold, as a coding of the client's choice may bring."""
    return (name or "").encode("utf-8", "replace").decode()
