"""Delivery of journals to MLflow: `python -P -m pandacat.tracking.delivery JOURNAL...`, and `sync`.

Every step can be repeated without effect: a run has the name of its journal as a tag, by which it
is looked up, and MLflow stores one of several equal metrics, params and tags. So a run that was
cut off half-way is completed later, and none appears twice. The journal is the only retry.
"""

import gc
import os
import re
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import time_ns
from typing import Any

from filelock import FileLock, Timeout
from pydantic import Json, OnErrorOmit, TypeAdapter

from pandacat.core.errors import PandacatError
from pandacat.core.files import atomic_write, remove
from pandacat.core.libraries import SILENT_MLFLOW, prepare_mlflow
from pandacat.core.paths import PARAMS, PIPELINE, project_root
from pandacat.tracking import pipeline
from pandacat.tracking.journal import (
    COMMITTED,
    JOURNALS,
    Record,
    send,
    start_delivery,
    tracking_uri,
    without_credentials,
)

MLFLOW_SETTINGS = SILENT_MLFLOW | {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}
"""Unless the environment says otherwise."""

_parse = partial(
    TypeAdapter(list[OnErrorOmit[Json[Record]]]).validate_python, strict=True, extra="forbid"
)
"""Return the records of lines, without those that are none."""


def sync() -> int:
    """Send the runs that MLflow does not have yet; return how many were sent.

    Runs that are still going are left alone; one whose process died is sent as killed.

    Raises:
        PandacatError: some could not be sent, for the reason given. They stay on disk.
    """
    journals = finished_journals()
    reason = send(start_delivery(journals)) if journals else ""
    if left := sum(journal.exists() for journal in journals):
        raise PandacatError(
            f"{left} of {len(journals)} runs could not be sent to "
            f"{without_credentials(tracking_uri())} ({reason}). They wait in {JOURNALS}: "
            "run `pandacat tracking sync` again when this is fixed."
        )
    return len(journals)


def finished_journals() -> list[Path]:
    """Return the journals that no living process writes to, oldest first."""
    finished = []
    for path in _journals():
        with suppress(Timeout), FileLock(path / "lock", timeout=0):
            finished.append(path)
    return finished


def _journals() -> list[Path]:
    folder = project_root() / JOURNALS
    paths = sorted(folder.iterdir()) if folder.exists() else []
    own = re.compile(r"\d+-[0-9a-f]{12}")  # all else is not ours
    return [path for path in paths if path.is_dir() and own.fullmatch(path.name)]


def running_pipelines() -> set[str]:
    """Return the pipelines, as they tag their runs, of which a stage runs now."""
    finished = finished_journals()
    return {
        records[0].pipeline["pipeline"]
        for journal in _journals()
        if journal not in finished and (records := read_journal(journal)[0]) and records[0].pipeline
    }


def main() -> None:
    """Load MLflow, wait for a word on stdin, and send the journals that the arguments name.

    What is sent is removed; the last line on stderr says why something was not.
    """
    gc.disable()  # all that MLflow loads stays until the end, which is near
    prepare_environment()
    uri = tracking_uri()
    store = None
    reason = ""
    with suppress(Exception):  # whatever takes long and needs no server
        import mlflow  # noqa: F401

        for name in (PARAMS, COMMITTED, PIPELINE):
            pipeline.read_yaml(Path(sys.argv[-1]) / name)  # which remembers it
        if _sqlite_file(uri):
            store = open_store(uri)
    for journal in sys.argv[1:] if sys.stdin.read() else []:
        try:
            store = store or open_store(uri)
            deliver(*store, Path(journal))
        except Exception as error:
            reason = reason or _cause(error)
            if not store:
                break
    print(f"\n{reason}", file=sys.stderr, flush=True)
    os._exit(0)  # tearing MLflow down would take longer than sending


def prepare_environment() -> None:
    """Set what MLflow needs in the environment where a server may be away."""
    prepare_mlflow(MLFLOW_SETTINGS)


def _cause(error: BaseException) -> str:
    """Return the text of the error at the root of this one, on one line."""
    while (
        cause := error.__cause__ if error.__suppress_context__ else error.__context__
    ) and not isinstance(cause, KeyError):
        error = cause
    return " ".join(str(error).split()) or type(error).__name__


def open_store(uri: str) -> tuple[Any, str]:
    """Return MLflow's client and the id of the project's experiment; create what is missing."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    artifacts = None
    if database := _sqlite_file(uri):
        artifacts = _artifacts(database)
        create_database(database)
    client = MlflowClient(tracking_uri=uri)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "pandacat")
    experiment = client.get_experiment_by_name(name)
    if experiment and experiment.lifecycle_stage == "deleted":
        _free_name(client, experiment)
        experiment = None
    if experiment is None:
        try:
            return client, client.create_experiment(name, artifact_location=artifacts)
        except MlflowException:  # another process may just have created it
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    return client, experiment.experiment_id


def _free_name(client: Any, experiment: Any) -> None:
    """Rename an experiment that was deleted in MLflow, and so hides: nothing can be sent to it."""
    client.restore_experiment(experiment.experiment_id)
    client.rename_experiment(experiment.experiment_id, f"{experiment.name}, deleted {time_ns()}")
    client.delete_experiment(experiment.experiment_id)


def _sqlite_file(uri: str) -> Path | None:
    """Return the SQLite file that the URI names, if it is a plain path to one."""
    found = re.fullmatch(r"sqlite:///([^?]+)", uri)
    return Path(found[1]) if found else None


def _artifacts(database: Path) -> str:
    """Return the URI of the folder of files beside the database."""
    folder = database.absolute().with_name("mlruns")
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"MLflow would not find {str(folder)!a} again: give the folder of the project a "
            "name in UTF-8, or set MLFLOW_TRACKING_URI"
        ) from None
    return folder.as_uri()


def create_database(database: Path) -> None:
    """Create MLflow's tables, all or nothing, while other processes wait.

    MLflow alone runs its migrations in place: two processes at once fail, and a kill may leave a
    database that never opens again. A file that counts only once it has its name need not sync
    each of them to the disk, either: 1 second instead of 6.
    """
    import mlflow
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import Engine, event

    def unsynced(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    if database.is_dir():
        raise IsADirectoryError(f"{database} is a folder")  # MLflow would retry for minutes
    if "%" in mlflow.__file__:
        raise ValueError(
            f"MLflow can't be used from {mlflow.__file__}, for the %: rename that folder, and "
            "remove .venv, which make installs again"
        )
    with FileLock(f"{database}.lock"):
        if database.exists():
            return
        event.listen(Engine, "connect", unsynced)
        try:
            with atomic_write(database) as part:
                SqlAlchemyStore(f"sqlite:///{part.as_posix()}", _artifacts(database))
        finally:
            event.remove(Engine, "connect", unsynced)


def deliver(client: Any, experiment: str, journal: Path) -> None:
    """Send the run of a journal to MLflow, or complete it there, and remove the journal.

    Raises:
        ValueError: the journal is too damaged to make a run of.
    """
    with FileLock(journal / "lock", timeout=5):
        records, damaged = read_journal(journal)
        if not records:  # killed before the first line, or just sent by another process
            remove(journal)
            return
        start, end = records[0], records[-1]
        tags = {"damaged_lines": str(damaged)} if damaged else {}
        for record in records:
            tags |= record.tags
        if start.pipeline:
            with pipeline.lock():
                above = pipeline.run_of_pipeline(client, experiment, start)
            tags["mlflow.parentRunId"] = above
        same = client.search_runs([experiment], f"tags.journal = '{journal.name}'", max_results=1)
        run = next(iter(same), None) or client.create_run(
            experiment, start.time_ms, tags={"journal": journal.name}, run_name=start.stage
        )
        metrics = [(record, record.metrics) for record in records]
        pipeline.log(client, run.info.run_id, params=start.params, metrics=metrics, tags=tags)
        if (journal / "artifacts").exists():
            client.log_artifacts(run.info.run_id, str(journal / "artifacts"))
        client.set_terminated(run.info.run_id, end.status or "KILLED", end.time_ms)
        if start.pipeline:
            with pipeline.lock():
                pipeline.complete(client, experiment, above, journal, records)
        remove(journal)


def read_journal(journal: Path) -> tuple[list[Record], int]:
    """Return the records of a journal, and how many lines are damaged.

    A last line that a kill cut off is left out and not counted.

    Raises:
        ValueError: the journal is too damaged to make a run of.
    """
    file = journal / "journal.jsonl"
    text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    *lines, rest = text.split("\n")
    complete = _parse(lines)
    records = [*complete, *_parse([rest])]
    damaged = len(lines) - len(complete)
    if (records or damaged) and not (records and records[0].stage):
        raise ValueError(
            f"{JOURNALS / journal.name} is damaged; remove this folder to do without its run"
        )
    return records, damaged


if __name__ == "__main__":
    main()
