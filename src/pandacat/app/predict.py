"""`pandacat predict`: photos in, predictions out."""

import argparse
import sys
from collections.abc import Iterator
from functools import partial

from tqdm import tqdm

from pandacat.app.inputs import find_photos, read_file
from pandacat.app.output import WRITERS, output_file, print_lines
from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError
from pandacat.core.files import atomic_write
from pandacat.models.classifier import Classifier, Prediction
from pandacat.models.loading import PRETRAINED, load_classifier

FINE_TUNED = "fine-tuned"


def run(options: argparse.Namespace) -> int:
    """Print or write the predictions; return 0, or 1 if files could not be read."""
    table = options.output and output_file("--output", options.output, force=options.force)
    if table and options.output.suffix.lower() not in WRITERS:
        raise PandacatError(f"--output {options.output}: the name must end in .csv or .json.")
    paths = find_photos(options.paths)
    classifier = _load(options)
    failed: list[str] = []
    predictions = _predict(classifier, paths, failed)
    if table:
        write = WRITERS[options.output.suffix.lower()]
        with atomic_write(table) as temporary:
            write(
                temporary, predictions, classifier.labels, prediction_sets=options.prediction_sets
            )
    else:
        print_lines(predictions, classifier.labels, prediction_sets=options.prediction_sets)
    if failed:
        print(f"{len(failed)} of {len(paths)} files could not be read.", file=sys.stderr)
    return 1 if failed else 0


def _load(options: argparse.Namespace) -> Classifier:
    name = options.model
    if name is None and (options.models / FINE_TUNED).is_dir():
        name = FINE_TUNED
    elif name is None:
        name = PRETRAINED
        where = options.models.absolute()
        print_status(f"No fine-tuned model in {where}: using --model {PRETRAINED}.")
    classifier = load_classifier(name, models=options.models)
    if options.prediction_sets and classifier.description.conformal is None:
        raise PandacatError(
            f"--prediction-sets: the model {name} is not calibrated for them; use the fine-tuned "
            "one, which `dvc repro` trains."
        )
    return classifier


def _predict(classifier: Classifier, paths: list[str], failed: list[str]) -> Iterator[Prediction]:
    """Yield predictions under a progress bar; append the files that can't be read to `failed`."""
    predictions = classifier.predict_many((path, partial(read_file, path)) for path in paths)
    for prediction in tqdm(predictions, "", len(paths), unit="photo", disable=None, leave=False):
        if prediction.reason is not None:
            failed.append(prediction.path)
        yield prediction
