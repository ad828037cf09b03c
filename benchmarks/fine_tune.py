"""Fine-tuning: ours against the plain PyTorch recipe and fastai, from the archive to a saved model.

All get the same photos, split and ImageNet weights, three classes, and a new process. Ours is the
stages fetch_photos, preprocess, predict_pretrained and fine_tune, with an empty cache: converting
the network for the fast engine counts. The others get the archive unpacked into folders, which
counts as well. How right they are is measured afterwards, on the files as they came.
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
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import measuring
import numpy as np
import pandas as pd
import preprocess
from ruamel.yaml import YAML
from sklearn.metrics import roc_auc_score

from pandacat.config.loading import load_config
from pandacat.core.tables import read_table
from pandacat.data import store
from pandacat.data.sources import archive as archives
from pandacat.evaluation.predictions import labels_and_probabilities
from pandacat.labels import LABELS
from pandacat.models.loading import load_classifier

STAGES = ("fetch_photos", "preprocess", "predict_pretrained", "fine_tune")
ONE_VIEW = {"crops": "center", "augmented_copies": 1}
"""What the recipes see of a photo: its middle, and a augmented copy to train on."""
GOAL = 0.995
"""Share of validation photos of pandas and cats that are told apart."""

Answers = Mapping[str, np.ndarray]
"""By set of photos: `(N, 3)` probabilities in the order of `LABELS`."""


@dataclass(frozen=True)
class Run:
    """One way, once."""

    seconds: float
    """To the saved model."""
    seconds_to_goal: float | None
    answers: Answers


def ours(
    archive: Path, folder: Path, sets: Mapping[str, Path], changed: Mapping[str, object]
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
    settings = yaml.load(Path("params.yaml"))
    settings["photos"] |= {"source": "archive", "archive": str(archive)}
    settings["predict_pretrained"] |= changed
    yaml.dump(settings, folder / "params.yaml")
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
            labels, answers = labels_and_probabilities(table[table.split == "validation"])
            if pair_accuracy(labels, answers) >= GOAL:
                reached = time.time() - began
    seconds = time.time() - began
    classifier = load_classifier("fine-tuned", models=folder / "models")
    answers_by_set = {}
    for name, place in sets.items():
        files = [(file.name, file.read_bytes) for file in photos_in(place)]
        verdicts = [verdict.probabilities for verdict in classifier.predict_many(files)]
        answers_by_set[name] = np.array(verdicts)
    valid = pair_accuracy(labels_in(sets["validation"]), answers_by_set["validation"])
    if reached is None and valid >= GOAL:
        reached = seconds
    return Run(seconds, reached, answers_by_set)


def recipe(
    name: str,
    epochs: int,
    archive: Path,
    index: pd.DataFrame,
    folder: Path,
    field_test: Path | None,
) -> Run:
    """Unpack the archive by split and class, and run one of `recipes.py`."""
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
    order = [sorted(LABELS).index(label) for label in LABELS]
    reached = [seconds for seconds, share in about["history"] if share >= GOAL]
    answers = {key: content[key][:, order] for key in content if key != "about"}
    return Run(about["seconds"], min(reached, default=None), answers)


def unpack(archive: Path, index: pd.DataFrame, folder: Path) -> None:
    """Write each photo to `split/label/`."""
    with zipfile.ZipFile(archive) as zipped:
        for place, row in enumerate(index.itertuples()):
            target = folder / row.split / row.label / f"{place:05d}{Path(row.name).suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(zipped.read(row.name))


def photos_in(folder: Path) -> list[Path]:
    """Return the files in the folders of the classes, in the order of torchvision."""
    return [file for label in sorted(LABELS) for file in sorted((folder / label).iterdir())]


def labels_in(folder: Path) -> np.ndarray:
    """Return the class of each of `photos_in`, as an index into `LABELS`."""
    return np.array([LABELS.index(file.parent.name) for file in photos_in(folder)])


def pair_accuracy(labels: np.ndarray, answers: np.ndarray) -> float:
    """Return how often pandas and cats are told apart, their two probabilities compared."""
    pair = [LABELS.index("panda"), LABELS.index("cat")]
    asked = np.isin(labels, pair)
    return float(np.mean(np.array(pair)[answers[asked][:, pair].argmax(1)] == labels[asked]))


def judged(answers: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the accuracies, and the AUROC of telling pandas and cats from all others."""
    other = LABELS.index("other")
    return {
        "panda or cat": pair_accuracy(labels, answers),
        "panda, cat or neither": float(np.mean(answers.argmax(1) == labels)),
        "AUROC of neither": float(roc_auc_score(labels == other, answers[:, other])),
    }


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=Path, default=measuring.ARCHIVE, help="a zip of photos")
    parser.add_argument("--field-test", type=Path, help="a zip of photos from elsewhere")
    parser.add_argument("--repeats", type=measuring.repeats, default=1, help="of each way")
    parser.add_argument("--epochs", type=int, default=3, help="of the plain recipe")
    options = parser.parse_args()
    archive = measuring.require(options.archive, "run `dvc repro fetch_photos`, or say --archive.")
    archive, field_test = archive.resolve(), options.field_test
    if field_test:
        field_test = measuring.require(field_test, "look at --field-test.").resolve()
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
        labels = {name: labels_in(place) for name, place in photos.sets.items()}
    measuring.report("fine_tune", compared(runs, labels))


@dataclass(frozen=True)
class Photos:
    """What all ways get, and are judged on."""

    index: pd.DataFrame
    """With the split that our pipeline makes."""
    sets: dict[str, Path]
    """Photos to judge on, in a folder per class: `validation`, `test` and maybe `field_test`."""


def prepare(archive: Path, field_test: Path | None, work: Path) -> Photos:
    """Split the archive as our pipeline does, and lay out what the networks are judged on."""
    preprocess.ours(archive, work / "kept")
    index = store.read_index(work / "kept")
    unpack(archive, index[index.split != "train"], work / "judged")
    sets = {name: work / "judged" / name for name in ("validation", "test")}
    if field_test:
        entries = archives.index_archive(field_test, load_config().photos.folders).photos
        table = pd.DataFrame([asdict(entry) for entry in entries]).assign(split="field_test")
        unpack(field_test, table, work / "judged")
        sets["field_test"] = work / "judged/field_test"
    return Photos(index, sets)


def ways(archive: Path, photos: Photos, epochs: int) -> dict[str, Callable[[Path], Run]]:
    """Return what is compared; each gets an empty folder to work in."""
    index, sets = photos.index, photos.sets
    elsewhere = sets.get("field_test")
    found: dict[str, Callable[[Path], Run]] = {
        "pandacat": lambda folder: ours(archive, folder, sets, {}),
        "pandacat, one crop": lambda folder: ours(archive, folder, sets, ONE_VIEW),
        "plain PyTorch": lambda folder: recipe("plain", epochs, archive, index, folder, elsewhere),
    }
    if importlib.util.find_spec("fastai"):
        found["fastai"] = lambda folder: recipe("fastai", 1, archive, index, folder, elsewhere)
    return found


def compared(runs: Mapping[str, list[Run]], labels: Answers) -> measuring.Comparison:
    """Return the comparison of all runs."""
    values = {way: [run.seconds for run in some] for way, some in runs.items()}
    medians = {way: measuring.median(seconds) for way, seconds in values.items()}
    notes: dict[str, Any] = {}
    for way, some in runs.items():
        to_goal = [run.seconds_to_goal for run in some if run.seconds_to_goal is not None]
        notes[f"{way}, seconds to {GOAL:.1%} of validation photos"] = (
            measuring.median(to_goal) if to_goal else "not reached"
        )
        for name, classes in labels.items():
            if name == "validation":
                continue
            notes[f"{way}, {name}"] = judged(some[-1].answers[name], classes)
    ratios = {
        f"{way} / {own}": medians[way] / medians[own]
        for own in ("pandacat", "pandacat, one crop")
        for way in medians
        if not way.startswith("pandacat")
    }
    return measuring.Comparison("Fine-tuning, archive to model", "s", values, ratios, notes)


if __name__ == "__main__":
    measuring.run(main)
