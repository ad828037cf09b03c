"""Find the zip or folder that a parameter names, and copy or pack it."""

import os
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError
from pandacat.core.files import atomic_write
from pandacat.core.names import find, spelled_otherwise
from pandacat.core.paths import project_root
from pandacat.data.sources.entry_names import faults_of
from pandacat.data.sources.photo_files import files_below, hidden_below
from pandacat.data.sources.zip_files import open_zip

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every file in the archives that are written here: the earliest of a ZIP."""


def find_archive(given: str, parameter: str) -> Path:
    """Return the path of the zip or folder `given` as the value of a parameter.

    A relative path counts from the current folder or, in a queued experiment, which runs in a
    copy of the project, from the project itself.

    Raises:
        PandacatError: there is nothing.
    """
    path = os.path.expanduser(given)  # noqa: PTH111 raises where there is no such user
    starts = (Path(), project_root())
    if found := next(filter(None, (find(start / path) for start in starts)), None):
        return found
    advice = "check the path"
    if other := spelled_otherwise(path):
        advice = f"is {other!r} meant? Write that into params.yaml"
    elif "://" in given:
        advice = "download it, and give the file's path"
    elif longer := next((name for start in starts for name in _longer(start / path)), None):
        advice = (
            f"is {longer!r} meant? `-S` cuts paths at commas and reads other punctuation its own "
            "way; write the path into params.yaml"
        )
    raise PandacatError(
        f"{parameter} in params.yaml: there is no file or folder {given!r}: {advice}."
    )


def _longer(path: Path) -> list[str]:
    """Return the names beside a path that begin or end like it."""
    with suppress(OSError):
        names = sorted(each.name for each in path.parent.iterdir())
        return [name for name in names if path.name and name.startswith(path.name)]
    return []


def import_archive(source: Path, archive: Path) -> list[str]:
    """Copy a zip as it is, or pack a folder, to `archive`, atomically; return what is left out.

    The bytes of a packed folder depend only on the names and contents of its files. Hidden files
    are left out, links followed.

    Raises:
        PandacatError: it is neither a folder with files nor a complete zip file.
        OSError: it, or something in it, may not be read.
    """
    if source.is_dir():
        files = _files_to_pack(source)
        with atomic_write(archive) as aside, zipfile.ZipFile(aside, "w") as packed:
            for name, path in sorted(files.items()):
                info = zipfile.ZipInfo(name, EPOCH)
                info.file_size = path.stat().st_size
                with path.open("rb") as content, packed.open(info, "w") as target:
                    shutil.copyfileobj(content, target, 1 << 20)
        return hidden_below(source)
    with open_zip(source), atomic_write(archive) as aside:
        shutil.copyfile(source, aside)
    return []


def _files_to_pack(folder: Path) -> dict[str, Path]:
    """Return the visible regular files below `folder` by their relative POSIX names."""

    def stop(error: OSError) -> NoReturn:
        raise error

    paths = list(files_below(folder, stop))
    broken = [path for path in paths if path.is_symlink() and not path.exists()]
    files = {path.relative_to(folder).as_posix(): path for path in paths if path.is_file()}
    if faults := faults_of(files):
        raise PandacatError(f"{folder} can't be packed: {faults}. Rename them.")
    lost = f"links that lead nowhere: {len(broken)}, such as {broken[0]}" if broken else ""
    if not files:
        raise PandacatError(
            f"{folder} holds no files{f' ({lost})' * bool(lost)}; one sub-folder per label is "
            "needed."
        )
    if lost:
        print_status(f"Left out of {folder}, {lost}")
    return files
