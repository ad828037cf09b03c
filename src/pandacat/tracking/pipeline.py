"""The run of a whole pipeline in MLflow, below which the runs of its stages are nested."""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pandacat.core.paths import DEFAULT_PARAMS, PARAMS, PIPELINE, project_root
from pandacat.tracking.journal import COMMITTED, Record, flat

PIPELINES = "tags.pipeline != ''"
"""Finds the runs of all pipelines."""

COMPARED = 50
"""How many pipelines, the latest, get all parameters in which one of them differs."""

VIEW = "mlflow.sharedViewState.pandacat"
"""A tag of the experiment by which MLflow's page shows these parameters and the main metrics."""

OUTCOMES = {"FINISHED": "ran", "FAILED": "failed", "KILLED": "was killed"}


def lock() -> FileLock:
    """Return what keeps two deliveries from making or describing one pipeline at once."""
    return FileLock(project_root() / ".pandacat/pipelines.lock", timeout=20)


def run_of_pipeline(client: Any, experiment: str, stage: Record) -> str:
    """Return the id of the run below which a stage's belongs; create it where there is none.

    A pipeline that has results is over: what begins later with the same code and parameters, as
    with `dvc repro --force`, is another. Of those with one name, all but the first are numbered.
    """
    same = f"tags.pipeline = '{stage.pipeline['pipeline']}'"
    for run in client.search_runs([experiment], same, order_by=["attributes.start_time"]):
        if not run.data.metrics or stage.time_ms <= (run.info.end_time or 0):
            return str(run.info.run_id)
    taken = {run.info.run_name for run in client.search_runs([experiment], PIPELINES)}
    own = stage.pipeline["mlflow.runName"]
    numbered = chain([own], (f"{own} ({number})" for number in count(2)))
    tags = stage.pipeline | {"mlflow.runName": next(name for name in numbered if name not in taken)}
    return str(client.create_run(experiment, stage.time_ms, tags=tags).info.run_id)


def end_stopped(client: Any, experiment: str, living: Collection[str]) -> None:
    """Mark as killed the pipelines without results of which no stage runs.

    One that goes on, because it was between two stages, is running again when the next one ends.

    Args:
        client: MLflow's.
        experiment: the id of the project's.
        living: the pipelines, by their tag, of which a stage runs.
    """
    for run in client.search_runs([experiment], f"{PIPELINES} and attributes.status = 'RUNNING'"):
        if run.data.tags["pipeline"] not in living:
            client.set_terminated(run.info.run_id, "KILLED")


def complete(
    client: Any, experiment: str, run_id: str, journal: Path, records: Sequence[Record]
) -> None:
    """Bring the run of a pipeline up to date after the stage of `journal` was sent.

    The metrics come last, because a pipeline that has some is over.
    """
    result = next((record for record in records if record.results), None)
    if (journal / PARAMS).exists():
        client.log_artifact(run_id, str(journal / PARAMS))
    if (journal / "results").exists():
        client.log_artifacts(run_id, str(journal / "results"))
    params = log_changed_params(client, experiment, journal)
    if result:
        log_model(client, run_id, journal / "models", result.loader)
        columns = [f"params.`{name}`" for name in params]
        columns += [f"metrics.`{name}`" for name in [*result.results][:2]]
        client.set_experiment_tag(experiment, VIEW, json.dumps({"selectedColumns": columns}))

    nested = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'")
    stages = {run.data.tags["stage"]: run for run in sorted(nested, key=_start)}
    declared = list(read_yaml(journal / PIPELINE).get("stages", {}))
    is_over = bool(result or client.get_run(run_id).data.metrics)
    note = describe(declared, stages, is_over=is_over)
    client.set_tag(run_id, "mlflow.note.content", note)
    statuses = {run.info.status for run in stages.values()}
    so_far = "FINISHED" if is_over else "RUNNING"
    status = next((bad for bad in ("FAILED", "KILLED") if bad in statuses), so_far)
    if status == "RUNNING":
        client.update_run(run_id, status)
    else:
        client.set_terminated(run_id, status, max(run.info.end_time or 0 for run in nested))
    if result:
        log(client, run_id, metrics=[(result, result.results)])


def _start(run: Any) -> int:
    return int(run.info.start_time)


def describe(declared: Sequence[str], runs: Mapping[str, Any], *, is_over: bool) -> str:
    """Return in Markdown of each stage whether it ran, and for how many seconds."""
    absent = "from the cache" if is_over else "from the cache, or not reached"
    stages = list(dict.fromkeys([*declared, *runs]))
    others = f"; the others: {absent}" if len(runs) < len(stages) else ""
    lines = [f"{len(runs)} of {len(stages)} stages ran{others}.", ""]
    lines += ["| stage | | seconds |", "|---|---|---:|"]
    for stage in stages:
        run = runs.get(stage)
        outcome = OUTCOMES.get(run.info.status, "") if run else absent
        seconds = f"{run.data.metrics.get('seconds', 0):.1f}" if run else ""
        lines.append(f"| {stage} | {outcome} | {seconds} |")
    return "\n".join(lines)


def log_changed_params(client: Any, experiment: str, journal: Path) -> list[str]:
    """Log to all pipelines the parameters in which they differ; return their names.

    Those are the ones that the pipeline of `journal` changed since Git's last commit (without Git:
    from the defaults), or in which it differs from the oldest pipeline; and all that were found so
    before. Each pipeline gets the values that it had, so that no comparison has gaps.
    """
    runs = client.search_runs([experiment], PIPELINES, max_results=COMPARED)
    names = {name for run in runs for name in run.data.params}
    if own := params_of(journal / PARAMS):
        committed = params_of(journal / COMMITTED) or params_of(DEFAULT_PARAMS)
        for other in (committed, logged_params(client, runs[-1]) or own):
            names |= {name for name in {*own, *other} if own.get(name) != other.get(name)}
    for run in runs:
        if missing := names - {*run.data.params}:
            params = logged_params(client, run)
            log(client, run.info.run_id, params={n: params.get(n) for n in missing if params})
    return sorted(names)


def logged_params(client: Any, run: Any) -> dict[str, Any]:
    """Return all parameters of a pipeline, or nothing where its `params.yaml` is missing."""
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException, OSError), TemporaryDirectory() as folder:
        return params_of(Path(client.download_artifacts(run.info.run_id, str(PARAMS), folder)))
    return {}


def params_of(path: Path) -> dict[str, Any]:
    """Return the content of a `params.yaml` under dotted names; nothing where it can't be read."""
    return {_key(name): value for name, value in flat(read_yaml(path)).items() if name}


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file; nothing where it can't be read."""
    with suppress(OSError, ValueError, YAMLError):
        content = _parse(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    return {}


@lru_cache
def _parse(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def log_model(client: Any, run_id: str, models: Path, loader: str) -> None:
    """Log the models in a folder, each as one that `mlflow.pyfunc` loads by the module `loader`."""
    from mlflow import pyfunc
    from mlflow.models import Model

    with TemporaryDirectory() as folder:
        for model in models.glob("*"):
            pyfunc.save_model(
                Path(folder) / model.name,
                loader_module=loader,
                data_path=str(model),
                mlflow_model=Model(artifact_path=model.name, run_id=run_id),
                pip_requirements=["mlflow"],
            )
        client.log_artifacts(run_id, folder)


def log(
    client: Any,
    run_id: str,
    *,
    params: Mapping[str, Any] | None = None,
    metrics: Iterable[tuple[Record, Mapping[str, float]]] = (),
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log values to a run, metrics with the time and the step of their records."""
    from mlflow.entities import Metric, Param, RunTag

    client.log_batch(
        run_id,
        params=[
            Param(_key(name), value if isinstance(value, str) else json.dumps(value))
            for name, value in (params or {}).items()
        ],
        tags=[RunTag(_key(name), value) for name, value in (tags or {}).items()],
        metrics=[
            Metric(_key(name), value, record.time_ms, record.step)
            for record, values in metrics
            for name, value in values.items()
        ],
    )


def _key(name: str) -> str:
    """Return the name as MLflow allows it."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]
