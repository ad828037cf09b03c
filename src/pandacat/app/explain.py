"""Pictures of what on a photo supports its label: `pandacat predict --explain FOLDER`."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pandacat.app.inputs import Photos
from pandacat.app.output import output_folder
from pandacat.core.console import print_status
from pandacat.core.files import atomic_write
from pandacat.data.images import load_image
from pandacat.models.classifier import Classifier, Prediction
from pandacat.models.explanation import overlay

LONGEST_NAME = 200
"""Of a picture, in bytes; most file systems allow 255."""


@contextmanager
def explaining(
    classifier: Classifier, photos: Photos, folder: Path | None
) -> Iterator[Callable[..., Iterator[Prediction]]]:
    """Yield what predicts the photos, as `Classifier.predict_many` does.

    With a folder, pictures of them are written to it on the way; it is there when all are.

    Raises:
        PandacatError: the folder can't be written, or the network can't be explained.
    """
    if folder is None:
        yield partial(classifier.predict_many, photos.items())
        return
    place = output_folder("--explain", folder)
    with atomic_write(place) as temporary:
        temporary.mkdir()
        yield partial(_explained, classifier, photos, temporary)
        count = sum(1 for _ in temporary.iterdir())
    print_status(f"Wrote {count} pictures to {folder}.")


def _explained(
    classifier: Classifier, photos: Photos, folder: Path, *, top: int
) -> Iterator[Prediction]:
    waiting: dict[str, bytes] = {}

    def keep(path: str, read: Callable[[], bytes]) -> bytes:
        waiting[path] = read()
        return waiting[path]

    items = ((path, partial(keep, path, read)) for path, read in photos.items())
    for prediction in classifier.predict_many(items, top=top, explain=True):
        data = waiting.pop(prediction.path, b"")
        if prediction.heatmap is not None:
            image = load_image(data, classifier.image_spec)
            picture = overlay(image, prediction.heatmap)
            picture.save(_place(folder, prediction.path), "JPEG", quality=90)
        yield prediction


def _place(folder: Path, path: str) -> Path:
    """Return where the picture of a photo goes: its path in one word, which no other has."""
    parts = [part for part in Path(path).with_suffix("").parts if part not in ("/", "..", ".")]
    stem = os.fsencode("_".join(parts))[-LONGEST_NAME:].decode(errors="ignore") or "photo"
    place, number = folder / f"{stem}.jpg", 1
    while place.exists():
        number += 1
        place = folder / f"{stem}_{number}.jpg"
    return place
