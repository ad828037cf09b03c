"""Runs in MLflow, by way of a journal on disk, so that no result waits for a server or needs one.

A stage writes to its journal. Meanwhile another process loads MLflow, which takes seconds, and
waits; when the stage ends, it sends the journal and removes it. What it can't send stays in the
journal until `sync`. MLflow may hang, crash or print: it does so over there.

Every step of sending can be repeated without effect: a run carries the name of its journal as a
tag and is found by it, and MLflow keeps one of several equal metrics, params and tags. So a run
that was cut off half-way is completed later, and none appears twice.
"""

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from shutil import copy2
from typing import Any

from filelock import FileLock, Timeout

from pandacat.core.errors import PandacatError, sentence_of
from pandacat.core.files import atomic_write, remove

JOURNALS = Path(".pandacat/tracking")
"""Below the project's root: one folder for each run that MLflow does not have yet."""

SEND_SECONDS = 30
"""A stage waits at most so long for MLflow after its work is done."""

MLFLOW_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}
"""Unless the environment says otherwise. The journal is the retry."""

_JOURNAL = re.compile(r"\d+-[0-9a-f]{12}")
"""The name of a journal's folder."""

_FIELDS: dict[str, dict[str, type]] = {
    "start": {"stage": str, "params": dict},
    "tags": {"values": dict},
    "metrics": {"values": dict, "step": int},
    "end": {"status": str},
}
"""What each kind of line in a journal has, besides its time."""

_HELD: dict[str, type | tuple[type, ...]] = {"start": str, "tags": str, "metrics": (int, float)}
"""What the map in a line of each kind holds."""

_PER_BATCH = {"metrics": 1000, "params": 100}
_MAX_KEY_LENGTH = 250
_MAX_VALUE_LENGTH = {"params": 6000, "tags": 5000}


class TrackedRun:
    """What one stage tells MLflow, written to the journal at once."""

    def __init__(self, journal: Path) -> None:
        self.journal = journal
        self.fault = ""

    def log_metrics(self, metrics: Mapping[str, Any], *, step: int = 0) -> None:
        """Log numbers; nested maps become dotted names. `step` is the epoch where there is one."""
        values = {name: float(value) for name, value in _flat(metrics).items()}
        self._write("metrics", step=step, values=values)

    def log_artifact(self, path: Path) -> None:
        """Log a file as it is now, under its path relative to the current folder."""
        name = Path(os.path.relpath(path))
        if ".." in name.parts:
            name = Path(path.name)
        copy = self.journal / "artifacts" / name
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy2(path, copy)
        except OSError as error:
            self.fault = self.fault or sentence_of(error)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, over earlier ones of the same name."""
        self._write("tags", values=dict(tags))

    def _write(self, kind: str, **content: Any) -> None:
        line = json.dumps({"kind": kind, "time_ms": time.time_ns() // 1_000_000, **content})
        try:
            with (self.journal / "journal.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")
        except OSError as error:
            self.fault = self.fault or sentence_of(error)


@contextmanager
def tracked_stage(stage: str, params: Any) -> Iterator[TrackedRun]:
    """Track what a stage does: yield its `Run`, and send it to MLflow at the end of the block.

    `params` is a dataclass or a map of dataclasses, `{"preprocess": params.preprocess}`, logged
    under dotted names. A block that raises is logged as failed. Whatever happens to MLflow or the
    journal costs one warning on stderr and never the stage. With `PANDACAT_TRACKING=later` in the
    environment the run is left for `sync`.
    """
    root = project_root()
    journal = root / JOURNALS / f"{time.time_ns() // 1_000_000}-{uuid.uuid4().hex[:12]}"
    tracked = TrackedRun(journal)
    lock = FileLock(journal / "lock")
    later = os.environ.get("PANDACAT_TRACKING") == "later"
    try:
        journal.mkdir(parents=True)
        lock.acquire()
        sender = None if later else _start_sender(root)
    except OSError as error:
        _warn(f"this run is not recorded, the stage goes on: {sentence_of(error)}")
        yield tracked
        return
    tracked._write("start", stage=stage, params=_texts(params))
    tracked.set_tags(_origin(stage))
    began = time.perf_counter()
    status = "FAILED"
    try:
        yield tracked
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        tracked.log_metrics({"seconds": time.perf_counter() - began})
        tracked._write("end", status=status)
        lock.release()
        if tracked.fault:
            _warn(f"this run's record is not complete: {tracked.fault}")
        if sender:
            reason = _send(sender, [journal.name], SEND_SECONDS).get(journal.name)
            if reason and not tracked.fault:
                _warn(
                    f"this run is not in {_shown(_tracking_uri(root))} yet ({reason}); it is kept "
                    f"in {JOURNALS}, and `pandacat tracking sync` sends it."
                )


def sync() -> int:
    """Send the runs that MLflow does not have yet; return how many were sent.

    Runs that are still going are left alone; one whose process died is sent as killed.

    Raises:
        PandacatError: some could not be sent; the text names the reason. They are kept.
    """
    root = project_root()
    waiting = [journal.name for journal in _finished(root)]
    if not waiting:
        return 0
    failed = _send(_start_sender(root), waiting, seconds=None)
    if failed:
        reason = next(iter(failed.values()))
        raise PandacatError(
            f"{len(failed)} of {len(waiting)} runs could not be sent to "
            f"{_shown(_tracking_uri(root))} ({reason}). They are kept in {JOURNALS}: "
            "run `pandacat tracking sync` again when this is mended."
        )
    return len(waiting)


def project_root() -> Path:
    """Return the project's top folder; for an experiment in a copy of it, the original's."""
    if root := os.environ.get("DVC_ROOT"):
        return Path(root)
    return Path(_git("rev-parse", "--show-toplevel") or Path.cwd())


def _origin(stage: str) -> dict[str, str]:
    tags = {"stage": stage}
    if commit := _git("rev-parse", "HEAD"):
        tags["mlflow.source.git.commit"] = commit
    for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        if value := os.environ.get(name):
            tags[name] = value
    return tags


def _git(*arguments: str) -> str:
    with suppress(OSError):
        answer = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return answer.stdout.strip()
    return ""


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    if is_dataclass(content) and not isinstance(content, type):
        content = asdict(content)
    if not isinstance(content, Mapping):
        return {prefix: content}
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _texts(params: Any) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else json.dumps(value, default=str)
        for name, value in _flat(params).items()
    }


def _tracking_uri(root: Path) -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(root / 'mlflow.db').as_posix()}"


def _shown(uri: str) -> str:
    """Return the text without a user name and password."""
    return re.sub(r"//[^/@]*@", "//", uri)


def _warn(text: str) -> None:
    print(f"Warning: MLflow: {text}", file=sys.stderr)


def _finished(root: Path) -> list[Path]:
    """Return the journals that no living process writes to, oldest first."""
    finished = []
    try:
        found = sorted((root / JOURNALS).iterdir())
    except FileNotFoundError:
        return []
    for journal in found:
        if not (journal.is_dir() and _JOURNAL.fullmatch(journal.name)):
            continue  # it is somebody else's, and what is sent is removed
        with suppress(Timeout), FileLock(journal / "lock", timeout=0):
            finished.append(journal)
    return finished


def _start_sender(root: Path) -> subprocess.Popen[str]:
    """Start the process that sends; it ends by itself when its input closes."""
    package = Path(__file__).parents[2]
    path = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "pandacat.tracking.journal"],
        cwd=root,
        env={**MLFLOW_SETTINGS, **os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )


def _send(
    sender: subprocess.Popen[str], journals: Sequence[str], seconds: float | None
) -> dict[str, str]:
    """Return, for each journal that was not sent, the reason."""
    try:
        output, errors = sender.communicate("\n".join(journals), timeout=seconds)
        reason = errors.strip().rpartition("\n")[2] or "the sending process ended early"
    except subprocess.TimeoutExpired:
        reason = f"no answer within {seconds:g} seconds"
        output = ""
    finally:
        sender.kill()
        sender.communicate()
    answers: dict[str, str] = {}
    for line in output.splitlines():
        with suppress(ValueError):
            answers |= dict([json.loads(line)])
    return {name: why for name in journals if (why := answers.get(name, reason))}


def _sender() -> None:
    """Read the names of journals until the input closes; print `[name, reason]` for each."""
    answers, sys.stdout = sys.stdout, sys.stderr
    root = Path.cwd()
    uri = _tracking_uri(root)
    with suppress(Exception):  # what takes long and needs no server: import, tables
        import mlflow  # noqa: F401

        if _database(uri):
            _open_store(uri)
    unreachable = ""
    for name in sys.stdin.read().split():
        reason = unreachable
        if not reason:
            try:
                client, experiment = _open_store(uri)
            except Exception as error:
                reason = unreachable = _reason(error)
        if not reason:
            try:
                _deliver(client, experiment, root / JOURNALS / name)
            except Exception as error:
                reason = _reason(error)
        print(json.dumps([name, reason]), file=answers, flush=True)
    os._exit(0)  # all is sent and said; tearing MLflow down would take longer than sending


def _reason(error: BaseException) -> str:
    """Return the text of the error that began it, on one line."""
    while (cause := error.__cause__ or error.__context__) and not isinstance(cause, KeyError):
        error = cause
    text = " ".join(_shown(str(error)).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"


def _open_store(uri: str) -> tuple[Any, str]:
    """Return MLflow's client and the id of this project's experiment, made where it is missing."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    artifacts = None
    if database := _database(uri):
        _create_database(database)
        artifacts = database.with_name("mlruns").as_uri()
    client = MlflowClient(tracking_uri=uri)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "pandacat")
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client, client.create_experiment(name, artifact_location=artifacts)
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    return client, experiment.experiment_id


def _database(uri: str) -> Path | None:
    """Return the SQLite file that the address means, if it is a plain path to one."""
    if uri.startswith("sqlite:///") and "?" not in uri:
        return Path(uri.removeprefix("sqlite:///")).absolute()
    return None


def _create_database(database: Path) -> None:
    """Create MLflow's tables, all or nothing, while other processes wait.

    SQLite need not force each of MLflow's many migrations to the disk, since the file counts only
    once it has its name: 1 second instead of 6.
    """
    from mlflow import MlflowClient
    from sqlalchemy import Engine, event

    def unsynced(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    if database.is_dir():
        raise IsADirectoryError(f"{database} is a folder")  # which SQLite would try for minutes
    if database.exists():
        return
    with FileLock(f"{database}.lock"):
        if database.exists():
            return
        event.listen(Engine, "connect", unsynced)
        try:
            with atomic_write(database) as aside:
                MlflowClient(tracking_uri=f"sqlite:///{aside.as_posix()}").search_experiments()
        finally:
            event.remove(Engine, "connect", unsynced)


def _deliver(client: Any, experiment: str, journal: Path) -> None:
    """Bring one journal's run to MLflow, or complete it there, and remove the journal."""
    from mlflow.entities import Metric, Param

    with FileLock(journal / "lock", timeout=5):
        records, damaged = _read(journal)
        if not records:
            remove(journal)
            return
        start, last = records[0], records[-1]
        tags = {"journal": journal.name}
        if damaged:
            tags["damaged_lines"] = str(damaged)
        metrics = []
        for record in records:
            if record["kind"] == "tags":
                tags |= record["values"]
            if record["kind"] == "metrics":
                metrics += [
                    Metric(_key(name), value, record["time_ms"], record["step"])
                    for name, value in record["values"].items()
                ]
        params = [
            Param(_key(name), value[: _MAX_VALUE_LENGTH["params"]])
            for name, value in start["params"].items()
        ]
        found = client.search_runs([experiment], f"tags.journal = '{journal.name}'", max_results=1)
        run = next(iter(found), None) or client.create_run(
            experiment,
            start_time=start["time_ms"],
            tags={_key(name): text[: _MAX_VALUE_LENGTH["tags"]] for name, text in tags.items()},
            run_name=start["stage"],
        )
        run_id = run.info.run_id
        for first in range(0, len(params), _PER_BATCH["params"]):
            client.log_batch(run_id, params=params[first : first + _PER_BATCH["params"]])
        for first in range(0, len(metrics), _PER_BATCH["metrics"]):
            client.log_batch(run_id, metrics=metrics[first : first + _PER_BATCH["metrics"]])
        if (journal / "artifacts").exists():
            client.log_artifacts(run_id, str(journal / "artifacts"))
        client.set_terminated(run_id, last.get("status", "KILLED"), last["time_ms"])
        remove(journal)


def _read(journal: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the journal's records, and how many lines are damaged.

    A last line that a kill cut off is left out, and does not count.

    Raises:
        ValueError: the journal is so damaged that no run can be made of it.
    """
    try:
        text = (journal / "journal.jsonl").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return [], 0
    *lines, rest = text.split("\n")
    found = [_record(line) for line in lines]
    records = [record for record in (*found, _record(rest)) if record]
    damaged = found.count(None)
    if records[0]["kind"] != "start" if records else damaged:
        raise ValueError(
            f"{JOURNALS / journal.name} is damaged; remove this folder to do without its run"
        )
    return records, damaged


def _record(line: str) -> dict[str, Any] | None:
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        record: dict[str, Any] = json.loads(line)
        kind = record.get("kind", "")
        fields = {"time_ms": int, **_FIELDS.get(kind, {"": str})}
        whole = all(isinstance(record.get(name), type_) for name, type_ in fields.items())
        held = [*record.get("values", {}).values(), *record.get("params", {}).values()]
        if whole and all(isinstance(value, _HELD.get(kind, object)) for value in held):
            return record
    return None


def _key(name: str) -> str:
    return re.sub(r"[^\w\-. :/]", "_", name)[:_MAX_KEY_LENGTH]


if __name__ == "__main__":
    _sender()
