"""`pandacat score`: many photos in, Parquet files out, in blocks that are never done twice."""

import argparse
import hashlib
import io
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, redirect_stderr
from dataclasses import asdict
from functools import partial
from itertools import chain, islice
from pathlib import Path
from time import perf_counter

import pyarrow as pa
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
from pandacat.app.cluster import cluster, map_on_cluster
from pandacat.app.inputs import Photos, open_photos
from pandacat.app.predict import load
from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError, sentence_of
from pandacat.core.names import find
from pandacat.data.sources import s3
from pandacat.data.sources.prefetch import Photo, fetch_ahead
from pandacat.models.classifier import Classifier, Prediction
from pandacat.models.portable import portable

BLOCK_PHOTOS = 1_000
"""In a file: some seconds of work, which is what a stop costs."""

TASK_PHOTOS = 32
"""In a task of Ray's: seconds of work for a core; the task itself takes milliseconds."""


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
    classifier: Classifier, photos: Iterable[Photo], workers: int | None = None
) -> Iterator[Row]:
    """Yield a row of a block for each photo, given by its path and what returns its bytes.

    They come in the order of the photos, and a row depends on its photo and the model alone: it
    does not matter how photos are spread over blocks, processes or machines. Probabilities have six
    decimals, as in the tables of `pandacat predict`. Memory stays flat however many photos come.
    `workers` are threads, as for `predict_many`.
    """
    hashes: dict[str, str] = {}

    def read_and_hash(path: str, read: Callable[[], bytes]) -> bytes:
        data = read()
        hashes[path] = hashlib.sha256(data).hexdigest()
        return data

    items = ((path, partial(read_and_hash, path, read)) for path, read in photos)
    for prediction in classifier.predict_many(items, workers=workers):
        yield _row(prediction, hashes.pop(prediction.path, None))


def score_on_cluster(classifier: Classifier, photos: Iterable[Photo]) -> Iterator[Row]:
    """Yield what `score_photos` does, computed by the cluster that this process is connected to.

    What returns the bytes of a photo is called there, so it must be something that can be pickled.
    """
    waiting = iter(photos)
    tasks = iter(lambda: [*islice(waiting, TASK_PHOTOS)], [])
    return chain.from_iterable(map_on_cluster(partial(_scorer, portable(classifier)), tasks))


def _scorer(load: Callable[[], Classifier]) -> Callable[[list[Photo]], list[Row]]:
    classifier = load()
    return lambda photos: [*score_photos(classifier, fetch_ahead(photos), workers=1)]


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
    local = [source for source in options.sources if not source.startswith(s3.SCHEME)]
    for source in local:
        if find(Path(source)) is None:
            raise PandacatError(
                f"There is no folder or zip {source}: check the name. Photos that are elsewhere "
                "must be copied to this machine first."
            )
    check_folder(options.to)
    if options.ray is not None:
        _compute_on_cpus(options)
    with cluster(options.ray) if options.ray is not None else nullcontext():
        return _score(options, local)


def _compute_on_cpus(options: argparse.Namespace) -> None:
    if options.device == "cuda":
        raise PandacatError(
            "--ray computes on CPUs: leave out --device, or leave out --ray, on a machine with a "
            "GPU."
        )
    options.device = "cpu"


def _score(options: argparse.Namespace, local: list[str]) -> tuple[int, int]:
    """Write the scores of photos without a row; return the same as `_run`."""
    stored = [s3.list_photos(source) for source in options.sources if source not in local]
    with open_photos(local, options.encoding) if local else nullcontext(Photos()) as photos:
        classifier = _load(options)
        with open_scores(options.to, _manifest(options, classifier)) as finished:
            left = finished.paths.copy()
            for path in [*photos]:
                if _has_row(path, left):
                    del photos[path]
            total = None if stored else finished.paths.total() + len(photos)
            waiting = (photo for photo in chain(*stored) if not _has_row(photo[0], left))
            if (
                options.ray is not None
            ):  # machines of the cluster need not see the files of this one
                rows = score_on_cluster(classifier, chain(fetch_ahead(photos.items()), waiting))
            else:
                rows = score_photos(classifier, chain(photos.items(), fetch_ahead(waiting)))
            return _write(rows, schema_of(classifier.labels), total, options.to, finished)


def _load(options: argparse.Namespace) -> Classifier:
    """Return the model as its files have it, whose SHA-256 is known."""
    _, classifier = load(options)
    if not classifier.sha256:  # built just now, and cached
        _, classifier = load(options)
    return classifier


def _manifest(options: argparse.Namespace, classifier: Classifier) -> Manifest:
    sources = {as_text(source): as_text(_place(source)) for source in options.sources}
    model = {"sha256": classifier.sha256, **asdict(classifier.description)}
    return Manifest(model, sources, BLOCK_PHOTOS, options.encoding)


def _place(source: str) -> str:
    return source if source.startswith(s3.SCHEME) else os.path.abspath(source)  # noqa: PTH100


def _has_row(path: str, rows: Counter[str]) -> bool:
    """Return whether a photo has one of the rows left, which is then taken.

    Of photos whose names `as_text` makes equal, the last ones have none.
    """
    text = as_text(path)
    has_row = rows[text] > 0
    rows[text] -= has_row
    return has_row


def _write(
    rows: Iterable[Row], schema: pa.Schema, total: int | None, folder: Path, finished: Finished
) -> tuple[int, int]:
    """Write rows; return the same as `_run`.

    The `total`, with those that are finished, is not known of photos that are still being listed.
    """
    done, unreadable = finished.paths.total(), finished.unreadable
    before, began = done, perf_counter()
    rows = tqdm(rows, total=total, initial=done, unit="photo", disable=None, leave=False)
    try:
        for block in write_blocks(folder, rows, schema, size=BLOCK_PHOTOS, used=finished.numbers):
            done += len(block)
            unreadable += sum(row["reason"] is not None for row in block)
    except KeyboardInterrupt:
        share = f"{done:,}" if total is None else f"{done:,} of {total:,}"
        print_status(f"{share} photos are scored; the same command scores the rest.")
        raise
    rate = (done - before) / (perf_counter() - began)
    print_status(
        f"{folder} has the scores of {done:,} photos: {done - before:,} scored now, {rate:,.1f} a "
        "second."
    )
    return unreadable, done
