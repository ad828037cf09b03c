"""The whole pipeline: time by stage, how much of it is the stages' own work, and a second run.

Everything is run by DVC in a fresh clone of the project, as a user runs it. Work is what a stage
does between its imports and the delivery to MLflow, by the seconds that MLflow has recorded; the
rest is DVC, Python and MLflow.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measuring
from ruamel.yaml import YAML


def clone(folder: Path, archive: Path | None) -> dict[str, str]:
    """Clone the project, and return the environment to run it in."""
    subprocess.run(["git", "clone", "--quiet", ".", folder], check=True)
    if archive:
        yaml = YAML()
        params = yaml.load(folder / "params.yaml")
        params["photos"] |= {"source": "archive", "archive": str(archive)}
        yaml.dump(params, folder / "params.yaml")
    programs = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
    }
    environment.pop("MLFLOW_TRACKING_URI", None)
    return environment


def run(folder: Path, environment: dict[str, str], *options: str) -> dict[str, float]:
    """Run `dvc repro`; return the seconds of each stage, DVC's own included, in order."""
    began = time.perf_counter()
    seconds: dict[str, float] = {}
    current, since = "dvc, start", began
    with subprocess.Popen(
        ["dvc", "repro", *options], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("Running stage '"):
                now = time.perf_counter()
                seconds[current], since = now - since, now
                current = line.split("'")[1]
                print(f"  {now - began:6.1f} s  {current}", flush=True)
    if process.returncode:
        raise SystemExit("dvc repro failed, see above.")
    seconds[current] = time.perf_counter() - since
    return seconds


def recorded_work(folder: Path) -> float:
    """Return the seconds that the stages themselves took, summed, from MLflow."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    runs = mlflow.search_runs(search_all_experiments=True, filter_string="tags.stage != ''")
    return float(runs["metrics.seconds"].sum())


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=Path, help="a zip of photos; default: the drawn sample")
    parser.add_argument(
        "--idle-repeats", type=int, default=3, help="of `dvc repro` with nothing to do"
    )
    options = parser.parse_args()
    archive = options.archive and options.archive.resolve()
    measuring.project()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "project"
        environment = clone(folder, archive)
        seconds = run(folder, environment, "--force")
        work = recorded_work(folder)
        idle = measuring.in_turn({"idle": lambda: run(folder, environment)}, options.idle_repeats)[
            "idle"
        ]
    whole = sum(seconds.values())
    comparison = measuring.Comparison(
        "Pipeline, stage by stage",
        "s",
        {"all stages": [whole], **{stage: [value] for stage, value in seconds.items()}},
        {"share of the stages' own work": work / whole},
        {"dvc repro with nothing to do, seconds": measuring.median(idle)},
    )
    measuring.report("pipeline", comparison)


if __name__ == "__main__":
    measuring.run(main)
