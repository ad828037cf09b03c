"""Which photos the user's paths stand for, and their bytes."""

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from glob import glob
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from pandacat.core.errors import PandacatError
from pandacat.data.formats import PHOTO_ENDINGS
from pandacat.data.images import UnreadablePhotoError
from pandacat.data.sources.archive import LARGEST_FILE_BYTES, EntryError, Reader, open_archive

STANDARD_INPUT = "-"

Photos = dict[str, Callable[[], bytes]]
"""For each photo, by its name, a function that returns its bytes."""


@contextmanager
def open_photos(paths: Sequence[str]) -> Iterator[Photos]:
    """Yield the photos that the paths stand for: files, and all in folders, zips and patterns.

    A missing file, or a folder that can't be opened, is among them, so that it gets its line. Each
    file is there once. Hidden files, hidden folders and links to folders are left out.

    Raises:
        PandacatError: there is none, one of the paths can't be one, or a zip can't be used.
    """
    for path in paths:
        _check(path)
    files: dict[str, str] = {}
    for file in (file for path in paths for file in _files(path)):
        files.setdefault(os.path.abspath(file), file)  # noqa: PTH100, which keeps `..`
    photos: Photos = {}
    with ExitStack() as opened:
        for file in files.values():
            if file.lower().endswith(".zip") and Path(file).is_file():
                photos |= _photos_in(file, opened.enter_context(open_archive(Path(file))))
            else:
                photos[file] = partial(read_file, file)
        if not photos:
            raise PandacatError(
                f"No photos in {', '.join(paths)}: name the folder they are in, or the files, "
                "whatever their ending."
            )
        yield photos


def _check(path: str) -> None:
    if not path:
        raise PandacatError("One of the paths is empty: name a photo, a folder or a pattern.")
    if re.match("(https?|ftp)://", path, re.IGNORECASE):
        raise PandacatError(
            f"{path} is an address, not a file: download it first, for example with "
            f"`curl -L {shlex.quote(path)} | pandacat predict -`."
        )
    if path == STANDARD_INPUT and sys.stdin.isatty():
        raise PandacatError(
            "- is standard input: send it a photo, as in `pandacat predict - < photo.jpg`."
        )


def _files(path: str) -> list[str]:
    try:
        if Path(path).is_dir():
            return [str(file) for file in sorted(_photos_below(Path(path)))]
        if Path(path).exists():
            return [path]
        matching = sorted(glob(path, recursive=True))  # noqa: PTH207
        return [match for match in matching if not Path(match).is_dir()] or [path]
    except OSError:  # reading it says why
        return [path]


def _photos_below(top: Path) -> Iterator[Path]:
    """Yield the photos below a folder, and the folders that can't be opened."""
    closed: list[OSError] = []
    for folder, folders, names in os.walk(top, onerror=closed.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in (Path(folder, name) for name in names if not name.startswith(".")):
            if _is_photo(file.name) and (file.is_file() or not file.exists()):
                yield file
    yield from (Path(error.filename) for error in closed)


def _photos_in(archive: str, reader: Reader) -> Photos:
    """Return the photos in a zip, named like those in a folder; nothing is unpacked to disk."""
    try:
        names = reader.names()
    except PandacatError as error:
        raise PandacatError(f"{archive}: {error}") from None
    return {
        f"{archive}/{name}": partial(_unpack, reader, name)
        for name in names
        if _is_photo(name) and not re.search(r"(^|[/\\])\.[^/\\]", name)
    }


def _is_photo(name: str) -> bool:
    return Path(name).suffix.lower() in PHOTO_ENDINGS


def _unpack(reader: Reader, name: str) -> bytes:
    try:
        return reader.read(name)
    except EntryError as error:
        raise UnreadablePhotoError(str(error)) from None


def read_file(path: str) -> bytes:
    """Return the bytes of a photo; the path `-` is standard input.

    Raises:
        UnreadablePhotoError: it is larger than any photo, or endless; or it is a named pipe, to
            which nothing may ever be written.
    """
    if path == STANDARD_INPUT:
        return _read(sys.stdin.buffer)
    if Path(path).is_fifo() and not path.startswith("/dev/"):
        raise UnreadablePhotoError("a named pipe: give a file")
    with Path(path).open("rb") as stream:
        return _read(stream)


def _read(stream: BinaryIO) -> bytes:
    blocks = iter(partial(stream.read, 1 << 20), b"")
    data = b"".join(islice(blocks, (LARGEST_FILE_BYTES >> 20) + 1))
    if len(data) > LARGEST_FILE_BYTES:
        raise UnreadablePhotoError(f"larger than {LARGEST_FILE_BYTES >> 20} MiB")
    return data
