"""A download from Kaggle, killed and broken off at random moments; the server is on loopback."""

import io
import random
import time
import zipfile
from pathlib import Path

from kaggle_server import Handler, KaggleServer, broken_after, status

from torture import project
from torture.project import small_params
from torture.report import Row

PORT = 7777
"""On which the `kaggle` client expects its test server."""

KILLS = 10
PIECE_BYTES = 1 << 16


def killed_downloads(folder: Path) -> list[Row]:
    """Kill the stage while it downloads over connections that break; then let it finish."""
    generator = random.Random("downloads")
    params = small_params()
    params["photos"] |= {"source": "kaggle", "kaggle": {"dataset": "someone/animals"}}
    disturbed = project.create(folder, params)
    environment = {"KAGGLE_API_ENVIRONMENT": "TEST", "HOME": str(folder)}
    kills = 0
    with KaggleServer(_archive(), port=PORT) as server:
        server.transfers = [_slowly] * 1000
        calm = disturbed.run_stage("fetch_photos", environment=environment)
        assert calm.code == 0, calm.output[-2000:]
        disturbed.remove_outputs("fetch_photos")
        while kills < KILLS:
            failures = [broken_after(generator.randrange(1 << 20)), status(503), _slowly]
            server.transfers = [generator.choice(failures), *[_slowly] * 1000]
            moment = generator.uniform(0.3, 1) * calm.seconds
            ended = disturbed.run_stage("fetch_photos", kill_after=moment, environment=environment)
            kills += ended.code == -9
            assert ended.code in (0, -9), ended.output[-2000:]
            _require_whole(disturbed.folder, server, must_be_there=ended.code == 0)
            if ended.code == 0:
                disturbed.remove_outputs("fetch_photos")
        server.transfers = []
        ended = disturbed.run_stage("fetch_photos", environment=environment)
        assert ended.code == 0, ended.output[-2000:]
        _require_whole(disturbed.folder, server, must_be_there=True)
        resumed = sum(bool(span) for span in server.ranges())
    done = "over a slow connection that breaks, with the real `kaggle` client"
    happened = f"the same bytes in the end; {resumed} times it resumed where it had stopped"
    return [Row("`kill -9` of a download", done, kills, happened)]


def _archive() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for label in ("panda", "cat"):
            archive.writestr(f"animals/{label}/1.jpg", random.Random(label).randbytes(1 << 20))
    return packed.getvalue()


def _slowly(handler: Handler) -> None:
    """Send what was requested in pieces, over some two seconds."""
    send = handler.wfile.write

    def in_pieces(content: bytes) -> int:
        for start in range(0, len(content), PIECE_BYTES):
            send(content[start : start + PIECE_BYTES])
            time.sleep(0.06)
        return len(content)

    handler.wfile.write = in_pieces  # type: ignore[assignment, method-assign]
    try:
        handler.send_archive()
    finally:
        handler.wfile.write = send  # type: ignore[assignment, method-assign]


def _require_whole(folder: Path, server: KaggleServer, *, must_be_there: bool) -> None:
    archive = folder / "data/raw/photos.zip"
    assert archive.exists() or not must_be_there
    if archive.exists():
        assert archive.read_bytes() == server.archive
