"""Downloads over connections that break: tried again, resumed, and checked."""

import base64
import hashlib
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeVar

import requests
from tqdm import tqdm
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from pandacat.core.errors import PandacatError
from pandacat.core.files import read_json, remove, write_json

Result = TypeVar("Result")

Opener = Callable[[dict[str, str]], requests.Response]
"""Sends a request with these additional headers; returns the answer, its body yet unread.

Raises `requests.RequestException`, an `HTTPError` for a status of 400 or more.
"""

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that may be gone at the next attempt."""

_BLOCK_BYTES = 1 << 15


class BrokenTransferError(requests.RequestException):
    """What came is not what the server announced."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server."""

    connect_seconds: float = 10
    stall_seconds: float = 30
    """Without a byte, until the connection counts as broken."""
    attempts: int = 6
    """In a row without anything new."""
    pause_seconds: float = 1
    """After the first failure; doubled with each further one."""
    longest_pause_seconds: float = 300
    """A server that asks for a longer one is not waited for."""


def retry(
    action: Callable[[], Result], patience: Patience, *, progress: Callable[[], int] = lambda: 0
) -> Result:
    """Return what `action` returns, tried again after failures that may pass.

    Attempts are counted anew whenever `progress` has grown. A server's `Retry-After` is honoured.

    Raises:
        requests.RequestException: the last failure.
    """
    failures, furthest = 0, progress()
    while True:
        try:
            return action()
        except requests.RequestException as error:
            if not _may_pass(error):
                raise
            if progress() > furthest:
                failures, furthest = 0, progress()
            failures += 1
            pause = max(retry_after_seconds(error), patience.pause_seconds * 2 ** (failures - 1))
            if failures >= patience.attempts or pause > patience.longest_pause_seconds:
                raise
            print(f"{cause_of(error)}; next attempt in {pause:.0f} s", file=sys.stderr)
            time.sleep(pause)


def receive(open_at: Opener, target: Path, patience: Patience, *, title: str) -> None:
    """Download to `target` with a progress bar; go on where an earlier call stopped.

    An earlier part is kept only where the server confirms that it is of the same object. The
    result has the length and MD5 that the server announces.

    Raises:
        requests.RequestException: the last failure; what has come so far stays at `target`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    retry(lambda: _attempt(open_at, target, title), patience, progress=lambda: _size_bytes(target))


def discard(target: Path) -> None:
    """Remove a download and what is noted about it."""
    remove(target)
    remove(_note(target))


def status_of(error: requests.RequestException) -> int | None:
    """Return the HTTP status that a failure stands for, if any."""
    return None if error.response is None else error.response.status_code


def retry_after_seconds(error: requests.RequestException) -> float:
    """Return how long the server asks to wait: seconds or a date (RFC 9110, 10.2.3), or 0."""
    value = _header(error, "Retry-After")
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def cause_of(error: requests.RequestException) -> str:
    """Return, in a few words, what went wrong."""
    inner = error.args[0] if error.args else None
    match error:
        case BrokenTransferError():
            return str(error)
        case requests.HTTPError():
            return f"the server answers {status_of(error)}"
        case requests.exceptions.SSLError():
            return "the server's certificate is not trusted here"
        case requests.ReadTimeout():
            return "the server is silent"
        case _ if isinstance(inner, ReadTimeoutError):
            return "the server fell silent"
        case _ if isinstance(inner, ProtocolError):
            return "the connection broke"
    return "the server can't be reached"


def _header(error: requests.RequestException, name: str) -> str:
    return "" if error.response is None else error.response.headers.get(name, "")


def _may_pass(error: requests.RequestException) -> bool:
    if isinstance(error, requests.HTTPError):
        return status_of(error) in PASSING
    if isinstance(error, requests.exceptions.SSLError):
        return False
    broken = (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
        requests.exceptions.ContentDecodingError,
        BrokenTransferError,
    )
    return isinstance(error, broken)


def _attempt(open_at: Opener, target: Path, title: str) -> None:
    kept = _kept(target)
    offset = kept.size_bytes
    headers = {"Range": f"bytes={offset}-", "If-Range": kept.validator} if kept.validator else {}
    try:
        response = open_at(headers)
    except requests.HTTPError as error:
        if status_of(error) != 416 or not headers:
            raise
        if _header(error, "Content-Range") == f"bytes */{offset}":
            _check_md5(kept.md5, target)
            return
        discard(target)
        raise BrokenTransferError("the server has another file now") from None
    with response:
        if response.status_code != 206:
            discard(target)
            offset = 0
        elif _start(response) != offset:
            discard(target)
            raise BrokenTransferError("the server resumes at the wrong place")
        _take_note(response, target)
        total = _total_bytes(response, offset)
        bar = tqdm(
            desc=title, total=total, initial=offset, unit="B", unit_scale=True, mininterval=0.5
        )
        with bar, target.open("ab") as out:
            for block in response.iter_content(_BLOCK_BYTES):
                out.write(block)
                bar.update(len(block))
    if total not in (None, _size_bytes(target)):
        raise BrokenTransferError("the server sent less than it announced")
    _check_md5(_announced_md5(response), target)


@dataclass(frozen=True)
class _Kept:
    """What an earlier attempt left."""

    size_bytes: int = 0
    validator: str = ""
    """What lets the server recognize its object; empty where that can't be told."""
    md5: str = ""
    """As the server announced it; empty where it did not."""


def _kept(target: Path) -> _Kept:
    try:
        noted = read_json(_note(target))
        return _Kept(_size_bytes(target), str(noted["validator"]), str(noted["md5"]))
    except (OSError, PandacatError, KeyError, TypeError):
        return _Kept()


def _take_note(response: requests.Response, target: Path) -> None:
    """Note what lets a server recognize the object later (RFC 9110, 13.1.5: no weak ETag)."""
    etag = response.headers.get("ETag", "W/")
    validator = response.headers.get("Last-Modified") if etag.startswith("W/") else etag
    if validator:
        write_json(_note(target), {"validator": validator, "md5": _announced_md5(response)})
    else:
        remove(_note(target))


def _note(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _size_bytes(target: Path) -> int:
    return target.stat().st_size if target.exists() else 0


def _start(response: requests.Response) -> int | None:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _total_bytes(response: requests.Response, offset: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    encoded = "Content-Encoding" in response.headers
    return offset + int(length) if length.isdecimal() and not encoded else None


def _announced_md5(response: requests.Response) -> str:
    """Return what Google's storage, where Kaggle keeps its files, announces; empty without."""
    found = re.search(r"\bmd5=([\w+/=]+)", response.headers.get("x-goog-hash", ""))
    return found[1] if found else ""


def _check_md5(announced: str, target: Path) -> None:
    if not announced:
        return
    with target.open("rb") as stream:
        digest = hashlib.file_digest(stream, "md5").digest()
    if base64.b64encode(digest).decode() != announced:
        discard(target)
        raise BrokenTransferError("the bytes do not have the MD5 that the server announced")
