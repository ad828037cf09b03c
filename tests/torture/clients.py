"""Clients of the service: they send damaged photos, forms, heads; too much, slowly, or not all."""

import random
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from itertools import repeat
from pathlib import Path

from services import serving

from torture import photos
from torture.damage import damaged
from torture.report import Row

TIMES = 500
LIMIT_MB = 2
"""Of the service's bodies."""
MOST_GROWTH_MB = 50
ANSWERS = {"200", "400", "404", "405", "408", "413", "415", "422", "503"}
NONE = {"no answer", "left"}
"""Of clients that left, or that did not send all."""

Send = Iterator[bytes | float]
"""What a client sends, and the seconds for which it pauses in between."""


def hostile_clients(count: int = TIMES) -> Row:
    """Send them to a process; its memory must not grow, and then it must still predict."""
    options = ("--max-body-mb", str(LIMIT_MB), "--seconds", "30")
    with serving(*options) as service:
        port = int(service.address.rpartition(":")[2])
        examined([*range(-40, 0)], port)  # all code has run, and memory been reserved
        before = resident_mb(service.process.pid)
        outcomes = examined([*range(count)], port)
        grown = resident_mb(service.process.pid) - before
        assert exchange(port, iter([_head(PHOTO), PHOTO])) == "200"
        service.process.terminate()
        log = service.ended()
    assert "Traceback" not in log, log
    assert grown <= MOST_GROWTH_MB, f"grown by {grown:.0f} MB"
    happened = ", ".join(f"{times} {outcome}" for outcome, times in outcomes.most_common())
    return Row(
        "Hostile clients of `pandacat serve`",
        "damaged photos, forms and heads, bodies that are too large, slow, cut off or not waited "
        "for, sixteen at once",
        count,
        f"{happened}; no traceback; memory grew by {grown:.0f} MB",
    )


def resident_mb(process: int) -> float:
    """Return the memory that a process holds."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


def examined(numbers: Sequence[int], port: int) -> Counter[str]:
    """Return how often each status came of the requests with these numbers."""
    with ThreadPoolExecutor(16) as pool:
        return Counter(pool.map(lambda number: _examined(number, port), numbers))


def _examined(number: int, port: int) -> str:
    generator = random.Random(f"clients {number}")
    kind = KINDS[number % len(KINDS)]
    end = generator.choice(("waits", "waits", "waits", "half-closes", "leaves"))
    outcome = exchange(port, kind(generator), end)
    is_complete = kind in COMPLETE and end != "leaves"
    assert outcome in (ANSWERS if is_complete else ANSWERS | NONE), (kind, number, outcome)
    return outcome


def exchange(port: int, sent: Send, end: str = "waits") -> str:
    """Send a request; return the status of the answer.

    In the end, the client waits for it, half-closes its connection and waits, or leaves.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        with suppress(OSError):  # the service need not read to the end
            for part in sent:
                if isinstance(part, float):
                    time.sleep(part)
                else:
                    client.sendall(part)
            if end == "half-closes":
                client.shutdown(socket.SHUT_WR)
        if end == "leaves":
            return "left"
        try:
            answer = HTTPResponse(client)
            answer.begin()
            answer.read()
        except (HTTPException, ConnectionError):
            return "no answer"
        return str(answer.status)


PHOTO = photos.originals()[0]


def _head(body: bytes, kind: str = "image/jpeg", length: int | None = None) -> bytes:
    return (
        "POST /v1/predict?explain=true HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n"
    ).encode()


def _form(generator: random.Random) -> bytes:
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n%b\r\n'
    files = (damaged(photos.originals(), generator) for _ in range(generator.choice((1, 2, 5))))
    return b"".join(part % file for file in files) + b"--x--\r\n"


def _damaged_photo(generator: random.Random) -> Send:
    data = damaged(photos.originals(), generator)
    yield _head(data) + data


def _form_of_damaged_photos(generator: random.Random) -> Send:
    body = _form(generator)
    yield _head(body, "multipart/form-data; boundary=x") + body


def _damaged_form(generator: random.Random) -> Send:
    kinds = ("multipart/form-data; boundary=x", "multipart/form-data; charset=utf-7; boundary=x")
    body = damaged([_form(generator)], generator)
    yield _head(body, generator.choice(kinds)) + body


def _damaged_head(generator: random.Random) -> Send:
    yield damaged([_head(PHOTO)], generator) + PHOTO


def _cut_off(generator: random.Random) -> Send:
    body = _form(generator)
    whole = _head(body, "multipart/form-data; boundary=x") + body
    yield whole[: generator.randrange(len(whole))]


def _slow(generator: random.Random) -> Send:
    for byte in (_head(PHOTO) + PHOTO)[: generator.choice((50, 200))]:
        yield bytes([byte])
        yield 0.01


def _too_large(generator: random.Random) -> Send:
    stated = generator.choice((10_000_000, 10**15))
    yield _head(b"", length=stated)
    yield from repeat(bytes(100_000), 30)


def _too_many_chunks(generator: random.Random) -> Send:
    yield _head(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    size = generator.choice((1_000, 100_000))
    yield from repeat(b"%x\r\n%b\r\n" % (size, bytes(size)), 3_000_000 // size)
    yield b"0\r\n\r\n"


KINDS: tuple[Callable[[random.Random], Send], ...] = (
    _damaged_photo,
    _form_of_damaged_photos,
    _damaged_form,
    _damaged_head,
    _cut_off,
    _slow,
    _too_large,
    _too_many_chunks,
)
COMPLETE = {_damaged_photo, _form_of_damaged_photos, _damaged_form, _too_many_chunks}
"""Those that send all that they state, or too much."""
