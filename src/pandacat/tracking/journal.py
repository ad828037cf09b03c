"""Journals of runs: what a stage logs is on disk at once, so that no result needs a server.

While a stage works, another process (`pandacat.tracking.delivery`) loads MLflow, which takes
seconds. At the end of the stage it sends the journal and removes it. If MLflow fails, hangs,
crashes or prints, it does so there, and the journal waits for `pandacat tracking sync`.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from shutil import copy2, copytree
from typing import Any, Literal

from filelock import FileLock

from pandacat.core.console import print_status
from pandacat.core.errors import sentence_of
from pandacat.core.paths import EXCLUSIONS, PARAMS, PIPELINE, project_root

JOURNALS = Path(".pandacat/tracking")
"""Below the project's root: one folder for each run that MLflow does not have yet."""

UNFINISHED = Path(".pandacat/unfinished")
"""A file that is there while stages have run since the last one that logged a pipeline's results.

DVC skips that one where the others wrote what they had written before; then `make repro` runs it.
"""

COMMITTED = "committed_params.yaml"
"""In a journal, the parameters of Git's last commit: those that a run may have changed."""

SEND_SECONDS = 30
"""How long a stage waits at most for MLflow after its work is done."""

INPUTS = (PARAMS, PIPELINE, EXCLUSIONS, Path("src"), Path("stages"))
"""What decides results, data from outside the project aside."""


@dataclass(frozen=True)
class Record:
    """One line of a journal. A run is the sum of its lines; the first one names the stage."""

    time_ms: int
    stage: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    step: int = 0
    status: Literal["", "FINISHED", "FAILED", "KILLED"] = ""
    pipeline: dict[str, str] = field(default_factory=dict)
    """Tags of the run above it, of which `pipeline` says which one this is; in the first line."""
    results: dict[str, float] = field(default_factory=dict)
    """Metrics of the run above it."""
    loader: str = ""
    """The module that loads the model of the run above it."""


class TrackedRun:
    """A run of a stage. If its journal can't be written, that is a `fault` and raises nothing."""

    def __init__(self, journal: Path) -> None:
        self.journal = journal
        self.fault = ""

    def log_metrics(self, metrics: Mapping[str, Any], *, step: int = 0) -> None:
        """Log numbers; nested maps become dotted names. `step` is the epoch where there is one."""
        self.append(metrics={name: float(n) for name, n in flat(metrics).items()}, step=step)

    def log_artifact(self, path: Path) -> None:
        """Log a file as it is now, under its path relative to the current folder."""
        self._copy(path, "artifacts")

    def log_results(
        self, metrics: Mapping[str, float], *, artifacts: Sequence[Path], model: Path, loader: str
    ) -> None:
        """Log what the whole pipeline came to; its run, above those of the stages, ends with it.

        `model` is the folder of a model, and `loader` the module by which MLflow loads it.

        Raises:
            FileNotFoundError: there is no such artifact or model.
        """
        for path in (*artifacts, model):
            path.stat()
        for path in artifacts:
            self._copy(path, "results")
        with self.noting_faults():
            copytree(model, self.journal / "models" / model.name)
            (project_root() / UNFINISHED).unlink(missing_ok=True)
        self.append(results=dict(metrics), loader=loader)

    def _copy(self, path: Path, folder: str) -> None:
        name = Path(os.path.relpath(path))
        copy = self.journal / folder / (path.name if ".." in name.parts else name)
        with self.noting_faults():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy2(path, copy)

    def append(self, **fields: Any) -> None:
        """Write a `Record` of these fields and the time."""
        record = asdict(Record(time.time_ns() // 1_000_000, **fields))
        line = json.dumps({name: value for name, value in record.items() if value}, default=str)
        with self.noting_faults(), (self.journal / "journal.jsonl").open("a") as stream:
            stream.write(line + "\n")

    @contextmanager
    def noting_faults(self) -> Iterator[None]:
        """Let the block fail to write; the first reason is the run's fault."""
        try:
            yield
        except OSError as error:
            self.fault = self.fault or sentence_of(error)


@contextmanager
def tracked_stage(stage: str, params: Any) -> Iterator[TrackedRun]:
    """Yield a run that records what the block logs; send it to MLflow at the end of the block.

    `params` is a dataclass or a map of dataclasses, `{"preprocess": params.preprocess}`, logged
    under dotted names. A block that raises is logged as failed. Whatever happens to MLflow or the
    journal costs one warning on stderr and never the stage. With `PANDACAT_TRACKING=later` in the
    environment the run is left for `pandacat tracking sync`.
    """
    name = f"{time.time_ns() // 1_000_000}-{uuid.uuid4().hex[:12]}"
    run = TrackedRun(project_root() / JOURNALS / name)
    lock = FileLock(run.journal / "lock")
    delivery = None
    with run.noting_faults():
        run.journal.mkdir(parents=True)
        lock.acquire()
        (project_root() / UNFINISHED).touch()
        for path in filter(Path.exists, (PARAMS, PIPELINE)):
            copy2(path, run.journal)
        if committed := git("show", f"HEAD:./{PARAMS}"):
            (run.journal / COMMITTED).write_text(committed, encoding="utf-8")
        if os.environ.get("PANDACAT_TRACKING") != "later":
            delivery = start_delivery([run.journal])
    origin = _origin()
    run.append(
        stage=stage,
        params=flat(params),
        tags={"stage": stage, **origin},
        pipeline={"pipeline": _pipeline_key(), "mlflow.runName": _pipeline_name(), **origin},
    )
    began = time.perf_counter()
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        run.append(metrics={"seconds": time.perf_counter() - began}, status=status)
        lock.release()
        reason = send(delivery, SEND_SECONDS) if delivery else ""
        if run.fault:
            _warn(f"the record of this run is incomplete, the stage goes on: {run.fault}")
        elif delivery and run.journal.exists():
            _warn(
                f"this run is not in {without_credentials(tracking_uri())} yet ({reason}); it "
                f"waits in {JOURNALS}, and `pandacat tracking sync` sends it."
            )


def start_delivery(journals: Sequence[Path]) -> subprocess.Popen[bytes]:
    """Start the process that loads MLflow and waits for `send`, or for the end of this one."""
    path = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]
    return subprocess.Popen(
        [sys.executable, "-P", "-X", "utf8", "-m", "pandacat.tracking.delivery", *journals],
        cwd=project_root(),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def send(delivery: subprocess.Popen[bytes], seconds: float | None = None) -> str:
    """Have the journals sent; return the last line that the process printed: why one was not."""
    with delivery:
        try:
            _, output = delivery.communicate(b"send", seconds)
        except subprocess.TimeoutExpired:
            return f"no answer within {seconds:g} seconds"
        finally:
            delivery.kill()
    last_line = output.decode(errors="replace").strip().rpartition("\n")[2]
    return without_credentials(last_line)[:200] or "the delivery process ended early"


def tracking_uri() -> str:
    """Return MLflow's address: a database in the project unless the environment names another.

    A path in it counts from the project, as no URI of SQLite can hold each name of a folder.
    """
    return os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"


def without_credentials(text: str) -> str:
    """Return the text without the user names and passwords of its URIs."""
    return re.sub(r"//[^/@]*@", "//", text)


def _origin() -> dict[str, str]:
    names = ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV")
    tags = {name: os.environ.get(name, "") for name in names}
    tags["mlflow.source.git.commit"] = git("rev-parse", "HEAD")
    return {name: value for name, value in tags.items() if value}


def _pipeline_key() -> str:
    """Return a digest of the experiment's name and of all that decides results.

    An interrupted and resumed `dvc repro` keeps it; any changed parameter or code makes another.
    """
    files = (path for top in INPUTS for path in (top, *top.rglob("*.py")))
    digest = hashlib.sha256(os.environ.get("DVC_EXP_NAME", "").encode())
    for path in sorted(files):
        with suppress(OSError):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _pipeline_name() -> str:
    """Return the experiment's name, else branch and commit, as in `main 4c1f8f5, changed`."""
    if name := os.environ.get("DVC_EXP_NAME"):
        return name
    commit = f"{git('branch', '--show-current')} {git('rev-parse', '--short=7', 'HEAD')}".strip()
    changed = git("status", "--porcelain", "--", *map(str, INPUTS))
    return (commit or "no commit") + ", changed" * bool(changed)


def git(*arguments: str) -> str:
    """Return what Git prints, or nothing where it fails."""
    command = ["git", "--no-optional-locks", *arguments]
    with suppress(OSError, subprocess.CalledProcessError):
        output = subprocess.check_output(command, stderr=subprocess.DEVNULL)
        return output.decode(errors="replace").strip()
    return ""


def flat(content: Any, name: str = "") -> dict[str, Any]:
    """Return the leaves of nested maps and dataclasses under dotted names."""
    if is_dataclass(content) and not isinstance(content, type):
        content = asdict(content)
    if not isinstance(content, Mapping):
        return {name: content}
    leaves: dict[str, Any] = {}
    for key, value in content.items():
        leaves |= flat(value, f"{name}.{key}" if name else str(key))
    return leaves


def _warn(text: str) -> None:
    print_status(f"Warning: MLflow: {text}")
