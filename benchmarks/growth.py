"""Growth: whether time is proportional to the number of photos, and memory independent of it.

Small drawn photos, all different, go through preprocess, the search for near-duplicates, feature
extraction and predict. Each is measured in a process of its own: seconds of its work without
start-up, and its peak memory, child processes included.
"""

import argparse
import io
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import measuring
import numpy as np
from PIL import Image

from pandacat.core.files import atomic_write, write_json

RESULTS = measuring.FOLDER / "growth.json"
PLOT = measuring.FOLDER / "growth.png"
SIDE_PX = 96
MIB = 1 << 20


def draw_photos(folder: Path, count: int) -> None:
    """Write `count` JPEGs of random soft colors to `folder/photos` and to `folder/photos.zip`."""
    rng = np.random.default_rng(count)
    with zipfile.ZipFile(folder / "photos.zip", "w") as zipped:
        for number in range(count):
            coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
            stream = io.BytesIO()
            coarse.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC).save(stream, "JPEG")
            name = f"{('panda', 'cat', 'other')[number % 3]}/{number:06d}.jpg"
            target = folder / "photos" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(stream.getvalue())
            zipped.writestr(name, stream.getvalue())


def preprocess(folder: Path) -> Callable[[], object]:
    """Return the work of the stage."""
    from preprocess import ours

    return lambda: ours(folder / "photos.zip", folder / "preprocessed")


def duplicates(folder: Path) -> Callable[[], object]:
    """Return the search for near-duplicates among all fingerprints."""
    import pyarrow.parquet as pq

    from pandacat.data import store
    from pandacat.data.duplicates import group_near_duplicates

    columns = ["fingerprint", "mirrored_fingerprint"]
    index = pq.read_table(folder / "preprocessed" / store.INDEX, columns=columns)
    plain, mirrored = (index[column].to_pandas() for column in columns)
    return lambda: group_near_duplicates(plain, mirrored, 8)


def frozen_pass(folder: Path) -> Callable[[], object]:
    """Return the work of extracting the features of one crop of each photo."""
    from pandacat.config.loading import default_config
    from pandacat.core import paths
    from pandacat.models.embed import extract_features
    from pandacat.models.loading import load_classifier

    classifier = load_classifier("pretrained", models=paths.MODELS)
    target = folder / "features"
    target.mkdir()
    copies = replace(default_config().predict_pretrained.augmented_copies, count=0)
    photos = folder / "preprocessed"
    return lambda: extract_features(
        photos, target, classifier, crops="center", copies=copies, seed=0
    )


def predict(folder: Path) -> Callable[[], object]:
    """Return the command that writes a table of predictions."""
    from pandacat.app import cli

    words = ["predict", str(folder / "photos"), "--model", "pretrained"]
    return lambda: cli.main([*words, "--output", str(folder / "predictions.csv")])


WORK = {each.__name__: each for each in (preprocess, duplicates, frozen_pass, predict)}


def peak_mib() -> float:
    """Return the peak memory of this process, or of one it started."""
    own, children = (
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return max(own, children) * (1 if sys.platform == "darwin" else 1024) / MIB


def measure(work: str, folder: Path) -> dict[str, float]:
    """Return seconds and peak memory of one kind of work, in a new process."""
    command = [sys.executable, __file__, "--measure", work, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--photos", type=int, nargs="+", default=[1_000, 10_000, 100_000], metavar="COUNT"
    )
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    measuring.project()
    if options.measure:
        work, folder = options.measure
        run = WORK[work](Path(folder))
        began = time.perf_counter()
        run()
        seconds = time.perf_counter() - began
        print(json.dumps({"seconds": seconds, "peak_mib": peak_mib()}))
        return

    measured: dict[str, dict[int, dict[str, float]]] = {name: {} for name in WORK}
    for count in options.photos:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            draw_photos(folder, count)
            for name in WORK:
                measured[name][count] = measure(name, folder)
                print(f"{name}, {count:,}: {measured[name][count]}", flush=True)
            shutil.rmtree(folder / "photos")
    write_json(RESULTS, {"machine": measuring.machine(), "photos": measured})
    print(table(measured))
    draw(measured)


def table(measured: dict[str, dict[int, dict[str, float]]]) -> str:
    """Return a line for each kind of work and number of photos, as Markdown."""
    lines = [
        "| work | photos | seconds | photos/s | peak MiB | of the smallest run |",
        "|---" * 6 + "|",
    ]
    for name, runs in measured.items():
        first = next(iter(runs.values()))["peak_mib"]
        for count, run in runs.items():
            seconds, peak = run["seconds"], run["peak_mib"]
            lines.append(
                f"| {name} | {count:,} | {seconds:.2f} | {count / seconds:,.0f} | {peak:.0f} | "
                f"{peak / first:.2f} |"
            )
    return "\n".join(lines)


def draw(measured: dict[str, dict[int, dict[str, float]]]) -> None:
    """Write the plot: time and memory against the number of photos."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (times, memory) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name, runs in measured.items():
        counts = list(runs)
        times.plot(counts, [run["seconds"] for run in runs.values()], "o-", label=name)
        memory.plot(counts, [run["peak_mib"] for run in runs.values()], "o-", label=name)
    times.set(xscale="log", yscale="log", xlabel="photos", ylabel="seconds", title="Time")
    memory.set(xscale="log", ylim=(0, None), xlabel="photos", ylabel="MiB", title="Peak memory")
    times.legend(frameon=False)
    for axis in (times, memory):
        axis.spines[["top", "right"]].set_visible(False)
    with atomic_write(PLOT) as aside:
        figure.savefig(aside, dpi=110, format="png")
    pyplot.close(figure)


if __name__ == "__main__":
    measuring.run(main)
