"""Image files made for tests."""

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from PIL import Image


def saved_as(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def halves(size: tuple[int, int] = (160, 120)) -> Image.Image:
    """An image whose left half is red and whose right half is blue."""
    image = Image.new("RGB", size, "blue")
    image.paste("red", (0, 0, size[0] // 2, size[1]))
    return image


def chunk(kind: bytes, content: bytes, *, checksum: int | None = None) -> bytes:
    """Return a chunk of a PNG, with the right checksum unless another is given."""
    right = zlib.crc32(kind + content)
    check = struct.pack(">I", right if checksum is None else checksum)
    return struct.pack(">I", len(content)) + kind + content + check


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """Return a PNG with chunks added after its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def png_of(values: np.ndarray, *chunks: bytes) -> bytes:
    """Return a PNG of `(H, W, C)` values, of 16 bits where they are: Pillow writes only gray so."""
    height, width, channels = values.shape
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">2I5B", width, height, 8 * values.itemsize, color, 0, 0, 0)
    rows = values.astype(values.dtype.newbyteorder(">")).reshape(height, -1)
    content = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", content), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff_of(
    values: np.ndarray, tags: Mapping[int, Sequence[int]], order: Literal["<", ">"] = "<"
) -> bytes:
    """Return a TIFF of `(H, W, C)` values, with more tags of 16 bits.

    Tag 259 may ask for deflation (8), and 284 for a plane of each channel (2).
    """
    height, width, channels = values.shape
    bits = 8 * values.itemsize
    entries: dict[int, Sequence[int]] = {
        256: [width],
        257: [height],
        258: [bits] * channels,
        259: [1],
        262: [2 if channels > 2 else 1],
        277: [channels],
        278: [height],
        **tags,
    }
    planes = np.moveaxis(values, 2, 0) if tags.get(284) == [2] else values[None]
    strips = [plane.astype(values.dtype.newbyteorder(order)).tobytes() for plane in planes]
    if tags.get(259) == [8]:
        strips = [zlib.compress(strip) for strip in strips]
    lengths = [len(strip) for strip in strips]
    starts = [8 + sum(lengths[:number]) for number in range(len(strips))]
    signature = {"<": b"II*\0", ">": b"MM\0*"}[order]
    data = signature + struct.pack(order + "I", 8 + sum(lengths)) + b"".join(strips)
    directory, extra = b"", b""
    count = len(entries) + 2
    outside = len(data) + 2 + 12 * count + 4
    for tag, numbers in sorted((entries | {273: starts, 279: lengths}).items()):
        kind = 4 if tag in (273, 279) else 3
        content = struct.pack(f"{order}{len(numbers)}{'I' if kind == 4 else 'H'}", *numbers)
        if len(content) > 4:
            place, extra = struct.pack(order + "I", outside + len(extra)), extra + content
        else:
            place = content.ljust(4, b"\0")
        directory += struct.pack(order + "HHI", tag, kind, len(numbers)) + place
    return data + struct.pack(order + "H", count) + directory + bytes(4) + extra
