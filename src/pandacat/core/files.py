"""Files that are either complete or absent, and their hashes."""

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pandacat.core.errors import PandacatError


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write a file or folder to; rename it to `target` at the end.

    If the block raises, the temporary file or folder is removed and `target` stays as it was. That
    of a killed process is removed by the next one that writes `target`. A device or a pipe, such as
    `/dev/stdout`, is yielded itself.

    Raises:
        PandacatError: `target` is a folder, and what was written is a file; or it has no name.
    """
    if is_device(target):
        yield target
        return
    if not target.name:
        raise PandacatError(f"{str(target)!r} is not the name of a file: give one.")
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    temporary, old = _beside(target), _beside(_beside(target))
    remove(temporary)
    try:
        yield temporary
        if target.is_dir() and not temporary.is_dir():
            raise PandacatError(f"{target} is a folder; give the name of a file.")
        if target.exists() and temporary.is_dir():  # a folder is not replaced by a rename
            target.replace(old)
        temporary.replace(target)
    finally:
        if old.exists() and not target.exists():
            old.replace(target)
        remove(temporary)
        remove(old)


def is_device(path: Path) -> bool:
    """Return whether it is written to but never replaced, such as a pipe or `/dev/stdout`."""
    there = path.exists() and not (path.is_file() or path.is_dir())
    return there or path.parent == Path("/dev")  # whose links may lead to a file


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def remove_leftovers(target: Path) -> None:
    """Remove the temporary files that killed processes left beside `target`."""
    temporary = re.compile(rf"\.+{re.escape(target.name)}(\.(?P<process>\d+)\.part)+")
    for path in target.parent.glob(".*.part"):
        found = temporary.fullmatch(path.name)
        if found and not _is_running(int(found["process"])):
            remove(path)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # where signal 0 would end the process instead of asking for it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def remove(path: Path) -> None:
    """Remove a file or a folder with all it holds; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_write(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


CSV_END = "\r\n"
"""What `CsvFile` expects at the end of a row."""


class CsvFile(io.TextIOWrapper):
    r"""Takes rows of Python's csv module, and writes them with "\n" at their ends.

    Of the characters at which readers break lines, the module quotes only those that it ends rows
    with itself.
    """

    def write(self, row: str) -> int:
        """Write a row that ends with `CSV_END`."""
        return super().write(f"{row.removesuffix(CSV_END)}\n")


def write_json(target: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically; NaN and infinities raise `ValueError`."""
    write_text(target, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the parsed content of a JSON file.

    Raises:
        PandacatError: it is not JSON.
    """
    with reading(path):
        return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a library raises for a file's content into one error.

    Raises:
        PandacatError: the file is damaged.
        OSError: it is missing, or can't be opened.
    """
    path.stat()
    try:
        yield
    except (ValueError, KeyError, TypeError, EOFError, RecursionError, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # the file can't be read at all
            raise
        raise PandacatError(f"{path} is damaged: `dvc repro` writes it again.") from None


def sha256_of(*paths: Path) -> str:
    """Return the SHA-256 over the bytes of the files, in the order given, as 64 hex digits."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
