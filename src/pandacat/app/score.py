"""`pandacat score`: many photos in, Parquet files out, in blocks that are never done twice."""

import argparse
import hashlib
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, redirect_stderr
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import perf_counter

from tqdm import tqdm

from pandacat.app.blocks import (
    Finished,
    Manifest,
    OtherScoresError,
    Row,
    as_text,
    check_folder,
    open_scores,
    schema_of,
    write_blocks,
)
from pandacat.app.inputs import Photos, open_photos
from pandacat.app.predict import load
from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError, sentence_of
from pandacat.core.names import find
from pandacat.models.classifier import Classifier, Prediction

BLOCK_PHOTOS = 1_000
"""In a file: some seconds of work, which is what a stop costs."""


def run(options: argparse.Namespace) -> int:
    """Write the scores; return 0, 1 if files could not be read, or 2 for another run's folder."""
    quiet = redirect_stderr(io.StringIO()) if options.quiet else nullcontext()
    try:
        with quiet:
            unreadable, total = _run(options)
    except OtherScoresError as error:
        print(f"pandacat: {sentence_of(error)}", file=sys.stderr)
        return 2
    if unreadable:
        print_status(f"{unreadable} of {total} files could not be read.")
    return 1 if unreadable else 0


def score_photos(
    classifier: Classifier, photos: Iterable[tuple[str, Callable[[], bytes]]]
) -> Iterator[Row]:
    """Yield a row of a block for each photo, given by its path and what returns its bytes.

    They come in the order of the photos, and a row depends on its photo and the model alone: it
    does not matter how photos are spread over blocks, processes or machines. Probabilities have six
    decimals, as in the tables of `pandacat predict`. Memory stays flat however many photos come.
    """
    hashes: dict[str, str] = {}

    def read_and_hash(path: str, read: Callable[[], bytes]) -> bytes:
        data = read()
        hashes[path] = hashlib.sha256(data).hexdigest()
        return data

    items = ((path, partial(read_and_hash, path, read)) for path, read in photos)
    for prediction in classifier.predict_many(items):
        yield _row(prediction, hashes.pop(prediction.path, None))


def _row(prediction: Prediction, sha256: str | None) -> Row:
    probabilities = prediction.probabilities or {}
    return {
        "path": as_text(prediction.path),
        "label": prediction.label,
        **{f"p_{label}": round(value, 6) for label, value in probabilities.items()},
        "prediction_set": prediction.prediction_set,
        "sha256": sha256,
        "reason": prediction.reason and as_text(prediction.reason),
        "notes": prediction.notes,
    }


def _run(options: argparse.Namespace) -> tuple[int, int]:
    """Write the scores; return how many files in all could not be read, and how many there are."""
    for source in options.sources:
        if find(Path(source)) is None:
            raise PandacatError(
                f"There is no folder or zip {source}: check the name. Photos that are elsewhere "
                "must be copied to this machine first."
            )
    check_folder(options.to)
    with open_photos(options.sources) as photos:
        classifier = _load(options)
        with open_scores(options.to, _manifest(options, classifier)) as finished:
            _remove_finished(photos, finished)
            return _score(classifier, photos, options.to, finished)


def _load(options: argparse.Namespace) -> Classifier:
    """Return the model as its files have it, whose SHA-256 is known."""
    _, classifier = load(options)
    if not classifier.sha256:  # built just now, and cached
        _, classifier = load(options)
    return classifier


def _manifest(options: argparse.Namespace, classifier: Classifier) -> Manifest:
    sources = {as_text(path): as_text(os.path.abspath(path)) for path in options.sources}  # noqa: PTH100
    model = {"sha256": classifier.sha256, **asdict(classifier.description)}
    return Manifest(model, sources, BLOCK_PHOTOS)


def _remove_finished(photos: Photos, finished: Finished) -> None:
    """Leave the photos that have no row; of names that `as_text` makes equal, the last ones."""
    rows = finished.paths.copy()
    for path in [*photos]:
        text = as_text(path)
        if rows[text]:
            rows[text] -= 1
            del photos[path]


def _score(
    classifier: Classifier, photos: Photos, folder: Path, finished: Finished
) -> tuple[int, int]:
    done, unreadable = finished.paths.total(), finished.unreadable
    total = done + len(photos)
    began = perf_counter()
    rows = tqdm(
        score_photos(classifier, photos.items()),
        total=total,
        initial=done,
        unit="photo",
        disable=None,
        leave=False,
    )
    schema = schema_of(classifier.labels)
    try:
        for block in write_blocks(folder, rows, schema, size=BLOCK_PHOTOS, used=finished.numbers):
            done += len(block)
            unreadable += sum(row["reason"] is not None for row in block)
    except KeyboardInterrupt:
        print_status(f"{done:,} of {total:,} photos are scored; the same command scores the rest.")
        raise
    rate = len(photos) / (perf_counter() - began)
    print_status(
        f"{folder} has the scores of {total:,} photos: {len(photos):,} scored now, {rate:,.1f} a "
        "second."
    )
    return unreadable, total
