"""Bytes of single files out of zips that are not trusted.

Nothing is ever unpacked to disk: a name inside an archive is a label, never a path.
"""

import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from pandacat.core.errors import PandacatError
from pandacat.data.formats import archive_format_of
from pandacat.data.sources.entry_names import (
    encoding_note,
    entry_names,
    faults_of,
    fits,
    guess_encoding,
)
from pandacat.data.sources.photo_files import HEAD_BYTES, is_hidden, kind_of

LARGEST_FILE_BYTES = 256 << 20
"""Larger files inside an archive are not read."""

LARGEST_RATIO = 250
"""Files that unpack to more than this many times their packed size are not read..."""

HARMLESS_FILE_BYTES = 1 << 20
"""...unless they stay this small."""


class EntryError(Exception):
    """One file of an archive can't be read; the text is the reason. The others may be fine."""


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
    """Open an archive to read single files of it.

    `encoding` is that of names that are not marked as UTF-8; guessed if None.

    Raises:
        PandacatError: it is not a complete zip file, or refused by `safe_files`.
        OSError: it is missing, a folder, or may not be read.
    """
    with open_zip(archive) as opened:
        entries = opened.infolist()
        chosen = encoding or guess_encoding(entries, {})
        note = "" if encoding and fits(entries, encoding) else encoding_note(entries, chosen)
        yield Reader(opened, safe_files(opened, chosen), note)


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


def safe_files(opened: zipfile.ZipFile, encoding: str) -> dict[str, zipfile.ZipInfo]:
    """Return the files of an archive by the names of `entry_names`.

    Raises:
        PandacatError: it is encrypted or unsafe: names point outside it or are used twice, or files
            overlap.
    """

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
