"""Processed photos on disk: an index of what is known of each, and shards of their JPEG bytes."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pandacat.core.files import read_json, reading, write_json
from pandacat.core.parallel import ordered_map
from pandacat.data.crops import cut_crops
from pandacat.data.images import decode_jpeg

INDEX, LABELS = "index.parquet", "labels.json"
SHARD_BYTES = 64 << 20
ROW_GROUP = 256
_SCHEMA = pa.schema([("name", pa.string()), ("jpeg", pa.binary())])
_AS_IT_IS = {"compression": "none", "use_dictionary": False, "write_statistics": False}
"""JPEG bytes are all different and can't be packed further."""


def write_shards(folder: Path, jpegs: Iterable[tuple[str, bytes]]) -> None:
    """Write (name, JPEG bytes) pairs to `shard-0000.parquet`, … of about 64 MiB each.

    Holds 256 photos in memory at a time.
    """
    pairs = iter(jpegs)
    rows = list(islice(pairs, ROW_GROUP))
    for number in count():
        if not rows:
            return
        path = folder / f"shard-{number:04d}.parquet"
        with pq.ParquetWriter(path, _SCHEMA, **_AS_IT_IS) as shard:
            size = 0
            while rows and size < SHARD_BYTES:
                names, contents = zip(*rows, strict=True)
                shard.write_table(pa.table([list(names), list(contents)], schema=_SCHEMA))
                size += sum(map(len, contents))
                rows = list(islice(pairs, ROW_GROUP))


class RowBuffer:
    """What is known of each photo, row by row, on its way to a table.

    Rows wait in a file, so that their memory is free until all photos are read.
    """

    def __init__(self, file: Path, columns: Mapping[str, type[str] | type[int]]) -> None:
        """Begin a table of these columns, which every row has, in a file that is not there yet."""
        kinds = {str: pa.string(), int: pa.int64()}
        self._schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
        self._file = file
        self._writer = pa.ipc.new_file(file, self._schema)
        self._recent: list[dict[str, Any]] = []

    def append(self, row: dict[str, Any]) -> None:
        """Add a row, a value for each column."""
        self._recent.append(row)
        if len(self._recent) == ROW_GROUP:
            self._write()

    def _write(self) -> None:
        self._writer.write_batch(pa.RecordBatch.from_pylist(self._recent, self._schema))
        self._recent = []

    def table(self) -> pd.DataFrame:
        """Return all rows, and remove the file."""
        self._write()
        self._writer.close()
        with pa.OSFile(str(self._file)) as stream:
            table = pa.ipc.open_file(stream).read_all()
        self._file.unlink()
        return table.to_pandas()


def write_index(folder: Path, index: pd.DataFrame) -> None:
    """Write what is known of each photo, a row each, in the order of the shards."""
    table = pa.Table.from_pandas(index, preserve_index=False)
    few_values = ["label", "mode", "split"]
    pq.write_table(table, folder / INDEX, row_group_size=64 * ROW_GROUP, use_dictionary=few_values)


def read_index(folder: Path) -> pd.DataFrame:
    """Return a row per photo: `name`, `label`, `split`, `group` and the properties of its file."""
    with reading(folder / INDEX):
        return pq.read_table(folder / INDEX).to_pandas()


def write_labels(folder: Path, labels: Sequence[str]) -> None:
    """Write the labels in the order in which they are counted from 0."""
    write_json(folder / LABELS, list(labels))


def read_labels(folder: Path) -> tuple[str, ...]:
    """Return the labels in the order in which they are counted from 0, `other` last."""
    with reading(folder / LABELS):
        return tuple(map(str, read_json(folder / LABELS)))


def iter_jpegs(folder: Path, names: Iterable[str] | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield (name, JPEG bytes) in the order of the index; with `names`, of these photos only.

    Holds one row group of 256 photos in memory at a time.
    """
    wanted = None if names is None else set(names)
    for path in sorted(folder.glob("shard-*.parquet")):
        with reading(path):
            file = pq.ParquetFile(path, pre_buffer=False)
            for batch in file.iter_batches(batch_size=ROW_GROUP):
                for name, jpeg in zip(batch.column("name"), batch.column("jpeg"), strict=True):
                    if wanted is None or name.as_py() in wanted:
                        yield name.as_py(), jpeg.as_py()


def dataset_fingerprint(index: pd.DataFrame) -> str:
    """Return the SHA-256 over the content, label and split of all photos, as 64 hex digits."""
    hashed = pd.util.hash_pandas_object(index[["sha256", "label", "split"]], index=False)
    return hashlib.sha256(np.asarray(hashed, dtype=np.uint64).tobytes()).hexdigest()


def load_squares(folder: Path, split: str, input_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle square of each photo of a split, and the labels.

    They are `(N, 3, input_px, input_px) uint8` and `(N,) int64` indices into the labels, in the
    order of the index.
    """
    index = read_index(folder)
    chosen = index[index.split == split]
    images = np.empty((len(chosen), 3, input_px, input_px), np.uint8)

    def square(item: tuple[str, bytes]) -> np.ndarray:
        return cut_crops(decode_jpeg(item[1]), input_px, "square")[0]

    for row, pixels in enumerate(ordered_map(square, iter_jpegs(folder, chosen.name))):
        images[row] = pixels.transpose(2, 0, 1)
    return images, split_labels(index, split, read_labels(folder))


def split_labels(index: pd.DataFrame, split: str, labels: Sequence[str]) -> np.ndarray:
    """Return the labels of a split's photos as indices into `labels`, `(N,) int64`."""
    return index.label[index.split == split].map(labels.index).to_numpy(np.int64, copy=True)


def load_images(photo_folder: Path, names: Iterable[str]) -> dict[str, Image.Image]:
    """Return the photos with these names."""
    return {name: decode_jpeg(jpeg) for name, jpeg in iter_jpegs(photo_folder, names)}
