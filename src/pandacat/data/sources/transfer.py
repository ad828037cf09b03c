"""Downloads over unreliable connections: retried, resumed and verified."""

import base64
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import requests
from requests.exceptions import SSLError
from requests.utils import parse_dict_header
from tqdm import tqdm
from urllib3.exceptions import InvalidHeader, ProtocolError, ReadTimeoutError
from urllib3.util import Retry

from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError
from pandacat.core.files import read_json, remove, write_json

Result = TypeVar("Result")

Request = Callable[[dict[str, str]], requests.Response]
"""Sends a request with these additional headers; returns the response, its body not yet read.

Raises `requests.RequestException`, an `HTTPError` for a status of 400 or more.
"""

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that a later attempt may not meet."""

_BLOCK_BYTES = 1 << 15


class TransferError(requests.RequestException):
    """The bytes received are not those that the server announced."""


@dataclass(frozen=True)
class RetryPolicy:
    """How long to wait for a server, and how often to try again."""

    connect_seconds: float = 10
    stall_seconds: float = 30
    """Without a byte, until the connection counts as broken."""
    attempts: int = 6
    """In a row without progress."""
    pause_seconds: float = 1
    """After the first failure; doubled after each further one."""
    longest_pause_seconds: float = 300
    """If a server asks for a longer one, give up."""


def retry(
    action: Callable[[], Result], policy: RetryPolicy, *, progress: Callable[[], int] = lambda: 0
) -> Result:
    """Return the result of `action`, repeated after transient failures.

    Attempts are counted anew whenever `progress` has grown. A server's `Retry-After` is honored.

    Raises:
        requests.RequestException: the last failure.
    """
    failures, furthest = 0, progress()
    while True:
        try:
            return action()
        except requests.RequestException as error:
            if not _is_transient(error):
                raise
            if progress() > furthest:
                failures, furthest = 0, progress()
            failures += 1
            pause = max(retry_after_seconds(error), policy.pause_seconds * 2 ** (failures - 1))
            if failures >= policy.attempts or pause > policy.longest_pause_seconds:
                raise
            print_status(f"{cause_of(error)}; next attempt in {pause:.0f} s")
            time.sleep(pause)


def download(request: Request, target: Path, policy: RetryPolicy, *, title: str) -> None:
    """Download to `target` with a progress bar, resuming what an earlier call left there.

    A partial file is resumed only if the server confirms, by its ETag or date, that it is part of
    the same object. The result has the length and MD5 that the server announces.

    Raises:
        requests.RequestException: the last failure; what was received stays at `target`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    retry(lambda: _attempt(request, target, title), policy, progress=lambda: _partial(target).size)


def discard(target: Path) -> None:
    """Remove a download and what is recorded about it."""
    remove(target)
    remove(_record(target))


def status_of(error: requests.RequestException) -> int | None:
    """Return the HTTP status of a failure, if a response came."""
    return None if error.response is None else error.response.status_code


def retry_after_seconds(error: requests.RequestException) -> float:
    """Return how long the server asks to wait (RFC 9110, 10.2.3), at most 6 hours; or 0."""
    try:
        return 0.0 if error.response is None else Retry().get_retry_after(error.response.raw) or 0.0
    except InvalidHeader:
        return 0.0


def cause_of(error: requests.RequestException) -> str:
    """Return, in a few words, what went wrong."""
    cause = error.args[0] if error.args else None
    match error:
        case TransferError():
            return str(error)
        case requests.HTTPError():
            return f"the server answered {status_of(error)}"
        case SSLError():
            return "the server's certificate is not trusted here"
        case _ if isinstance(error, requests.ReadTimeout) or isinstance(cause, ReadTimeoutError):
            return "the server stopped responding"
        case _ if isinstance(cause, ProtocolError):
            return "the connection broke"
    return "the server can't be reached"


def _is_transient(error: requests.RequestException) -> bool:
    if isinstance(error, requests.HTTPError):
        return status_of(error) in TRANSIENT_STATUSES
    return not isinstance(error, SSLError | ValueError)  # ValueError: malformed, here or there


@dataclass(frozen=True)
class _Partial:
    """What an earlier attempt left."""

    size: int = 0
    validator: str = ""
    """ETag or date by which the server can tell whether its object is still the same."""
    md5: str = ""
    """As the server announced it; empty where it did not."""


def _partial(target: Path) -> _Partial:
    try:
        return _Partial(target.stat().st_size, **read_json(_record(target)))
    except (OSError, PandacatError, TypeError):
        return _Partial()


def _record(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _attempt(request: Request, target: Path, title: str) -> None:
    partial = _partial(target)
    span = {"Range": f"bytes={partial.size}-", "If-Range": partial.validator}
    try:
        response = request(span if partial.validator else {})
    except requests.HTTPError as error:
        if error.response is None or error.response.status_code != 416 or not partial.validator:
            raise
        if error.response.headers.get("Content-Range") != f"bytes */{partial.size}":
            raise _discarded(target, "the server has another file now") from None
        md5 = partial.md5  # there is nothing after what was received
    else:
        md5 = _receive(response, target, partial, title)
    if md5:
        with target.open("rb") as stream:
            digest = hashlib.file_digest(stream, "md5").digest()
        if base64.b64encode(digest).decode() != md5:
            raise _discarded(target, "the bytes do not have the MD5 that the server announced")


def _receive(response: requests.Response, target: Path, partial: _Partial, title: str) -> str:
    """Append the body to `target`, or replace it; return the MD5 that the server announces."""
    headers = response.headers
    size = partial.size if response.status_code == 206 else 0
    if size and not headers.get("Content-Range", "").startswith(f"bytes {size}-"):
        raise _discarded(target, "the server resumed at the wrong place")
    # Google's storage, where Kaggle keeps its files, announces the MD5.
    md5 = parse_dict_header(headers.get("x-goog-hash", "")).get("md5") or ""
    if not size:
        discard(target)
        etag = headers.get("ETag", "W/")  # a weak one can't be resumed by (RFC 9110, 13.1.5)
        if validator := headers.get("Last-Modified") if etag.startswith("W/") else etag:
            write_json(_record(target), {"validator": validator, "md5": md5})
    length = headers.get("Content-Length", "")
    total = size + int(length) if length.isdecimal() else None
    bar = tqdm(desc=title, total=total, initial=size, unit="B", unit_scale=True, mininterval=0.5)
    with response, bar, target.open("ab") as out:
        for block in response.iter_content(_BLOCK_BYTES):
            out.write(block)
            bar.update(len(block))
    return md5


def _discarded(target: Path, reason: str) -> TransferError:
    discard(target)
    return TransferError(reason)
