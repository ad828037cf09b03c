"""Zip archives of photos: import, list by label, and read files from untrusted ones.

Nothing is ever unpacked to disk: a name inside an archive is a label, never a path.
"""

import stat
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from pandacat.config.photos import folded
from pandacat.core.errors import PandacatError, printable, some_of
from pandacat.data.formats import archive_format_of
from pandacat.data.sources.entry_names import (
    encoding_note,
    entry_names,
    faults_of,
    fits,
    guess_encoding,
)
from pandacat.data.sources.photo_files import HEAD_BYTES, is_hidden, kind_of, split_of_folder
from pandacat.labels import OTHER, listed

LARGEST_FILE_BYTES = 256 << 20
"""Larger files inside an archive are not read."""

LARGEST_RATIO = 250
"""Files that unpack to more than this many times their packed size are not read..."""

HARMLESS_FILE_BYTES = 1 << 20
"""...unless they stay this small."""

IGNORED = ("unlabeled", "nested_archives", "links", "hidden", "not_photos", "documents")
"""Why files of an archive are not used."""

TOP = "(top)"
"""Stands for the top level of an archive in lists of its folders."""


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
    """Number of photos in each folder that stands for no label, most first."""
    ignored: dict[str, list[str]]
    """The names of all other files by reason.

    `hidden` are those that operating systems leave behind, or whose names begin with a dot, and
    `documents` those that belong beside photos, such as README.
    """
    splits: dict[str, str]
    """The split of each photo in a folder for one, such as `test`, if the archive has several."""
    encoding: str
    """Of the names that are not marked as UTF-8."""
    note: str
    """What is to be said about the names; may be empty."""

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of files by label, and of ignored ones by reason."""
        labels = Counter(self.photos.values())
        ignored = {reason: len(names) for reason, names in self.ignored.items()}
        return {"files": {label: labels[label] for label in self.labels}, "ignored": ignored}

    def __str__(self) -> str:
        labels = self.counts()["files"].items()
        lines = [", ".join(f"{count} {label}" for label, count in labels)]
        for reason, names in self.ignored.items():
            if names and reason != "documents":
                what = f"{len(names)} {reason.replace('_', ' ')}"
                lines.append(f"ignored: {what} ({some_of(names)})")
        if self.unlabeled:
            lines.append(f"folders without a label in params.yaml: {_summary(self.unlabeled)}")
        return "\n".join(filter(None, [*lines, self.note]))


class Reader:
    """Reads single files of one open archive, in any number of threads."""

    def __init__(
        self, opened: zipfile.ZipFile, files: Mapping[str, zipfile.ZipInfo], note: str = ""
    ) -> None:
        """Take an open zip and its files by name; `note` is to be said about the names."""
        self._zip, self._files, self.note = opened, files, note

    def kinds(self) -> dict[str, str]:
        """Return for each file, sorted by name, `photos` or what it is instead.

        That is `hidden`, `links` or what `kind_of` returns.
        """
        return {name: self._kind(name) for name in sorted(self._files)}

    def _kind(self, name: str) -> str:
        def head() -> bytes:
            try:
                with self._zip.open(self._files[name]) as stream:
                    return stream.read(HEAD_BYTES)
            except Exception:  # damaged bytes raise nearly anything
                return b""

        if any(is_hidden(part) for part in name.split("/")):
            return "hidden"
        if stat.S_ISLNK(self._files[name].external_attr >> 16):
            return "links"
        return kind_of(name, head)

    def unsupported(self) -> set[str]:
        """Return the files that are compressed by methods that Python can't unpack."""
        by_method = {info.compress_type: info for info in self._files.values()}
        methods = {method for method, info in by_method.items() if not self._is_supported(info)}
        return {name for name, info in self._files.items() if info.compress_type in methods}

    def _is_supported(self, info: zipfile.ZipInfo) -> bool:
        try:
            self._zip.open(info).close()
        except NotImplementedError:
            return False
        except Exception:  # damaged bytes raise nearly anything
            return True
        return True

    def read(self, name: str) -> bytes:
        """Return the unpacked bytes of the file `name`.

        Raises:
            EntryError: it is damaged, larger than `LARGEST_FILE_BYTES`, or compressed by more
                than `LARGEST_RATIO`, as decompression bombs are.
        """
        info = self._files[name]
        if info.file_size > LARGEST_FILE_BYTES:
            raise EntryError(f"larger than {LARGEST_FILE_BYTES >> 20} MiB: save it as JPEG")
        if info.file_size > max(HARMLESS_FILE_BYTES, LARGEST_RATIO * info.compress_size):
            raise EntryError(f"unpacks to more than {LARGEST_RATIO} times its packed size")
        try:
            with self._zip.open(info) as stream:
                content = stream.read(info.file_size + 1)
        except NotImplementedError:
            raise EntryError("compressed by an unsupported method: unpack the archive") from None
        except Exception as error:  # damaged bytes raise nearly anything
            raise EntryError(f"can't be unpacked: {str(error) or type(error).__name__}") from None
        if len(content) != info.file_size:
            raise EntryError("can't be unpacked: it is shorter than the archive states")
        return content


@contextmanager
def open_archive(archive: Path, encoding: str | None = None) -> Iterator[Reader]:
    """Open an archive to read single files of it; `encoding` as in `index_archive`.

    Raises:
        PandacatError: it is not a complete zip file, or refused as by `index_archive`.
        OSError: it is missing, a folder, or may not be read.
    """
    with open_zip(archive) as opened:
        entries = opened.infolist()
        chosen = encoding or guess_encoding(entries, {})
        note = "" if encoding and fits(entries, encoding) else encoding_note(entries, chosen)
        yield Reader(opened, _safe_files(opened, chosen), note)


def index_archive(
    archive: Path, label_of_folder: Mapping[str, str], encoding: str | None = None
) -> ArchiveIndex:
    """List the files of an archive by label, and those without one by reason.

    A file has the label of the nearest folder above it whose name stands for one, compared as
    `folded`.

    Args:
        archive: the zip file.
        label_of_folder: the label for each name of a folder, `folded`.
        encoding: of names that are not marked as UTF-8; guessed if None.

    Raises:
        PandacatError: the archive is damaged, encrypted or unsafe (names that point outside it, a
            name used twice, files that overlap), compressed by unsupported methods, or has no photo
            of a label other than `other`; or a folder that stands for a label has a hidden name.
        OSError: it is missing, a folder, or may not be read.
    """
    _require_visible(label_of_folder)
    with open_zip(archive) as opened:
        entries = opened.infolist()
        chosen = encoding or guess_encoding(entries, label_of_folder)
        reader = Reader(opened, _safe_files(opened, chosen))
        kinds, unsupported = reader.kinds(), reader.unsupported()
        doubt = encoding_note(entries, chosen)
        note = "" if encoding and fits(entries, encoding) else doubt

    @cache
    def look_up(folder: str) -> tuple[str | None, str | None]:
        parents = [folded(part) for part in folder.split("/")]
        labels = (label_of_folder.get(parent) for parent in reversed(parents))
        splits = (split_of_folder(parent) for parent in parents if parent not in label_of_folder)
        return next(filter(None, labels), None), next(filter(None, splits), None)

    photos: dict[str, str] = {}
    splits: dict[str, str] = {}
    unlabeled: Counter[str] = Counter()
    ignored: dict[str, list[str]] = {reason: [] for reason in IGNORED}
    for name, kind in kinds.items():
        folder = name.rpartition("/")[0]
        label, split = look_up(folder)
        if kind != "photos":
            ignored[kind].append(name)
        elif label is None:
            ignored["unlabeled"].append(name)
            unlabeled[folder or TOP] += 1
        else:
            photos[name] = label
            splits |= {name: split} if split else {}
    labels = (label for label in dict.fromkeys(label_of_folder.values()) if label != OTHER)
    index = ArchiveIndex(
        photos=photos,
        labels=(*labels, OTHER),
        unlabeled=dict(sorted(unlabeled.items(), key=lambda item: (-item[1], item[0]))),
        ignored=ignored,
        splits=splits if {"train"} < {*splits.values()} else {},
        encoding=chosen,
        note=note,
    )
    _require_labels(index, doubt)
    _require_supported([name for name in photos if name in unsupported], len(photos))
    return index


@contextmanager
def open_zip(archive: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip file, of which nothing is known but that it has a table of contents.

    Raises:
        PandacatError: it has not.
        OSError: it is missing, a folder, or may not be read.
    """
    if archive.exists() and not (archive.is_file() or archive.is_dir()):
        raise PandacatError(f"{archive} is neither a zip file nor a folder: give one.")
    try:
        opened = zipfile.ZipFile(archive)
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:  # damaged bytes raise nearly anything
        with archive.open("rb") as stream:
            packed = archive_format_of(stream.read(1 << 10), archive.name)
        if packed not in (None, "zip"):
            raise PandacatError(
                f"{archive} is an archive, but no zip ({packed}): unpack it and give the folder."
            ) from None
        raise PandacatError(
            f"{archive} is not a zip file, or incomplete ({error}): get it again, or give a "
            "folder; `dvc repro` restores the pipeline's own."
        ) from None
    with opened:
        yield opened


def _safe_files(opened: zipfile.ZipFile, encoding: str) -> dict[str, zipfile.ZipInfo]:
    """Return the files of an archive by the names of `entry_names`."""

    def reject(reason: str, step: str = "unpack it") -> NoReturn:
        raise PandacatError(
            f"the archive is refused: {reason}. If you trust it, {step} and give the folder "
            "instead."
        )

    files: dict[str, zipfile.ZipInfo] = {}
    entries = opened.infolist()
    names = entry_names(entries, encoding)
    if faults := faults_of(name for name in names if not name.endswith("/")):
        reject(faults, "unpack it, rename what still has such a name,")
    for name, info in zip(names, entries, strict=True):
        if name.endswith("/"):
            continue
        if name in files:
            reject(f"it holds two files named {name!r}")
        if info.flag_bits & 0x1:
            reject(f"{name!r} is encrypted")
        files[name] = info
    by_offset = sorted(files.items(), key=lambda file: file[1].header_offset)
    for (name, info), (following, next_info) in pairwise(by_offset):
        if info.header_offset + info.compress_size > next_info.header_offset:
            reject(f"{name!r} and {following!r} overlap")
    return files


def _require_visible(folders: Iterable[str]) -> None:
    """Refuse names of folders whose photos are never read."""
    if hidden := [folder for folder in folders if is_hidden(folder)]:
        raise PandacatError(
            f"Photos in folders named {some_of(hidden)} are not read, as systems hide copies and "
            "deleted files there: rename the folders, in params.yaml, too."
        )


def _require_labels(index: ArchiveIndex, doubt: str) -> None:
    """Refuse an archive without photos of an in-distribution label.

    Its folders are named, and `doubt` is said about how.
    """
    labels = {*index.photos.values(), OTHER}
    missing = [label for label in index.labels if label not in labels]
    if not missing:
        return
    folders = Counter(index.unlabeled)
    folders.update(name.rpartition("/")[0] for name in index.photos)
    nested = len(index.ignored["nested_archives"])
    unopened = f"Archives inside it ({nested}) are not opened: unpack them first." * bool(nested)
    if not folders:
        held = {why.replace("_", " "): len(names) for why, names in index.ignored.items() if names}
        raise PandacatError(
            f"the archive holds no photos, but {_summary(held) or 'nothing'}. "
            + (unopened or "Give one that has photos in folders named by their labels.")
        )
    parameters = " and ".join(f"labels.{label}.folders" for label in missing)
    raise PandacatError(
        f"the archive has no photos of {listed(missing, 'and')}; its folders are "
        f"{_summary(folders)}. "
        + f"{unopened} ".lstrip()
        + f"{doubt} ".lstrip()
        + f"Add the names of the right folders to {parameters} in params.yaml, or put the photos "
        "into folders that have such names."
    )


def _require_supported(unsupported: Sequence[str], count: int) -> None:
    """Refuse an archive most photos of which can't be unpacked; of others, they are left out."""
    if 2 * len(unsupported) > count:
        raise PandacatError(
            f"{len(unsupported)} of {count} photos in the archive are compressed by a method that "
            f"Python does not support, such as Deflate64 ({some_of(unsupported)}): unpack it and "
            "give the folder instead."
        )


def _summary(folders: Mapping[str, int], most: int = 10) -> str:
    shown = ", ".join(f"{printable(folder)} ({n})" for folder, n in list(folders.items())[:most])
    return f"{shown} and {len(folders) - most} more" if len(folders) > most else shown
