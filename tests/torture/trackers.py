"""An MLflow server that is down, slow, dying, or asked by many at once."""

import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandacat
from pandacat.tracking.delivery import MLFLOW_SETTINGS, create_database, open_store
from pandacat.tracking.journal import JOURNALS
from torture.report import Row

NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
FATES = ("pass", "refuse", "cut", "slow", "silent")


class FlakyProxy:
    """Stands before a server on loopback and lets each connection meet a fate of its own."""

    def __init__(self, port: int, seed: int) -> None:
        self._behind = port
        self._generator = random.Random(seed)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.calm = False
        self.met: dict[str, int] = dict.fromkeys(FATES, 0)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                fate = "pass" if self.calm else self._generator.choice(FATES)
                self.met[fate] += 1
                after_bytes = self._generator.choice((0, 1, 200, 2000))
                threading.Thread(
                    target=self._serve, args=(client, fate, after_bytes), daemon=True
                ).start()

    def _serve(self, client: socket.socket, fate: str, after_bytes: int) -> None:
        with client, suppress(OSError):
            if fate == "refuse":
                return
            if fate == "silent":
                time.sleep(20)
                return
            with socket.create_connection(("127.0.0.1", self._behind)) as server:
                self._carry(client, server, fate, after_bytes)

    def _carry(
        self, client: socket.socket, server: socket.socket, fate: str, after_bytes: int
    ) -> None:
        """Carry bytes both ways; cut the connection after so many bytes of the answers."""
        answered = 0
        while True:
            readable, _, _ = select.select([client, server], [], [], 30)
            for end, other in ((client, server), (server, client)):
                if end not in readable:
                    continue
                data = end.recv(65536)
                if not data:
                    return
                if end is server and fate == "cut":
                    data = data[: max(0, after_bytes - answered)]
                    answered += len(data)
                    other.sendall(data)
                    if answered >= after_bytes:
                        return
                    continue
                if fate == "slow":
                    time.sleep(0.3)
                other.sendall(data)


@contextmanager
def server(folder: Path, port: int) -> Iterator[Callable[[], None]]:
    """Run MLflow's own server on loopback; yield what kills it, as it is killed at the end."""
    store = folder / "server.db"
    create_database(store)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"),
            *("--port", str(port), "--workers", "1", "--backend-store-uri", f"sqlite:///{store}"),
            *("--artifacts-destination", str(folder / "artifacts")),
        ],
        env={**os.environ, **MLFLOW_SETTINGS, **NO_JOBS},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def kill() -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.1)
        yield kill
    finally:
        kill()


def free_port() -> int:
    """Return a port on loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


STAGE = """
import sys
from pathlib import Path
from pandacat.tracking.journal import tracked_stage
with tracked_stage("train", {"epochs": 3, "number": int(sys.argv[1])}) as run:
    for epoch in (1, 2, 3):
        run.log_metrics({"loss": 1 / epoch}, step=epoch)
    Path(f"out-{sys.argv[1]}.csv").write_text("epoch,loss\\n" * 3)
    run.log_artifact(Path(f"out-{sys.argv[1]}.csv"))
"""
"""Stands for a stage: it writes one output."""

FLAKY_RUNS = 20
AT_ONCE = 8


def flaky_server(folder: Path) -> list[Row]:
    """Run stages before a server that fails in any way; then sync, and find each run once."""
    folder.mkdir(parents=True)
    port = free_port()
    with server(folder, port):
        proxy = FlakyProxy(port, seed=1)
        uri = f"http://127.0.0.1:{proxy.port}"
        warned = 0
        for number in range(FLAKY_RUNS):
            ended = _stage(folder, uri, number)
            assert ended.returncode == 0, ended.stderr
            assert (folder / f"out-{number}.csv").read_text().count("\n") == 3
            assert "Traceback" not in ended.stderr, ended.stderr
            assert ended.stderr.count("\n") <= 1, ended.stderr
            assert not ended.stderr or "`pandacat tracking sync` sends it" in ended.stderr
            warned += bool(ended.stderr)
        waiting = len(list((folder / JOURNALS).glob("*")))
        assert waiting == warned, (waiting, warned)
        proxy.calm = True
        _sync(folder, uri)
        proxy.close()
        _require_each_once(f"http://127.0.0.1:{port}", FLAKY_RUNS)
    met = ", ".join(f"{count} {fate}" for fate, count in proxy.met.items())
    done = f"a proxy before a real server gives each connection another fate ({met})"
    happened = f"outputs whole; {warned} warnings; after `pandacat tracking sync` each run once"
    return [Row("MLflow's server down, slow, silent, cut off", done, FLAKY_RUNS, happened)]


def many_at_once(folder: Path) -> list[Row]:
    """Start processes at once on a store that is not there yet, again and again."""
    rounds = 3
    for attempt in range(rounds):
        place = folder / str(attempt)
        place.mkdir(parents=True)
        environment = _environment("")
        started = [
            subprocess.Popen([sys.executable, "-c", STAGE, str(n)], cwd=place, env=environment)
            for n in range(AT_ONCE)
        ]
        assert [process.wait() for process in started] == [0] * AT_ONCE
        _sync(place, "")
        _require_each_once(f"sqlite:///{place / 'mlflow.db'}", AT_ONCE)
    done = f"{AT_ONCE} processes at once on a fresh store"
    return [Row("first use of MLflow by many", done, rounds, "each run is there, once")]


def _environment(uri: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PANDACAT_TRACKING"}
    settings = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "2"} | ({"MLFLOW_TRACKING_URI": uri} if uri else {})
    ceiling = {"GIT_CEILING_DIRECTORIES": "/"}
    return {**kept, **settings, **ceiling, "PYTHONPATH": str(Path(pandacat.__file__).parents[1])}


def _stage(folder: Path, uri: str, number: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", STAGE, str(number)]
    return subprocess.run(
        command, cwd=folder, env=_environment(uri), capture_output=True, text=True, check=False
    )


def _sync(folder: Path, uri: str) -> None:
    code = "import sys; from pandacat.app.cli import main; sys.exit(main(['tracking', 'sync']))"
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=folder, env=_environment(uri), check=True, capture_output=True)


def _require_each_once(uri: str, count: int) -> None:
    client, experiment = open_store(uri)
    runs = client.search_runs([experiment], "tags.stage != ''", max_results=1000)
    numbers = sorted(int(run.data.params["number"]) for run in runs)
    assert numbers == list(range(count)), numbers
    for run in runs:
        assert run.info.status == "FINISHED"
        losses = client.get_metric_history(run.info.run_id, "loss")
        assert [loss.step for loss in losses] == [1, 2, 3]
        (artifact,) = client.list_artifacts(run.info.run_id)
        assert artifact.path == f"out-{run.data.params['number']}.csv"
