"""MLflow's pages, from the project's experiment on."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import chdir, suppress
from itertools import chain
from pathlib import Path

from pandacat.core.errors import PandacatError, sentence_of
from pandacat.core.paths import project_root
from pandacat.core.ports import free_port, listens
from pandacat.tracking.delivery import (
    open_store,
    prepare_environment,
    running_pipelines,
    sync,
)
from pandacat.tracking.journal import tracking_uri, without_credentials
from pandacat.tracking.pipeline import VIEW, end_stopped

NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Several processes less, which serve features that the project does not use."""


LOCKS = ("rwlock", "exps/*/.dvc/tmp/rwlock")
"""Files in `.dvc/tmp` in which DVC notes what runs a stage; the second is that of its queue."""


def dvc_runs() -> bool:
    """Return whether DVC runs a stage, which may not have begun to track itself."""
    for path in chain.from_iterable(map(Path(".dvc/tmp").glob, LOCKS)):
        with suppress(OSError, ValueError):
            holders = json.loads(path.read_text(encoding="utf-8"))
            readers = chain.from_iterable(holders.get("read", {}).values())
            if any(is_alive(int(holder["pid"])) for holder in readers):
                return True
    return False


def is_alive(pid: int) -> bool:
    """Return whether there is a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def serve(port: int) -> int:
    """Serve the pages on `port` until Ctrl-C; print the experiment's address; return an exit code.

    Runs that wait are sent before, and pipelines that were stopped are marked as killed. Of a
    server that `MLFLOW_TRACKING_URI` names, only print the address.

    Raises:
        PandacatError: the port is none, or taken.
    """
    if not 1 <= port <= 65535:
        raise PandacatError(f"--port {port} is no port: name one from 1 to 65535.")
    os.environ.update(NO_JOBS | dict(os.environ))
    prepare_environment()
    uri = tracking_uri()
    if not uri.startswith("http") and listens(port):
        raise PandacatError(
            f"Something listens on port {port} already, maybe another `make ui`: open "
            f"http://127.0.0.1:{port}, or name a free one, as in `make ui PORT={free_port(port)}`."
        )
    with chdir(project_root()):
        return _serve(uri, port)


def _serve(uri: str, port: int) -> int:
    try:
        sync()
    except PandacatError as error:
        print(sentence_of(error), file=sys.stderr)
    client, experiment = open_store(uri)
    page = f"#/experiments/{experiment}/runs?workflowType=machine_learning"
    if VIEW in client.get_experiment(experiment).tags:
        page += f"&viewStateShareKey={VIEW.rpartition('.')[2]}"
    if uri.startswith("http"):
        print(f"The runs are at {without_credentials(uri).rstrip('/')}/{page}")
        return 0
    if not dvc_runs():
        end_stopped(client, experiment, running_pipelines())
    options = ["--backend-store-uri", uri, "--port", str(port), "--workers", "1"]
    command = [sys.executable, "-X", "utf8", "-m", "mlflow", "ui", *options]
    for end in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(end) == signal.SIG_DFL:  # which would leave the server alive
            signal.signal(end, signal.default_int_handler)
    with subprocess.Popen(command, start_new_session=True) as server:  # which Ctrl-C does not reach
        try:
            while server.poll() is None and not listens(port):
                time.sleep(0.2)
            if server.poll() is None:
                print(f"\nOpen http://127.0.0.1:{port}/{page}\n", flush=True)
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
