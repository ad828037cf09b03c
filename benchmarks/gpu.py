"""A GPU: the seconds of each stage, the rates, and whether two runs give the same bytes.

Runs the stages one after the other in two copies of the project, without DVC and MLflow, and then
measures the frozen backbone, `predict` and MNIST. Nothing of the project itself changes; the
results are printed as they come, and written to benchmarks/gpu.json.
"""

import argparse
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import Any

import measuring
import numpy as np
import pandas as pd
import torch
from ruamel.yaml import YAML

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import write_json
from pandacat.core.parallel import core_count, ordered_map
from pandacat.data import store
from pandacat.data.crops import cut_crops
from pandacat.data.images import decode_jpeg
from pandacat.metrics.paired import mcnemar
from pandacat.models import pretrained
from pandacat.models.classifier import Classifier
from pandacat.models.saved import SavedModel, load_model
from pandacat.models.torch_engine import batched_backbone
from pandacat.training.device import make_deterministic
from pandacat.training.mnist_dataset import mnist_dataset
from pandacat.training.scratch import scratch_accuracy, train_scratch

COPIED = (
    *("dvc.yaml", "params.yaml", "stages", "src", "examples", "data/exclusions.csv", "LICENSE"),
)
MNIST_GOAL = 0.994
BEST_BATCH = 512
RESULTS = measuring.FOLDER / "gpu.json"

SMALL: dict[str, dict[str, Any]] = {
    "photos.sample": {"photos_per_class": 24},
    "train_scratch.mnist": {"channels": [8], "depths": [1], "epochs": 1},
    "train_scratch.photos": {"epochs": 2},
    "fine_tune": {"steps": 4},
    "robustness": {"photos": 1},
}
"""Parameters of `--small`, with which all of this takes a few minutes on two CPU cores."""


def main() -> None:
    """Measure and report; what is known is written after each part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="few photos and epochs: a trial run")
    parser.add_argument("--photos", type=int, default=5000, help="for `predict` (default: 5000)")
    options = parser.parse_args()
    project = measuring.project()
    results: dict[str, Any] = {"small": options.small}

    def measure(part: str, work: Callable[[], Any]) -> None:
        print(f"{part}:", flush=True)
        results[part] = work()
        write_json(RESULTS, results)

    with tempfile.TemporaryDirectory() as temporary:
        first, second = (Path(temporary) / name for name in ("first", "second"))
        for copy in (first, second):
            copy_project(project, copy, small=options.small)
        measure("machine", machine)
        measure("stages", lambda: run_stages(first))
        with chdir(first):
            if paths.MNIST.exists():
                measure("mnist", mnist)
            measure("frozen pass", frozen_pass)
            measure("predict", lambda: predict_rate(Path(temporary) / "photos", options.photos))
            measure("same model on the CPU", compared_with_cpu)
        measure("trained and predicted on a CPU", lambda: compared_with_committed(project, first))
        measure("second run", lambda: run_stages(second, like=first))


def machine() -> dict[str, Any]:
    """Return what this machine is."""
    about = measuring.machine()
    print("  " + ", ".join(f"{key} {value}" for key, value in about.items()), flush=True)
    return about


def copy_project(project: Path, copy: Path, *, small: bool) -> None:
    """Copy what the stages need, and the digits where they are there."""
    for name in COPIED:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        source = project / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
    if has_digits(project):
        shutil.copytree(project / paths.MNIST, copy / paths.MNIST)
    if small:
        yaml = YAML()
        params = yaml.load(copy / "params.yaml")
        for section, values in SMALL.items():
            target = params
            for key in section.split("."):
                target = target[key]
            target |= values
        yaml.dump(params, copy / "params.yaml")


def run_stages(copy: Path, like: Path | None = None) -> dict[str, Any]:
    """Run the stages in the order of dvc.yaml; return the seconds of each, start-up included.

    With `like`, another copy in which they ran, also which of their files differ from those there.
    """
    seconds: dict[str, float] = {}
    differing: list[str] = []
    for name, outputs in stages_of(copy).items():
        if name == "fetch_mnist" or (name == "train_scratch_mnist" and not has_digits(copy)):
            continue
        command = [sys.executable, "-P", "-m", "pandacat.core.stage", f"stages/{name}.py"]
        began = time.perf_counter()
        result = subprocess.run(
            command, cwd=copy, env=environment(), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        seconds[name] = time.perf_counter() - began
        note = "" if result.returncode == 0 else f"  failed:\n{result.stdout[-4000:]}"
        if like:
            unequal = [file for file in outputs if hashes(copy / file) != hashes(like / file)]
            differing += unequal
            note += "  differs: " + ", ".join(unequal) if unequal else "  the same bytes"
        print(f"  {seconds[name]:6.1f} s  {name}{note}", flush=True)
    print(f"  {sum(seconds.values()):6.1f} s  together", flush=True)
    return {"seconds": seconds, "differing outputs": differing if like else None}


def has_digits(copy: Path) -> bool:
    """Return whether MNIST is there, which `sh stages/run fetch_mnist` downloads."""
    return (copy / paths.MNIST).exists()


def environment() -> dict[str, str]:
    """Return the variables for a program in a copy of the project, which imports its `src`.

    Threads of libraries are as `stages/run` has them.
    """
    path = os.pathsep.join(["src", *sys.path[1:]])
    threads = {"GOMP_SPINCOUNT": "2000", "OPENBLAS_NUM_THREADS": "1"}
    return {**os.environ, **threads, "PYTHONPATH": path, "PANDACAT_TRACKING": "later"}


def hashes(output: Path) -> dict[str, str]:
    """Return the hash of each file at and below a path."""
    files = [output] if output.is_file() else sorted(output.rglob("*"))
    return {
        str(file.relative_to(output)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file()
    }


def stages_of(copy: Path) -> dict[str, list[str]]:
    """Return the outputs of each stage of dvc.yaml, in its order."""
    stages = YAML(typ="safe", pure=True).load(copy / "dvc.yaml")["stages"]
    return {
        name: [
            out if isinstance(out, str) else next(iter(out))
            for kind in ("outs", "metrics", "plots")
            for out in stage.get(kind, [])
        ]
        for name, stage in stages.items()
    }


def frozen_pass() -> dict[str, float]:
    """Return images a second: of the stages, of decoding alone, of the device alone."""
    subprocess.run(
        [sys.executable, measuring.FOLDER / "decoding.py"], env=environment(), check=True
    )
    model = load_model(paths.MODELS / "pretrained")
    classifier, input_px = Classifier(model, "torch"), model.description.input_px
    jpegs = [jpeg for _, jpeg in store.iter_jpegs(paths.PHOTOS)]
    jpegs = list(itertools.islice(itertools.cycle(jpegs), 4096 if on_gpu() else len(jpegs)))

    def cut(jpeg: bytes) -> np.ndarray:
        return cut_crops(decode_jpeg(jpeg), input_px, "center")

    def passed(function: Callable[[bytes], np.ndarray], workers: int) -> float:
        results = partial(ordered_map, function, jpegs, workers=workers)
        return rate(lambda: all(map(len, results())), len(jpegs))

    rates = {
        "decoded": passed(cut, core_count()),
        "decoded and extracted": passed(
            lambda jpeg: classifier.features(cut(jpeg)), classifier.workers
        ),
        **device_rates(model),
    }
    for name, value in rates.items():
        print(f"  {value:9,.0f} images/s  {name}", flush=True)
    return rates


def device_rates(model: SavedModel) -> dict[str, float]:
    """Return images a second that the device reaches by itself, eagerly and as a graph."""
    make_deterministic()
    device, batch = ("cuda", BEST_BATCH) if on_gpu() else ("cpu", 32)
    backbone = pretrained.restore(model.description.backbone, model.tensors).backbone.to(device)
    side = model.description.input_px
    images = torch.randint(0, 256, (batch, side, side, 3), dtype=torch.uint8, device=device)
    formats = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
    rates = {}
    for name, memory_format in formats.items():
        network = backbone.to(memory_format=memory_format)
        with torch.inference_mode():
            rates[f"device alone, {name}, batches of {batch}"] = rate(
                partial(network, images), batch, repeats=10
            )
    return rates


def rate(work: Callable[[], object], images: int, *, repeats: int = 3) -> float:
    """Return images a second: the median, after a warm-up."""
    seconds = []
    for _ in range(1 + repeats):
        began = time.perf_counter()
        work()
        if on_gpu():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return images / measuring.median(seconds[1:])


def on_gpu() -> bool:
    """Return whether PyTorch finds a GPU."""
    return torch.cuda.is_available()


def compared_with_cpu() -> dict[str, Any]:
    """Return how the same model's predictions of the test photos differ on the CPU."""
    model = load_model(paths.MODELS / "fine-tuned")
    classifier = Classifier(model, "torch")
    backbone = pretrained.restore(model.description.backbone, model.tensors).backbone
    on_cpu = batched_backbone(backbone, model.description.input_px, "float32", "cpu")
    index = store.read_index(paths.PHOTOS)
    names = index.name[index.split == "test"]

    def both(item: tuple[str, bytes]) -> tuple[np.ndarray, np.ndarray]:
        images = classifier.cut(decode_jpeg(item[1]))
        return classifier.features(images), on_cpu(images)

    pairs = list(ordered_map(both, store.iter_jpegs(paths.PHOTOS, names)))
    features = [np.stack(each) for each in zip(*pairs, strict=True)]
    probabilities = [classifier.probabilities(each) for each in features]
    labels = [each.argmax(axis=1) for each in probabilities]
    result = {
        "photos": len(names),
        "precision": model.description.precision,
        "largest difference of features": float(np.abs(features[0] - features[1]).max()),
        "largest difference of probabilities": float(
            np.abs(probabilities[0] - probabilities[1]).max()
        ),
        "changed labels": int((labels[0] != labels[1]).sum()),
    }
    print(f"  {result}", flush=True)
    return result


def predict_rate(folder: Path, count: int) -> dict[str, float]:
    """Return how long `pandacat predict` takes for so many photos, start-up included."""
    folder.mkdir()
    with zipfile.ZipFile(paths.ARCHIVE) as archive:
        photos = itertools.cycle([archive.read(name) for name in archive.namelist()])
        for number in range(count):
            (folder / f"{number}.jpg").write_bytes(next(photos))
    command: list[str | Path] = [sys.executable, "-P", "-m", "pandacat", "predict", folder]
    command += ["--model", paths.MODELS / "fine-tuned", "-o", folder.parent / "predictions.csv"]
    began = time.perf_counter()
    subprocess.run(command, env=environment(), check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    print(f"  {count} photos in {seconds:.1f} s, {count / seconds:,.0f}/s", flush=True)
    return {"photos": count, "seconds": seconds}


def mnist() -> dict[str, float | None]:
    """Return the seconds of training, and after how many the goal was reached in validation."""
    params = load_config().train_scratch.mnist
    dataset = mnist_dataset(paths.MNIST)
    reached: list[float] = []
    began = time.perf_counter()

    def on_epoch(epoch: Any) -> None:
        if epoch.metrics["validation_accuracy"] >= MNIST_GOAL:
            reached.append(time.perf_counter() - began)

    network, _ = train_scratch(dataset, params, on_epoch=on_epoch)
    seconds = time.perf_counter() - began
    assert dataset.test
    accuracy = scratch_accuracy(network, dataset.test)["accuracy"]
    first = next(iter(reached), None)
    print(f"  {accuracy:.4f} on the test digits after {seconds:.1f} s of training; "
          f"validation reached {MNIST_GOAL} after {first} s", flush=True)  # fmt: skip
    return {"seconds": seconds, "test_accuracy": accuracy, "seconds_to_goal": first}


def compared_with_committed(project: Path, copy: Path) -> dict[str, Any]:
    """Return how this run's predictions of test photos differ from those that Git holds.

    Those come from a CPU. For each network: how many labels changed, how many photos are right only
    here or only there, and the p-value of McNemar's test.
    """
    tables = [folder / paths.TEST_PREDICTIONS for folder in (project, copy)]
    if not all(table.exists() for table in tables):
        return {}
    there, here = (pd.read_csv(table) for table in tables)
    if not there[["path", "network"]].equals(here[["path", "network"]]):
        print("  metrics/test_predictions.csv is of other photos: not compared", flush=True)
        return {}
    result = {}
    for network, rows in there.groupby("network", sort=False).groups.items():
        one, other = there.loc[rows], here.loc[rows]
        right, right_here = (predicted(each) == each.label for each in (one, other))
        test = mcnemar(right.to_numpy(), right_here.to_numpy())
        result[str(network)] = {
            "photos": len(rows),
            "changed labels": int((predicted(one) != predicted(other)).sum()),
            "right only on the CPU": test.only_first,
            "right only here": test.only_second,
            "p": test.p_value,
        }
        print(f"  {network}: {result[str(network)]}", flush=True)
    return result


def predicted(table: pd.DataFrame) -> pd.Series:
    """Return the most probable label of each row."""
    columns = [column for column in table.columns if column.startswith("p_")]
    labels = [column.removeprefix("p_") for column in columns]
    return table[columns].set_axis(labels, axis=1).idxmax(axis=1)


if __name__ == "__main__":
    measuring.run(main)
