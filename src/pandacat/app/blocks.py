"""Scores on disk: a folder of Parquet files, each a block of photos, and what they are scores of.

It is all that is known of work that was stopped: what has no row in a block is scored next.
"""

import json
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from pandacat.app.output import output_folder
from pandacat.core.errors import PandacatError
from pandacat.core.files import atomic_write, remove_leftovers, write_json

MANIFEST = "_manifest.json"
"""Readers of folders of Parquet files ignore names that begin with `_` or `.`."""

_LOCK = ".lock"
_BLOCK = re.compile(r"block-(\d{6,})\.parquet")
_PARTS = {
    "model": "model",
    "sources": "source",
    "block_photos": "version of pandacat",
    "encoding": "encoding of names",
}
"""Of a manifest, by how messages call them."""

Row = dict[str, Any]
"""A photo's values in the columns of a block."""


class OtherScoresError(PandacatError):
    """The folder holds the scores of another model or source."""


@dataclass(frozen=True)
class Manifest:
    """What a folder of scores belongs to."""

    model: dict[str, Any]
    """The SHA-256 of its weights, and its description, in which its labels are."""
    sources: dict[str, str]
    """The absolute path of each source, by the path as it was given."""
    block_photos: int
    """Photos in a block at most."""
    encoding: str | None
    """Of names in zips, where it was given."""


@dataclass(frozen=True)
class Finished:
    """What the blocks of a folder hold."""

    numbers: frozenset[int]
    paths: Counter[str]
    """How many rows there are for each path, as `as_text` writes it."""
    unreadable: int


def as_text(path: str) -> str:
    """Return a path in valid UTF-8; the bytes of a name that is not have escapes (`\\udce9`)."""
    return path.encode("utf-8", "backslashreplace").decode()


def schema_of(labels: Sequence[str]) -> pa.Schema:
    """Return the columns of a block; what does not apply to a photo is null."""
    texts = pa.list_(pa.string())
    return pa.schema(
        [
            *(("path", pa.string()), ("label", pa.string())),
            *((f"p_{label}", pa.float64()) for label in labels),
            *(("prediction_set", texts), ("sha256", pa.string())),
            *(("reason", pa.string()), ("notes", texts)),
        ]
    )


@contextmanager
def open_scores(folder: Path, manifest: Manifest) -> Iterator[Finished]:
    """Begin or go on with a folder of scores, which no other process writes to meanwhile.

    Raises:
        OtherScoresError: it was begun with another manifest.
        PandacatError: it can't be used, another process is writing to it, or a block is damaged.
    """
    path, content = folder / MANIFEST, json.loads(json.dumps(asdict(manifest)))
    if not path.exists():
        check_folder(folder)
        write_json(path, content)
    try:
        with FileLock(folder / _LOCK, timeout=0):
            _require_same(folder, _read(path), content)
            yield _finished(folder)
    except Timeout:
        raise PandacatError(
            f"Another `pandacat score` is writing to {folder}: wait until it ends, or stop it."
        ) from None


def check_folder(folder: Path) -> None:
    """Refuse a place where scores can't go.

    Raises:
        PandacatError: as for `output_folder`, unless the folder was begun.
    """
    path = folder / MANIFEST
    if not path.exists():
        remove_leftovers(path)
        output_folder("--to", folder)


def write_blocks(
    folder: Path, rows: Iterable[Row], schema: pa.Schema, *, size: int, used: Container[int]
) -> Iterator[list[Row]]:
    """Write rows to blocks of `size`, each atomically; yield each block when it is there.

    They get the lowest numbers that are not `used`.
    """
    waiting = iter(rows)
    numbers = (number for number in count() if number not in used)
    while block := list(islice(waiting, size)):
        with atomic_write(folder / f"block-{next(numbers):06d}.parquet") as temporary:
            pq.write_table(pa.Table.from_pylist(block, schema), temporary)
        yield block


def _read(manifest: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(manifest.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        return {}


def _require_same(folder: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for part, name in _PARTS.items():
        if found.get(part) != wanted[part]:
            raise OtherScoresError(
                f"--to {folder} holds the scores of another {name}, as its {MANIFEST} says: give "
                "the name of a new folder."
            )


def _finished(folder: Path) -> Finished:
    numbers: set[int] = set()
    paths: Counter[str] = Counter()
    unreadable = 0
    for path in folder.iterdir():
        if not (matched := _BLOCK.fullmatch(path.name)):
            continue
        try:
            with pq.ParquetFile(path) as file:
                block = file.read(["path", "reason"])
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno:  # it can't be read at all
                raise
            raise PandacatError(
                f"{path} is damaged: remove it; the same command scores its photos again."
            ) from None
        numbers.add(int(matched[1]))
        paths.update(block["path"].to_pylist())
        unreadable += len(block) - block["reason"].null_count
    return Finished(frozenset(numbers), paths, unreadable)
