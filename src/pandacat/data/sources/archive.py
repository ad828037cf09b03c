"""One archive of photos, whoever made it: taken in, listed by label, read with care.

Nothing is ever unpacked to disk: a name inside an archive is a label, never a path.
"""

import lzma
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from pandacat.config.photos import folded
from pandacat.core.errors import PandacatError
from pandacat.core.files import atomic_write
from pandacat.labels import OTHER

LARGEST_FILE_BYTES = 256 << 20
"""Larger files inside an archive are not read."""

LARGEST_RATIO = 250
"""Files that unpack to more than so many times their packed size are not read..."""

HARMLESS_FILE_BYTES = 1 << 20
"""...unless they stay this small."""

TOP = "(top)"
"""What the place above all folders is called."""

_PACKED_DATE = (1980, 1, 1, 0, 0, 0)
_NESTED_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_SYSTEM_FILES = frozenset({"__macosx", "thumbs.db", "desktop.ini", "icon\r"})
_LEADS_OUT = re.compile(r"^$|^[/\\]|^[A-Za-z]:[/\\]|(^|[/\\])\.\.([/\\]|$)")
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    MemoryError,
    NotImplementedError,
    OSError,
    ValueError,
)
"""All that `zipfile` raises for bytes that are not as they should be."""


class EntryError(Exception):
    """One file of an archive can't be read; the text is the reason. The others may be fine."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in a folder that stands for a label."""

    name: str
    """As in the archive; unique there."""
    label: str
    size_bytes: int
    """Unpacked, as the archive says."""


@dataclass(frozen=True)
class ArchiveIndex:
    """All that an archive holds."""

    photos: tuple[Entry, ...]
    """Sorted by name."""
    labels: tuple[str, ...]
    """Those that photos may have, `other` last."""
    unlabeled: dict[str, int]
    """How many files lie in each folder that stands for no label; most first."""
    nested_archives: int
    links: int
    hidden: int
    """Files that operating systems leave behind, or whose names begin with a dot."""

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of files by label, and of the others by the reason to ignore them."""
        labels = Counter(entry.label for entry in self.photos)
        return {
            "files": {label: labels[label] for label in self.labels},
            "ignored": {
                "unlabeled": sum(self.unlabeled.values()),
                "nested_archives": self.nested_archives,
                "links": self.links,
                "hidden": self.hidden,
            },
        }

    def __str__(self) -> str:
        counts = self.counts()
        lines = [", ".join(f"{count} {label}" for label, count in counts["files"].items())]
        ignored = {reason: count for reason, count in counts["ignored"].items() if count}
        for reason, count in ignored.items():
            lines.append(f"ignored: {count} {reason.replace('_', ' ')}")
        if self.unlabeled:
            lines.append(f"folders without a label in params.yaml: {_listed(self.unlabeled)}")
        return "\n".join(lines)


class Reader:
    """Reads single files of one open archive, for any number of threads."""

    def __init__(self, opened: zipfile.ZipFile) -> None:
        self._zip = opened

    def photos(self, label_of_folder: Mapping[str, str]) -> tuple[Entry, ...]:
        """Return the labeled files, sorted by name; raises as `index_archive` does."""
        return _index(self._zip, label_of_folder).photos

    def read(self, name: str) -> bytes:
        """Return the unpacked bytes of the file `name`.

        Raises:
            EntryError: it is damaged, larger than `LARGEST_FILE_BYTES`, or packed more tightly
                than `LARGEST_RATIO`, as only traps are.
        """
        info = self._zip.getinfo(name)
        if info.file_size > LARGEST_FILE_BYTES:
            raise EntryError(f"larger than {LARGEST_FILE_BYTES >> 20} MiB")
        if info.file_size > max(HARMLESS_FILE_BYTES, LARGEST_RATIO * info.compress_size):
            raise EntryError(f"unpacks to more than {LARGEST_RATIO} times its packed size")
        try:
            with self._zip.open(info) as stream:
                content = stream.read(info.file_size + 1)
        except _DAMAGE as error:
            raise EntryError(f"can't be unpacked: {str(error) or type(error).__name__}") from None
        if len(content) != info.file_size:
            raise EntryError("can't be unpacked: it is shorter than the archive says")
        return content


@contextmanager
def open_archive(archive: Path) -> Iterator[Reader]:
    """Open an archive to read single files of it.

    Raises:
        PandacatError: there is no such file, or it is no whole zip.
    """
    with _opened(archive) as opened:
        yield Reader(opened)


def index_archive(archive: Path, label_of_folder: Mapping[str, str]) -> ArchiveIndex:
    """Sort the files of an archive by label, and those without one by reason.

    `label_of_folder` gives the label for each name of a folder, `folded`.

    A file has the label of the nearest folder above it whose name stands for one. Upper and lower
    case, and the two ways to write an accented letter in Unicode, are the same.

    Raises:
        PandacatError: the archive is missing, damaged, encrypted or deceitful (names that lead
            out of it, a name used twice, files that share their bytes), or lacks a needed label.
    """
    with _opened(archive) as opened:
        return _index(opened, label_of_folder)


def _index(opened: zipfile.ZipFile, label_of_folder: Mapping[str, str]) -> ArchiveIndex:
    files = [info for info in opened.infolist() if not info.filename.endswith(("/", "\\"))]
    _refuse_deceit(files)

    @cache
    def look_up(folder: str) -> tuple[str | None, bool]:
        parents = _parts(folder)
        labels = (label_of_folder.get(folded(parent)) for parent in reversed(parents))
        return next(filter(None, labels), None), any(map(_is_hidden, parents))

    photos: list[Entry] = []
    unlabeled: Counter[str] = Counter()
    nested_archives = links = hidden = 0
    for info in files:
        folder, name = _folder_and_name(info.filename)
        label, in_hidden_folder = look_up(folder)
        if in_hidden_folder or _is_hidden(name):
            hidden += 1
        elif stat.S_ISLNK(info.external_attr >> 16):
            links += 1
        elif name.lower().endswith(_NESTED_ARCHIVES):
            nested_archives += 1
        elif label is None:
            unlabeled[folder or TOP] += 1
        else:
            photos.append(Entry(info.filename, label, info.file_size))
    found = ArchiveIndex(
        photos=tuple(sorted(photos, key=lambda entry: entry.name)),
        labels=(
            *(label for label in dict.fromkeys(label_of_folder.values()) if label != OTHER),
            OTHER,
        ),
        unlabeled=dict(sorted(unlabeled.items(), key=lambda item: (-item[1], item[0]))),
        nested_archives=nested_archives,
        links=links,
        hidden=hidden,
    )
    _refuse_lack(found)
    return found


def find(given: str, key: str) -> Path:
    """Return where the zip or folder is that the parameter `key` names.

    A relative path counts from the current folder or, in a queued experiment, which runs in a copy
    of the project elsewhere, from the project itself.

    Raises:
        PandacatError: there is nothing.
    """
    path = Path(given)
    with suppress(RuntimeError):  # `~name`, where nobody has that name
        path = path.expanduser()
    for start in (Path(), Path(os.environ.get("DVC_ROOT", ""))):
        if (start / path).exists():
            return start / path
    advice = "download it, and name the file" if "://" in given else "look at the name"
    raise PandacatError(f"{key} in params.yaml: there is no file or folder {given!r}: {advice}.")


def import_archive(given: Path, archive: Path) -> None:
    """Write the user's zip as it is, or a folder packed, to `archive`, atomically.

    A packed folder's bytes depend only on the names and contents of its files. Hidden files and
    symbolic links are left out.

    Raises:
        PandacatError: it is neither a folder with files nor a whole zip.
        OSError: a folder or a file in it may not be read.
    """
    if not given.is_dir():
        with _opened(given):
            pass
        with atomic_write(archive) as aside:
            shutil.copyfile(given, aside)
        return
    files, links = _files_below(given)
    if not files:
        raise PandacatError(f"{given} holds no files; one sub-folder per class is needed.")
    if links:
        print(f"{links} symbolic links in {given} are not followed; copy their files if needed.")
    with atomic_write(archive) as aside, zipfile.ZipFile(aside, "w") as packed:
        for name, path in sorted(files.items()):
            info = zipfile.ZipInfo(name, _PACKED_DATE)
            info.file_size = path.stat().st_size
            with path.open("rb") as source, packed.open(info, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)


def _files_below(folder: Path) -> tuple[dict[str, Path], int]:
    """Return the regular files by their name below `folder`, and the number of links."""
    files, links = {}, 0
    for top, folders, names in os.walk(folder, onerror=_refuse_closed):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        for path in [Path(top, name) for name in (*folders, *names)]:
            links += path.is_symlink()
        for path in [Path(top, name) for name in names if not _is_hidden(name)]:
            if path.is_file() and not path.is_symlink():
                files[_packed_name(path.relative_to(folder))] = path
    return files, links


def _refuse_closed(error: OSError) -> None:
    """Do not go on without the files of a folder that can't be opened."""
    raise error


def _packed_name(path: Path) -> str:
    name = path.as_posix()
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise PandacatError(f"{name!r} is no valid UTF-8 file name: rename it.") from None
    return name


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    if archive.exists() and not (archive.is_file() or archive.is_dir()):
        raise PandacatError(f"{archive} is neither a zip nor a folder.")
    try:
        opened = zipfile.ZipFile(archive)
    except FileNotFoundError:
        raise PandacatError(
            f"{archive} is missing: look at its name in params.yaml, or run `dvc repro`, where it "
            "is the pipeline's own."
        ) from None
    except IsADirectoryError:
        raise PandacatError(
            f"{archive} is a folder where a zip should be: move it away, or name a zip."
        ) from None
    except PermissionError:
        raise PandacatError(f"{archive} may not be read: give yourself the right to.") from None
    except _DAMAGE as error:
        raise PandacatError(
            f"{archive} is no zip, or only a part of one ({error}): get it again, or give a "
            "folder; the pipeline's own is made anew by `dvc repro`."
        ) from None
    with opened:
        yield opened


def _refuse_deceit(files: list[zipfile.ZipInfo]) -> None:
    names: set[str] = set()
    for info in files:
        name = info.filename
        if _LEADS_OUT.search(name):
            raise _refusal(f"the name {name!r} leads out of it")
        if _CONTROL_CHARACTERS.search(name) and not _is_hidden(_folder_and_name(name)[1]):
            raise _refusal(f"the name {name!r} has control characters")
        if name in names:
            raise _refusal(f"it holds two files named {name!r}")
        if info.flag_bits & 0x1:
            raise _refusal(f"{name!r} is encrypted")
        names.add(name)
    for one, next_one in pairwise(sorted(files, key=lambda info: info.header_offset)):
        if one.header_offset + one.compress_size > next_one.header_offset:
            raise _refusal(f"{one.filename!r} and {next_one.filename!r} share their bytes")


def _refusal(reason: str) -> PandacatError:
    return PandacatError(
        f"the archive is refused: {reason}. If you trust it, unpack it, look at it, and give the "
        "folder instead."
    )


def _refuse_lack(found: ArchiveIndex) -> None:
    labels = Counter(entry.label for entry in found.photos)
    missing = [label for label in found.labels if label != OTHER and not labels[label]]
    if not missing:
        return
    folders = Counter(found.unlabeled)
    folders.update(_folder_and_name(entry.name)[0] for entry in found.photos)
    what = f"its folders with files are: {_listed(dict(folders))}" if folders else "it has no files"
    keys = " and ".join(f"labels.{label}.folders" for label in missing)
    steps = []
    if found.nested_archives:
        steps.append(f"It holds {found.nested_archives} archives, which are not opened: unpack it.")
    if set(folders) - {TOP}:
        steps.append(f"Add the names of the right folders to {keys} in params.yaml.")
    else:
        steps.append(f"Put the photos of each label in a folder that {keys} in params.yaml names.")
    raise PandacatError(
        f"the archive has no photos of {' and '.join(missing)}; {what}. {' '.join(steps)}"
    )


def _folder_and_name(name: str) -> tuple[str, str]:
    """Split a file's name; archives from Windows may separate folders by backslashes."""
    folder, _, last = name.replace("\\", "/").rpartition("/")
    return folder, last


def _listed(folders: dict[str, int], most: int = 10) -> str:
    shown = ", ".join(f"{folder} ({count})" for folder, count in list(folders.items())[:most])
    return f"{shown} and {len(folders) - most} more" if len(folders) > most else shown


def _parts(folder: str) -> list[str]:
    return [part for part in folder.split("/") if part not in ("", ".")]


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part.lower() in _SYSTEM_FILES
