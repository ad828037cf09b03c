"""Photos in a `multipart/form-data` body, in memory only."""

from collections.abc import AsyncGenerator
from typing import cast

from fastapi import HTTPException
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from pandacat.service.limits import Body
from pandacat.service.pool import UNNAMED, Photo

FIELD = "files"

HOW = f"send few photos as `curl -F {FIELD}=@photo.jpg ADDRESS` does"
MOST_FIELDS = 16
"""That are no files, and passed over."""


class _Parser(MultiPartParser):
    spool_max_size = 0  # any number of bytes: nothing goes to the disk
    is_complete = False

    def on_end(self) -> None:
        self.is_complete = True


async def photos_in_form(headers: Headers, body: Body, most: int) -> list[Photo]:
    """Return the files in a form, `most` at most, in order.

    Raises:
        HTTPException: the form is broken or has no files (422), or as `Body.chunks` does.
        ClientDisconnect: the client is gone.
    """
    chunks = cast(AsyncGenerator[bytes, None], body.chunks())
    parser = _Parser(headers, chunks, max_files=most, max_fields=MOST_FIELDS)
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError) as error:  # of text in a coding that it is not in
        reason = str(getattr(error, "message", error)).rstrip(".")
        raise _broken(reason) from None
    if not parser.is_complete:
        raise _broken("it ends too early")
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
