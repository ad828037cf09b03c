"""Fine-tuning: ours against the plain PyTorch recipe and fastai, from the archive to a saved model.

All get the same photos, split, labels and ImageNet weights, and a new process. Ours is the stages
fetch_photos, preprocess, predict_pretrained and fine_tune, with an empty cache: converting the
network for the fast engine counts. The others get the archive unpacked into folders, which counts
as well. Accuracies are measured afterwards, on the original files.
"""

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measuring
import numpy as np
import pandas as pd
import preprocess
from ruamel.yaml import YAML

from pandacat.config.loading import load_config
from pandacat.core.tables import read_table
from pandacat.data import store
from pandacat.data.sources.archive import index_archive
from pandacat.evaluation.predictions import labels_and_probabilities
from pandacat.metrics.accuracy import auroc
from pandacat.models.loading import load_classifier

STAGES = ("fetch_photos", "preprocess", "predict_pretrained", "fine_tune")
ONE_CROP = {"crops": "center", "augmented_copies": {"count": 1}}
"""What the recipes use of a photo: its middle, and one augmented copy to train on."""
GOAL = 0.995
"""Accuracy on in-distribution validation photos, among in-distribution labels."""

Probabilities = Mapping[str, np.ndarray]
"""By data set: `(N, K + 1)` probabilities in the order of the labels."""


@dataclass(frozen=True)
class Run:
    """One way, once."""

    seconds: float
    """To the saved model."""
    seconds_to_goal: float | None
    probabilities: Probabilities


def ours(
    archive: Path, folder: Path, datasets: Mapping[str, Path], changed: Mapping[str, Any]
) -> Run:
    """Run the stages in a copy of the project, as DVC runs them.

    `changed` overrides what `params.yaml` says of `predict_pretrained`.
    """
    began = time.time()
    for part in ("requirements.txt", "stages", "src", "data/exclusions.csv"):
        copy = shutil.copytree if Path(part).is_dir() else shutil.copyfile
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        copy(part, folder / part)
    yaml = YAML()
    params = yaml.load(Path("params.yaml"))
    params["photos"] |= {"source": "archive", "archive": str(archive)}
    for name, value in changed.items():
        before = params["predict_pretrained"][name]
        params["predict_pretrained"][name] = before | value if isinstance(value, dict) else value
    yaml.dump(params, folder / "params.yaml")
    pipeline = yaml.load(Path("dvc.yaml"))["stages"]
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PANDACAT_TRACKING": "later",
    }
    reached = None
    for stage in STAGES:
        command = pipeline[stage]["cmd"]
        subprocess.run(command, shell=True, cwd=folder, env=environment, check=True)
        print(f"  {stage}: {time.time() - began:.1f} s", flush=True)
        if stage == "predict_pretrained":
            table = read_table(folder / "data/predictions/pretrained.csv")
            if (
                closed_set_accuracy(*labels_and_probabilities(table.query("split == 'validation'")))
                >= GOAL
            ):
                reached = time.time() - began
    seconds = time.time() - began
    classifier = load_classifier("fine-tuned", models=folder / "models")
    probabilities = {}
    for dataset, photos in datasets.items():
        files = [(file.name, file.read_bytes) for file in photos_in(photos)]
        rows = [prediction.probabilities or {} for prediction in classifier.predict_many(files)]
        probabilities[dataset] = pd.DataFrame(rows)[list(classifier.labels)].to_numpy()
    labels = labels_in(datasets["validation"], classifier.labels)
    if reached is None and closed_set_accuracy(labels, probabilities["validation"]) >= GOAL:
        reached = seconds
    return Run(seconds, reached, probabilities)


def recipe(
    name: str,
    epochs: int,
    archive: Path,
    index: pd.DataFrame,
    folder: Path,
    field_test: Path | None,
) -> Run:
    """Unpack the archive by split and label, and run one of `recipes.py`."""
    began = time.time()
    unpack(archive, index, folder / "photos")
    unpacking = time.time() - began
    if field_test:
        shutil.copytree(field_test, folder / "photos/field_test")
    began = time.time() - unpacking
    result = folder / "result.npz"
    command = [sys.executable, "benchmarks/recipes.py", name, folder / "photos", result]
    options = ["--epochs", str(epochs), "--began", str(began)]
    subprocess.run([*map(str, command), *options], check=True)
    content = np.load(result)
    about = json.loads(str(content["about"]))
    labels = load_config().label_names
    columns = [sorted(labels).index(label) for label in labels]
    reached = [seconds for seconds, accuracy in about["history"] if accuracy >= GOAL]
    probabilities = {key: content[key][:, columns] for key in content if key != "about"}
    return Run(about["seconds"], min(reached, default=None), probabilities)


def unpack(archive: Path, index: pd.DataFrame, folder: Path) -> None:
    """Write each photo to `split/label/`."""
    with zipfile.ZipFile(archive) as zipped:
        photos = zip(index.name, index.split, index.label, strict=True)
        for place, (name, split, label) in enumerate(photos):
            target = folder / split / label / f"{place:05d}{Path(name).suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(zipped.read(name))


def photos_in(folder: Path) -> list[Path]:
    """Return the files in the folders of the labels, in the order of torchvision."""
    return [file for label in sorted(folder.iterdir()) for file in sorted(label.iterdir())]


def labels_in(folder: Path, labels: Sequence[str]) -> np.ndarray:
    """Return the label of each of `photos_in`, as an index into `labels`."""
    return np.array([labels.index(file.parent.name) for file in photos_in(folder)])


def closed_set_accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the accuracy on in-distribution photos, among in-distribution labels."""
    other = probabilities.shape[1] - 1
    asked = labels < other
    return float(np.mean(probabilities[asked, :other].argmax(axis=1) == labels[asked]))


def metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Return both accuracies, and the AUROC of other against in-distribution photos."""
    return {
        "closed-set accuracy": closed_set_accuracy(labels, probabilities),
        "accuracy": float(np.mean(probabilities.argmax(axis=1) == labels)),
        "AUROC of other": auroc(probabilities[:, -1], labels == probabilities.shape[1] - 1).value,
    }


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=Path, default=measuring.ARCHIVE, help="a zip of photos")
    parser.add_argument("--field-test", type=Path, help="a zip of photos of another source")
    parser.add_argument("--repeats", type=measuring.repeats, default=1, help="of each way")
    parser.add_argument("--epochs", type=int, default=3, help="of the plain recipe")
    options = parser.parse_args()
    archive = measuring.require(options.archive, "run `dvc repro fetch_photos`, or say --archive.")
    archive, field_test = archive.resolve(), options.field_test
    if field_test:
        field_test = measuring.require(field_test, "check --field-test.").resolve()
    measuring.project()

    runs: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        photos = prepare(archive, field_test, work)
        for repeat in range(options.repeats):
            for way, run in ways(archive, photos, options.epochs).items():
                folder = work / "run"
                folder.mkdir()
                print(f"{way}, run {repeat + 1}", flush=True)
                runs.setdefault(way, []).append(run(folder))
                print(f"  {runs[way][-1].seconds:.1f} s", flush=True)
                shutil.rmtree(folder)
        names = load_config().label_names
        labels = {dataset: labels_in(folder, names) for dataset, folder in photos.datasets.items()}
    measuring.report("fine_tune", compared(runs, labels))


@dataclass(frozen=True)
class Photos:
    """What all ways are trained and measured on."""

    index: pd.DataFrame
    """With the split that our pipeline makes."""
    datasets: dict[str, Path]
    """Photos to measure on, in a folder per label: `validation`, `test` and maybe `field_test`."""


def prepare(archive: Path, field_test: Path | None, work: Path) -> Photos:
    """Split the archive as our pipeline does, and unpack what the networks are measured on."""
    preprocess.ours(archive, work / "preprocessed")
    index = store.read_index(work / "preprocessed")
    unpack(archive, index[index.split != "train"], work / "measured")
    datasets = {name: work / "measured" / name for name in ("validation", "test")}
    if field_test:
        labels = index_archive(field_test, load_config().label_of_folder).photos
        table = pd.DataFrame(labels.items(), columns=["name", "label"]).assign(split="field_test")
        unpack(field_test, table, work / "measured")
        datasets["field_test"] = work / "measured/field_test"
    return Photos(index, datasets)


def ways(archive: Path, photos: Photos, epochs: int) -> dict[str, Callable[[Path], Run]]:
    """Return what is compared; each gets an empty folder to work in."""
    index, datasets = photos.index, photos.datasets

    def run(name: str, epochs: int) -> Callable[[Path], Run]:
        field_test = datasets.get("field_test")
        return lambda folder: recipe(name, epochs, archive, index, folder, field_test)

    compared_ways: dict[str, Callable[[Path], Run]] = {
        "pandacat": lambda folder: ours(archive, folder, datasets, {}),
        "pandacat, one crop": lambda folder: ours(archive, folder, datasets, ONE_CROP),
        "plain PyTorch": run("plain", epochs),
    }
    if importlib.util.find_spec("fastai"):
        compared_ways["fastai"] = run("fastai", 1)
    return compared_ways


def compared(
    runs: Mapping[str, list[Run]], labels: Mapping[str, np.ndarray]
) -> measuring.Comparison:
    """Return the comparison of all runs."""
    values = {way: [run.seconds for run in some] for way, some in runs.items()}
    medians = {way: measuring.median(seconds) for way, seconds in values.items()}
    notes: dict[str, Any] = {}
    for way, some in runs.items():
        to_goal = [run.seconds_to_goal for run in some if run.seconds_to_goal is not None]
        notes[f"{way}, seconds to {GOAL:.1%} of validation photos"] = (
            measuring.median(to_goal) if to_goal else "not reached"
        )
        for dataset in (dataset for dataset in labels if dataset != "validation"):
            notes[f"{way}, {dataset}"] = metrics(labels[dataset], some[-1].probabilities[dataset])
    ratios = {
        f"{way} / {own}": medians[way] / medians[own]
        for own in ("pandacat", "pandacat, one crop")
        for way in medians
        if not way.startswith("pandacat")
    }
    return measuring.Comparison("Fine-tuning, archive to model", "s", values, ratios, notes)


if __name__ == "__main__":
    measuring.run(main)
