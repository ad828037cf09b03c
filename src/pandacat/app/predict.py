"""`pandacat predict`: photos in, predictions out."""

import argparse
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, redirect_stderr
from pathlib import Path

from tqdm import tqdm

from pandacat.app.explain import explaining
from pandacat.app.inputs import Photos, open_photos
from pandacat.app.output import (
    MOST_CLASSES_IN_LINE,
    WRITERS,
    output_file,
    print_lines,
    table_columns,
)
from pandacat.core.console import print_notes, print_status
from pandacat.core.errors import PandacatError
from pandacat.core.files import atomic_write
from pandacat.labels import listed
from pandacat.models.classifier import Classifier, Prediction
from pandacat.models.engine import EngineName
from pandacat.models.loading import PRETRAINED, load_classifier

DEFAULTS = ("fine-tuned", "exported")
"""The first of them that there is."""

ENGINES: dict[str, EngineName] = {"auto": "auto", "cpu": "openvino", "cuda": "torch"}
"""By device, the engine that runs the network there."""


def run(options: argparse.Namespace) -> int:
    """Print or write the predictions; return 0, or 1 if files could not be read."""
    quiet = redirect_stderr(io.StringIO()) if options.quiet else nullcontext()
    with quiet, open_photos(options.paths, options.encoding) as photos:
        failed = _run(options, photos)
        total = len(photos)
    if failed:
        print_status(f"{failed} of {total} files could not be read.")
    return 1 if failed else 0


def _run(options: argparse.Namespace, photos: Photos) -> int:
    """Print or write the predictions; return how many files could not be read."""
    table = options.output and output_file("--output", options.output, force=options.force)
    if table and options.output.suffix.lower() not in WRITERS:
        raise PandacatError(f"--output {options.output}: the name must end in .csv or .json.")
    classifier = _load(options)
    top = min(options.top, len(classifier.class_names))
    if top > MOST_CLASSES_IN_LINE and not table:
        print_status(
            f"Lines have the {MOST_CLASSES_IN_LINE} most probable classes; -o FILE.csv writes all "
            f"{top:,}."
        )
        top = MOST_CLASSES_IN_LINE
    failed: list[str] = []
    with explaining(classifier, photos, options.explain) as predict:
        predictions = _predict(predict(top=top), len(photos), failed)
        if table:
            columns = table_columns(
                classifier.labels, prediction_sets=options.prediction_sets, top=top
            )
            with atomic_write(table) as temporary:
                WRITERS[options.output.suffix.lower()](temporary, predictions, columns)
            read = len(photos) - len(failed)
            print_status(
                f"Wrote predictions for {read} of {len(photos)} photos to {options.output}."
            )
        else:
            print_lines(predictions, classifier.labels, prediction_sets=options.prediction_sets)
    return len(failed)


def load(options: argparse.Namespace) -> tuple[str, Classifier]:
    """Return the name of the model that `--model` and `--models` choose, and the model."""
    name = options.model
    if name is None:
        name = next((each for each in DEFAULTS if (options.models / each).is_dir()), PRETRAINED)
    if options.model is None and name == PRETRAINED:
        where = options.models.absolute()
        print_status(f"No fine-tuned model in {where}: using --model {PRETRAINED}.")
    elif Path(name).is_file():  # of a model, such as models/exported/model.onnx
        name = str(Path(name).parent)
    if options.device == "cuda":
        _require_gpu()
    classifier = load_classifier(name, models=options.models, engine=ENGINES[options.device])
    if classifier.description.drawn:
        print_status(
            f"{name} was trained on drawings; do not rely on it. "
            "`dvc exp run -S photos.source=kaggle` trains it on photos."
        )
    return name, classifier


def _load(options: argparse.Namespace) -> Classifier:
    name, classifier = load(options)
    if options.prediction_sets and classifier.description.conformal is None:
        raise PandacatError(
            f"--prediction-sets: the model {name} is not calibrated for them; use the fine-tuned "
            "one, which `dvc repro` trains."
        )
    if options.top and not classifier.class_names:
        raise PandacatError(
            f"--top: {name} has no ImageNet classes, only {listed(classifier.labels, 'and')}, "
            f"which are always shown; use --model {PRETRAINED}."
        )
    return classifier


def _require_gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        raise PandacatError(
            "--device cuda: PyTorch finds no GPU that it can use; --device cpu needs none."
        )


def _predict(
    predictions: Iterable[Prediction], count: int, failed: list[str]
) -> Iterator[Prediction]:
    """Yield `count` predictions under a progress bar.

    Files that can't be read are appended to `failed`; in the end, notes on the photos are printed.
    """
    noted: defaultdict[str, list[str]] = defaultdict(list)
    for prediction in tqdm(predictions, "", count, unit="photo", disable=None, leave=False):
        if prediction.reason is not None:
            failed.append(prediction.path)
        for note in prediction.notes:
            noted[note].append(prediction.path)
        yield prediction
    print_notes(noted)
