"""Processed photos on disk: shards of their JPEG bytes, and an index with a row for each."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import count, islice
from pathlib import Path

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


@dataclass(frozen=True)
class PhotoFile:
    """A photo's properties before it has a group and a split."""

    name: str
    label: str
    sha256: str
    """Of the original file, as are its size, its sides and its mode."""
    file_bytes: int
    width_px: int
    height_px: int
    mode: str
    fingerprint: str
    mirrored_fingerprint: str


_SHARD = pa.schema([("name", pa.string()), ("jpeg", pa.binary())])
_PROPERTIES = pa.schema(
    [(each.name, pa.int64() if each.type is int else pa.string()) for each in fields(PhotoFile)]
)
_UNCOMPRESSED = {"compression": "none", "use_dictionary": False, "write_statistics": False}
"""JPEG bytes are compressed already."""


def write_shards(folder: Path, photos: Iterable[tuple[PhotoFile, bytes]]) -> pd.DataFrame:
    """Write JPEGs to `shard-0000.parquet`, … of about 64 MiB each; return the photos' properties.

    Holds one row group of 256 photos in memory at a time; properties wait in a file.
    """
    waiting = iter(photos)
    row_group = list(islice(waiting, ROW_GROUP))
    properties = folder / "properties.arrow"
    with pa.ipc.new_file(properties, _PROPERTIES) as table:
        for number in count():
            if not row_group:
                break
            path = folder / f"shard-{number:04d}.parquet"
            with pq.ParquetWriter(path, _SHARD, **_UNCOMPRESSED) as shard:
                size = 0
                while row_group and size < SHARD_BYTES:
                    files, jpegs = zip(*row_group, strict=True)
                    rows = pa.RecordBatch.from_pylist(list(map(vars, files)), _PROPERTIES)
                    table.write_batch(rows)
                    shard.write_table(pa.table([rows.column("name"), list(jpegs)], schema=_SHARD))
                    size += sum(map(len, jpegs))
                    row_group = list(islice(waiting, ROW_GROUP))
    with pa.OSFile(str(properties)) as stream:
        index = pa.ipc.open_file(stream).read_all().to_pandas()
    properties.unlink()
    return index


def write_index(folder: Path, index: pd.DataFrame, labels: Sequence[str]) -> None:
    """Write a row for each photo, in the order of the shards, and the labels in theirs."""
    table = pa.Table.from_pandas(index, preserve_index=False)
    few_values = ["label", "mode", "split"]
    pq.write_table(table, folder / INDEX, row_group_size=64 * ROW_GROUP, use_dictionary=few_values)
    write_json(folder / LABELS, list(labels))


def read_index(folder: Path) -> pd.DataFrame:
    """Return a row per photo: the columns of `PhotoFile`, `group` and `split`."""
    with reading(folder / INDEX):
        return pq.read_table(folder / INDEX).to_pandas()


def read_labels(folder: Path) -> tuple[str, ...]:
    """Return the labels in the order of their indices, `other` last."""
    with reading(folder / LABELS):
        return tuple(map(str, read_json(folder / LABELS)))


def iter_jpegs(folder: Path, names: Iterable[str] | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield (name, JPEG bytes) in the order of the index; with `names`, of these photos only.

    Holds one row group of 256 photos in memory at a time.
    """
    selected = None if names is None else set(names)
    for path in sorted(folder.glob("shard-*.parquet")):
        with reading(path):
            file = pq.ParquetFile(path, pre_buffer=False)
            for batch in file.iter_batches(batch_size=ROW_GROUP):
                for name, jpeg in zip(batch.column("name"), batch.column("jpeg"), strict=True):
                    if selected is None or name.as_py() in selected:
                        yield name.as_py(), jpeg.as_py()


def load_images(folder: Path, names: Iterable[str]) -> dict[str, Image.Image]:
    """Return the photos with these names, decoded."""
    return {name: decode_jpeg(jpeg) for name, jpeg in iter_jpegs(folder, names)}


def split_images(folder: Path, split: str, rows: np.ndarray) -> Iterator[Image.Image]:
    """Yield the photos of a split that are in these rising rows of it, decoded."""
    index = read_index(folder)
    names = index.name[index.split == split].to_numpy()[rows]
    return (decode_jpeg(jpeg) for _, jpeg in iter_jpegs(folder, names))


def sample_images(folder: Path, index: pd.DataFrame, split: str, count: int) -> list[Image.Image]:
    """Return `count` photos of a split, evenly spread over the index, or all it has."""
    names = index.name[index.split == split].to_numpy()
    chosen = names[np.unique(np.linspace(0, len(names) - 1, count).round().astype(int))]
    return list(load_images(folder, chosen).values())


def load_squares(folder: Path, names: Collection[str], input_px: int) -> np.ndarray:
    """Return the largest center square of each photo, resized, in the order of the index.

    They are `(N, 3, input_px, input_px) uint8`.
    """
    images = np.empty((len(names), 3, input_px, input_px), np.uint8)

    def square(item: tuple[str, bytes]) -> np.ndarray:
        return cut_crops(decode_jpeg(item[1]), input_px, "square")[0]

    for row, pixels in enumerate(ordered_map(square, iter_jpegs(folder, names))):
        images[row] = pixels.transpose(2, 0, 1)
    return images


def split_labels(index: pd.DataFrame, split: str, labels: Sequence[str]) -> np.ndarray:
    """Return the labels of a split's photos as indices into `labels`, `(N,) int64`."""
    return index.label[index.split == split].map(labels.index).to_numpy(np.int64, copy=True)


def dataset_fingerprint(index: pd.DataFrame) -> str:
    """Return the SHA-256 over the content, label and split of all photos, as 64 hex digits."""
    hashed = pd.util.hash_pandas_object(index[["sha256", "label", "split"]], index=False)
    return hashlib.sha256(np.asarray(hashed, dtype=np.uint64).tobytes()).hexdigest()
