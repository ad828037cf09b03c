"""Which photos the user's paths stand for, and their bytes."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from glob import glob
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError, sentence_of, some_of
from pandacat.core.names import find, shell_word, spelled_otherwise
from pandacat.data.images import UnreadablePhotoError
from pandacat.data.sources.photo_files import HEAD_BYTES, files_below, kind_of
from pandacat.data.sources.s3 import SCHEME
from pandacat.data.sources.zip_files import LARGEST_FILE_BYTES, EntryError, Reader, open_archive

STANDARD_INPUT = "-"

PASSED_OVER = ("not_photos", "nested_archives", "links")
"""The kinds of files whose passing over is said."""

Photos = dict[str, Callable[[], bytes]]
"""For each photo, by its name, a function that returns its bytes."""


@contextmanager
def open_photos(paths: Sequence[str], encoding: str | None = None) -> Iterator[Photos]:
    """Yield the photos that the paths stand for: files, and all in folders, zips and patterns.

    A missing file, or a folder that can't be opened, is among them, so that it gets its line. Each
    file is there once; `encoding` is that of names in zips, as for `open_archive`. In folders and
    zips, hidden files and what `photo_files` does not take for
    photos are passed over; the latter are named on stderr, but for documents.

    Raises:
        PandacatError: there is none, one of the paths can't be one, or zips can't be used, all of
            which are named.
    """
    for path in paths:
        _check(path)
    files: dict[str, str] = {}
    passed_over: list[str] = []
    for file in (file for path in paths for file in _files(path, passed_over)):
        files.setdefault(os.path.abspath(file), file)  # noqa: PTH100, which keeps `..`
    photos: Photos = {}
    problems: list[str] = []
    with ExitStack() as opened:
        for file in files.values():
            if not _is_zip(file):
                photos[file] = partial(read_file, file)
                continue
            try:
                reader = opened.enter_context(_open_zip(file, encoding))
                photos |= _photos_in(reader, file, passed_over)
            except (PandacatError, OSError) as error:
                problems.append(sentence_of(error))
        if problems:
            raise PandacatError("\n".join(problems))
        if zips := [name for name in passed_over if _is_zip(name)]:
            print_status(
                f"Zips in folders are not opened: {len(zips)} ({some_of(zips)}). Name them, as in "
                f"`pandacat predict {shell_word(zips[0])}`."
            )
        if others := [name for name in passed_over if name not in zips]:
            count, some = len(others), some_of(others)
            print_status(f"Passed over, as no photos that can be read: {count} ({some})")
        if not photos:
            raise PandacatError(
                f"No photos in {', '.join(paths)}: name the folder they are in, or the files, "
                "whatever their ending."
            )
        yield photos


def _is_zip(file: str) -> bool:
    path = Path(file)
    is_named_so = path.suffix.lower() == ".zip" and path.is_file()
    return is_named_so and kind_of(path.name, partial(_head, path)) != "photos"


def _check(path: str) -> None:
    if not path:
        raise PandacatError("One of the paths is empty: name a photo, a folder or a pattern.")
    if not Path(path).exists() and (other := spelled_otherwise(path)):
        raise PandacatError(f"There is no {path}: is {shell_word(other)} meant?")
    if re.match("(https?|ftp)://", path, re.IGNORECASE):
        raise PandacatError(
            f"{path} is an address, not a file: download it first, for example with "
            f"`curl -L {shell_word(path)} | pandacat predict -`."
        )
    if path.startswith(SCHEME):
        raise PandacatError(
            f"{path} is in object storage: `pandacat score {shell_word(path)} --to scores` reads "
            "photos there."
        )
    if path == STANDARD_INPUT and sys.stdin.isatty():
        raise PandacatError(
            "- is standard input: send it a photo, as in `pandacat predict - < photo.jpg`."
        )


def _files(path: str, passed_over: list[str]) -> list[str]:
    try:
        found = find(Path(path))
        if found and found.is_dir():
            return [str(file) for file in _photos_below(found, passed_over)]
        if found:
            return [path if Path(path).exists() else str(found)]
        matching = sorted(glob(path, recursive=True))  # noqa: PTH207
        return [match for match in matching if not Path(match).is_dir()] or [path]
    except OSError:  # reading it says why
        return [path]


def _photos_below(top: Path, passed_over: list[str]) -> list[Path]:
    """Return the photos below a folder, sorted, and the folders that can't be opened."""
    closed: list[OSError] = []
    photos = []
    for file in files_below(top, closed.append):
        if not (file.is_file() or not file.exists()):
            continue  # a pipe or a device
        kind = kind_of(file.name, partial(_head, file))
        if kind == "photos":
            photos.append(file)
        elif kind in PASSED_OVER:
            passed_over.append(str(file))
    return sorted(photos) + [Path(error.filename) for error in closed]


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(HEAD_BYTES)
    except OSError:
        return b""


@contextmanager
def _open_zip(archive: str, encoding: str | None) -> Iterator[Reader]:
    with ExitStack() as opened:
        try:
            reader = opened.enter_context(open_archive(Path(archive), encoding))
        except PandacatError as error:
            text = str(error)
            raise PandacatError(text if archive in text else f"{archive}: {text}") from None
        if reader.note:
            print_status(f"{archive}: {reader.note}")
        yield reader


def _photos_in(reader: Reader, archive: str, passed_over: list[str]) -> Photos:
    """Return the photos in a zip, named like those in a folder; nothing is unpacked to disk."""
    kinds = reader.kinds()
    passed_over += [f"{archive}/{name}" for name, kind in kinds.items() if kind in PASSED_OVER]
    return {
        f"{archive}/{name}": partial(_unpack, reader, name)
        for name, kind in kinds.items()
        if kind == "photos"
    }


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
        raise UnreadablePhotoError(f"larger than {LARGEST_FILE_BYTES >> 20} MiB: save it as JPEG")
    return data
