"""A mock of Kaggle on the loopback: its API, and the storage to which it redirects."""

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

API = "/api/v1/datasets.DatasetApiService"

Answer = Callable[["Handler"], None]
"""Answers one request in place of the regular answer."""


class KaggleServer(ThreadingHTTPServer):
    """Serves one archive, after the scripted failures.

    `downloads` are the first answers to requests for the data set, `transfers` those of the
    storage.
    """

    daemon_threads = True

    def __init__(self, archive: bytes, port: int = 0) -> None:
        super().__init__(("localhost", port), Handler)
        self.archive = archive
        self.dataset_info: dict[str, object] | None = {
            "title": "Animals",
            "licenseName": "CC0: Public Domain",
            "currentVersionNumber": 3,
        }
        self.announces_md5 = True
        self.resumes = True
        self.downloads: list[Answer] = []
        self.transfers: list[Answer] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        """Path, headers and body of each request."""
        self.closing = threading.Event()

    def __enter__(self) -> "KaggleServer":
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.archive).hexdigest()[:16]}"'

    def ranges(self) -> list[str]:
        """The Range of each request to the storage, '' where it asked for everything."""
        return [
            headers.get("range", "") for path, headers, _ in self.requests if "/storage/" in path
        ]

    def handle_error(self, *_: object) -> None:
        """Clients close connections on purpose here."""


class Handler(BaseHTTPRequestHandler):
    server: KaggleServer

    def do_POST(self) -> None:
        self.record(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        match self.path:
            case "/api/v1/security.OAuthService/IntrospectToken":
                self.send_json(200, {"active": True, "username": "someone"})
            case path if path == f"{API}/GetDataset" and self.server.dataset_info:
                self.send_json(200, self.server.dataset_info)
            case path if path == f"{API}/DownloadDataset":
                if self.server.downloads:
                    self.server.downloads.pop(0)(self)
                else:
                    self.send_response(302)
                    self.send_header("Location", "/storage/archive.zip?signature=1")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
            case _:
                self.send_json(404, {"code": 404, "message": "not found"})

    def do_GET(self) -> None:
        self.record(b"")
        if self.server.transfers:
            self.server.transfers.pop(0)(self)
        else:
            self.send_archive()

    def record(self, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.path, headers, body))

    def send_json(
        self, status: int, content: object, headers: dict[str, str] | None = None
    ) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_archive(
        self, *, stop_after: int | None = None, announce: int = 0, corrupt: bool = False
    ) -> None:
        """Send the archive or the part requested; optionally less, or other than announced."""
        archive, start = self.server.archive, 0
        wanted = self.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
        if wanted and self.server.resumes and self.headers.get("If-Range") == self.server.etag:
            start = int(wanted)
        if wanted and start >= len(archive):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(archive)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            span = f"bytes {start}-{len(archive) - 1}/{len(archive)}"
            self.send_header("Content-Range", span)
        if self.server.announces_md5:
            md5 = base64.b64encode(hashlib.md5(archive).digest()).decode()
            self.send_header("x-goog-hash", f"crc32c=AAAAAA==,md5={md5}")
        self.send_header("ETag", self.server.etag)
        self.send_header("Content-Length", str(len(archive) - start + announce))
        self.end_headers()
        if corrupt:
            archive = archive[:-1] + b"!"
        self.wfile.write(archive[start : None if stop_after is None else start + stop_after])

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def status(code: int, headers: dict[str, str] | None = None) -> Answer:
    """Answer with an HTTP status."""
    return lambda handler: handler.send_json(
        code, {"code": code, "message": f"refused with {code}"}, headers
    )


def broken_after(byte_count: int) -> Answer:
    """Close the connection after so many bytes."""

    def answer(handler: Handler) -> None:
        handler.send_archive(stop_after=byte_count)
        handler.close_connection = True

    return answer


def silent_after(byte_count: int) -> Answer:
    """Send so many bytes, then nothing, and keep the connection open."""

    def answer(handler: Handler) -> None:
        handler.send_archive(stop_after=byte_count)
        handler.server.closing.wait(20)

    return answer


def corrupted(handler: Handler) -> None:
    """Send bytes that differ from the announced hash."""
    handler.send_archive(corrupt=True)


def length_off_by(byte_count: int) -> Answer:
    """Announce more bytes than there are, or fewer."""

    def answer(handler: Handler) -> None:
        with contextlib.suppress(ConnectionError):
            handler.send_archive(announce=byte_count, stop_after=len(handler.server.archive))
        handler.close_connection = True

    return answer
