"""Files that are either complete or absent, and their fingerprints."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pandacat.errors import PandacatError


@contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write a file or folder to; rename it to `target` at the end.

    When the block raises, what was written aside is removed and `target` stays as it was.

    Raises:
        PandacatError: `target` is a folder, and what was written is a file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    remove(aside)
    try:
        yield aside
        if target.is_dir() and not aside.is_dir():
            raise PandacatError(f"{target} is a folder; give the name of a file.")
        if aside.is_dir():
            remove(target)
        aside.replace(target)
    finally:
        remove(aside)


def remove(path: Path) -> None:
    """Remove a file or a folder with all it holds; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with written_aside(target) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")


def write_json(target: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically; NaN and infinities raise `ValueError`."""
    write_text(target, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the parsed content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def sha256_of(*paths: Path) -> str:
    """Return the SHA-256 over the bytes of the files, in the order given, as 64 hex digits."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
