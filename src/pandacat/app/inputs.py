"""Which photos paths, folders and patterns stand for, and their bytes."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from glob import glob
from itertools import islice
from pathlib import Path

from pandacat.core.errors import PandacatError
from pandacat.data.images import UnreadablePhotoError
from pandacat.data.sources.archive import LARGEST_FILE_BYTES

PHOTO_ENDINGS = {
    *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic"),
    *(".heif", ".avif", ".ppm"),
}
"""What is read from a folder; a file that is named is read whatever its ending."""


def find_photos(paths: Sequence[str]) -> list[str]:
    """Return the files that the paths stand for: themselves, all photos in folders, patterns.

    A missing file, or a folder that can't be opened, is returned as well, so that it gets its line.
    Each file is returned once. Hidden files, hidden folders and links to folders are left out.

    Raises:
        PandacatError: only empty folders were given, or an empty name.
    """
    if "" in paths:
        raise PandacatError("One of the paths is empty: name a photo, a folder or a pattern.")
    found: dict[str, str] = {}
    for path in paths:
        try:
            matches = _matches(path)
        except OSError:  # reading it says why
            matches = [path]
        for match in matches:
            found.setdefault(os.path.abspath(match), match)  # noqa: PTH100, which keeps `..`
    if not found:
        raise PandacatError(
            f"No photos in {', '.join(paths)}: name the folder they are in, or the files, whatever "
            "their ending."
        )
    return list(found.values())


def _matches(path: str) -> list[str]:
    if Path(path).is_dir():
        return [str(file) for file in sorted(_photos_below(Path(path)))]
    if Path(path).exists():
        return [path]
    matching = sorted(glob(path, recursive=True))  # noqa: PTH207
    return [match for match in matching if not Path(match).is_dir()] or [path]


def _photos_below(top: Path) -> Iterator[Path]:
    """Yield the photos below a folder, and the folders that can't be opened."""
    closed: list[OSError] = []
    for folder, folders, names in os.walk(top, onerror=closed.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in (Path(folder, name) for name in names if not name.startswith(".")):
            if file.suffix.lower() in PHOTO_ENDINGS and (file.is_file() or not file.exists()):
                yield file
    yield from (Path(error.filename) for error in closed)


def read_file(path: str) -> bytes:
    """Return the bytes of a photo.

    Raises:
        UnreadablePhotoError: it is larger than any photo, or endless; or it is a named pipe, to
            which nothing may ever be written.
    """
    if Path(path).is_fifo() and not path.startswith("/dev/"):
        raise UnreadablePhotoError("a named pipe: give a file")
    with Path(path).open("rb") as stream:
        blocks = iter(partial(stream.read, 1 << 20), b"")
        data = b"".join(islice(blocks, (LARGEST_FILE_BYTES >> 20) + 1))
    if len(data) > LARGEST_FILE_BYTES:
        raise UnreadablePhotoError(f"larger than {LARGEST_FILE_BYTES >> 20} MiB")
    return data
