"""Photos whose bytes are fetched some ahead, so that nobody waits for the network."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from pandacat.core.errors import PandacatError
from pandacat.core.parallel import ordered_map
from pandacat.data.images import UnreadablePhotoError

READERS = 8
"""Threads that fetch."""

Photo = tuple[str, Callable[[], bytes]]
"""The path or address of a photo, and what returns its bytes."""


def fetch_ahead(photos: Iterable[Photo]) -> Iterator[Photo]:
    """Yield the photos, in order, once their bytes, or the error in their place, are there."""
    return ordered_map(_fetched, photos, workers=READERS)


def _fetched(photo: Photo) -> Photo:
    name, read = photo
    try:
        return name, partial(bytes, read())
    except (PandacatError, UnreadablePhotoError, OSError) as error:
        return name, partial(_raise, error)


def _raise(error: Exception) -> bytes:
    raise error
