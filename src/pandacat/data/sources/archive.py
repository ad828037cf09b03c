"""Zip archives of photos: import, list by label, and read files from untrusted ones.

Nothing is ever unpacked to disk: a name inside an archive is a label, never a path.
"""

import os
import re
import shutil
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from pandacat.config.photos import folded
from pandacat.core.errors import PandacatError
from pandacat.core.files import atomic_write
from pandacat.labels import OTHER, listed

LARGEST_FILE_BYTES = 256 << 20
"""Larger files inside an archive are not read."""

LARGEST_RATIO = 250
"""Files that unpack to more than this many times their packed size are not read..."""

HARMLESS_FILE_BYTES = 1 << 20
"""...unless they stay this small."""

TOP = "(top)"
"""Stands for the top level of an archive in lists of its folders."""

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every file in the archives that are written here: the earliest of a ZIP."""

_NESTED_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_SYSTEM_FILES = frozenset({"__macosx", "thumbs.db", "desktop.ini", "icon\r"})
_OUTSIDE = re.compile(r"^$|^[/\\]|^[A-Za-z]:[/\\]|(^|[/\\])\.\.([/\\]|$)")
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")


class EntryError(Exception):
    """One file of an archive can't be read; the text is the reason. The others may be fine."""


@dataclass(frozen=True)
class ArchiveIndex:
    """The files of an archive."""

    photos: dict[str, str]
    """The label of each file in a folder that stands for one, by its name there, sorted."""
    labels: tuple[str, ...]
    """Those that photos may have, `other` last."""
    unlabeled: dict[str, int]
    """Number of files in each folder that stands for no label, most first."""
    ignored: dict[str, int]
    """Number of all other files by reason.

    `hidden` are those that operating systems leave behind, or whose names begin with a dot.
    """

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of files by label, and of ignored ones by reason."""
        labels = Counter(self.photos.values())
        return {"files": {label: labels[label] for label in self.labels}, "ignored": self.ignored}

    def __str__(self) -> str:
        labels = self.counts()["files"].items()
        lines = [", ".join(f"{count} {label}" for label, count in labels)]
        for reason, count in self.ignored.items():
            if count:
                lines.append(f"ignored: {count} {reason.replace('_', ' ')}")
        if self.unlabeled:
            lines.append(f"folders without a label in params.yaml: {_summary(self.unlabeled)}")
        return "\n".join(lines)


class Reader:
    """Reads single files of one open archive, in any number of threads."""

    def __init__(self, opened: zipfile.ZipFile) -> None:
        self._zip = opened

    def names(self) -> list[str]:
        """Return the names of all files, sorted; refuse an archive as `index_archive` does."""
        return sorted(info.filename for info in _safe_files(self._zip))

    def read(self, name: str) -> bytes:
        """Return the unpacked bytes of the file `name`.

        Raises:
            EntryError: it is damaged, larger than `LARGEST_FILE_BYTES`, or compressed by more
                than `LARGEST_RATIO`, as decompression bombs are.
        """
        info = self._zip.getinfo(name)
        if info.file_size > LARGEST_FILE_BYTES:
            raise EntryError(f"larger than {LARGEST_FILE_BYTES >> 20} MiB")
        if info.file_size > max(HARMLESS_FILE_BYTES, LARGEST_RATIO * info.compress_size):
            raise EntryError(f"unpacks to more than {LARGEST_RATIO} times its packed size")
        try:
            with self._zip.open(info) as stream:
                content = stream.read(info.file_size + 1)
        except Exception as error:  # damaged bytes raise nearly anything
            raise EntryError(f"can't be unpacked: {str(error) or type(error).__name__}") from None
        if len(content) != info.file_size:
            raise EntryError("can't be unpacked: it is shorter than the archive states")
        return content


@contextmanager
def open_archive(archive: Path) -> Iterator[Reader]:
    """Open an archive to read single files of it.

    Raises:
        PandacatError: it is not a complete zip file.
        OSError: it is missing, a folder, or may not be read.
    """
    with _open_zip(archive) as opened:
        yield Reader(opened)


def index_archive(archive: Path, label_of_folder: Mapping[str, str]) -> ArchiveIndex:
    """List the files of an archive by label, and those without one by reason.

    A file has the label of the nearest folder above it whose name stands for one. Upper and lower
    case, and the two ways to write an accented letter in Unicode, are the same.

    Args:
        archive: the zip file.
        label_of_folder: the label for each name of a folder, `folded`.

    Raises:
        PandacatError: the archive is damaged, encrypted or unsafe (names that point outside it, a
            name used twice, files that overlap), or has no photo of a label other than `other`.
        OSError: it is missing, a folder, or may not be read.
    """
    with _open_zip(archive) as opened:
        files = _safe_files(opened)

    @cache
    def look_up(folder: str) -> tuple[str | None, bool]:
        parents = [part for part in folder.split("/") if part != "."]
        labels = (label_of_folder.get(folded(parent)) for parent in reversed(parents))
        return next(filter(None, labels), None), any(map(_is_hidden, parents))

    photos: dict[str, str] = {}
    unlabeled: Counter[str] = Counter()
    ignored = {"unlabeled": 0, "nested_archives": 0, "links": 0, "hidden": 0}
    for info in files:
        folder, name = _folder_and_name(info.filename)
        label, in_hidden_folder = look_up(folder)
        if in_hidden_folder or _is_hidden(name):
            ignored["hidden"] += 1
        elif stat.S_ISLNK(info.external_attr >> 16):
            ignored["links"] += 1
        elif name.lower().endswith(_NESTED_ARCHIVES):
            ignored["nested_archives"] += 1
        elif label is None:
            ignored["unlabeled"] += 1
            unlabeled[folder or TOP] += 1
        else:
            photos[info.filename] = label
    labels = (label for label in dict.fromkeys(label_of_folder.values()) if label != OTHER)
    index = ArchiveIndex(
        photos=dict(sorted(photos.items())),
        labels=(*labels, OTHER),
        unlabeled=dict(sorted(unlabeled.items(), key=lambda item: (-item[1], item[0]))),
        ignored=ignored,
    )
    _require_labels(index)
    return index


def find_archive(given: str, parameter: str) -> Path:
    """Return the path of the zip or folder `given` as the value of a parameter.

    A relative path counts from the current folder or, in a queued experiment, which runs in a
    copy of the project, from the project itself.

    Raises:
        PandacatError: there is nothing.
    """
    path = os.path.expanduser(given)  # noqa: PTH111 raises where there is no such user
    for start in (Path(), Path(os.environ.get("DVC_ROOT", ""))):
        if (start / path).exists():
            return start / path
    advice = "download it, and give the file's path" if "://" in given else "check the path"
    raise PandacatError(
        f"{parameter} in params.yaml: there is no file or folder {given!r}: {advice}."
    )


def import_archive(source: Path, archive: Path) -> None:
    """Copy a zip as it is, or pack a folder, to `archive`, atomically.

    The bytes of a packed folder depend only on the names and contents of its files. Hidden files
    and symbolic links are left out.

    Raises:
        PandacatError: it is neither a folder with files nor a complete zip file.
        OSError: it, or something in it, may not be read.
    """
    if source.is_dir():
        files = _files_below(source)
        with atomic_write(archive) as aside, zipfile.ZipFile(aside, "w") as packed:
            for name, path in sorted(files.items()):
                info = zipfile.ZipInfo(name, EPOCH)
                info.file_size = path.stat().st_size
                try:
                    with path.open("rb") as content, packed.open(info, "w") as target:
                        shutil.copyfileobj(content, target, 1 << 20)
                except UnicodeEncodeError:
                    raise PandacatError(
                        f"{name!r} is not a valid UTF-8 file name: rename it."
                    ) from None
    else:
        with _open_zip(source), atomic_write(archive) as aside:
            shutil.copyfile(source, aside)


def _files_below(folder: Path) -> dict[str, Path]:
    """Return the visible regular files below `folder` by their relative POSIX names."""

    def stop(error: OSError) -> NoReturn:
        raise error

    files, links = {}, 0
    for top, folders, names in os.walk(folder, onerror=stop):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        for path in (Path(top, name) for name in (*folders, *names) if not _is_hidden(name)):
            if path.is_symlink():
                links += 1
            elif path.is_file():
                files[path.relative_to(folder).as_posix()] = path
    if not files:
        raise PandacatError(f"{folder} holds no files; one sub-folder per label is needed.")
    if links:
        print(f"{links} symbolic links in {folder} are not followed; copy their files if needed.")
    return files


@contextmanager
def _open_zip(archive: Path) -> Iterator[zipfile.ZipFile]:
    if archive.exists() and not (archive.is_file() or archive.is_dir()):
        raise PandacatError(f"{archive} is neither a zip file nor a folder.")
    try:
        opened = zipfile.ZipFile(archive)
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:  # damaged bytes raise nearly anything
        raise PandacatError(
            f"{archive} is not a zip file, or incomplete ({error}): get it again, or give a "
            "folder; `dvc repro` restores the pipeline's own."
        ) from None
    with opened:
        yield opened


def _safe_files(opened: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    def reject(reason: str) -> NoReturn:
        raise PandacatError(
            f"the archive is refused: {reason}. If you trust it, unpack it and give the folder "
            "instead."
        )

    files = [info for info in opened.infolist() if not info.filename.endswith(("/", "\\"))]
    names: set[str] = set()
    for info in files:
        name = info.filename
        if _OUTSIDE.search(name):
            reject(f"the name {name!r} points outside it")
        if _CONTROL_CHARACTERS.search(name) and not _is_hidden(_folder_and_name(name)[1]):
            reject(f"the name {name!r} has control characters")
        if name in names:
            reject(f"it holds two files named {name!r}")
        if info.flag_bits & 0x1:
            reject(f"{name!r} is encrypted")
        names.add(name)
    for one, following in pairwise(sorted(files, key=lambda info: info.header_offset)):
        if one.header_offset + one.compress_size > following.header_offset:
            reject(f"{one.filename!r} and {following.filename!r} overlap")
    return files


def _require_labels(index: ArchiveIndex) -> None:
    """Refuse an archive without photos of an in-distribution label; name its folders."""
    labels = {*index.photos.values(), OTHER}
    missing = [label for label in index.labels if label not in labels]
    if not missing:
        return
    folders = Counter(index.unlabeled)
    folders.update(_folder_and_name(name)[0] for name in index.photos)
    nested = index.ignored["nested_archives"]
    parameters = " and ".join(f"labels.{label}.folders" for label in missing)
    raise PandacatError(
        f"the archive has no photos of {listed(missing, 'and')}; "
        + (f"its folders are {_summary(folders)}. " if folders else "it has no files. ")
        + (f"Archives inside it ({nested}) are not opened: unpack them first. " if nested else "")
        + f"Add the names of the right folders to {parameters} in params.yaml, or put the photos "
        "into folders that have such names."
    )


def _folder_and_name(name: str) -> tuple[str, str]:
    """Split a file's name; archives from Windows may separate folders by backslashes."""
    folder, _, last = name.replace("\\", "/").rpartition("/")
    return folder, last


def _summary(folders: Mapping[str, int], most: int = 10) -> str:
    shown = ", ".join(f"{folder} ({count})" for folder, count in list(folders.items())[:most])
    return f"{shown} and {len(folders) - most} more" if len(folders) > most else shown


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM_FILES
