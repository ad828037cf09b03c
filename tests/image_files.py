"""Image files made for tests."""

import io
import struct
import zlib
from collections.abc import Sequence

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


def tiff_of(values: np.ndarray, tags: dict[int, Sequence[int]]) -> bytes:
    """Return a TIFF of `(H, W, C)` values, with more tags of 16 bits."""
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
    pixels = values.astype(values.dtype.newbyteorder("<")).tobytes()
    data, directory = b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels, b""
    count = len(entries) + 2
    outside = len(data) + 2 + 12 * count + 4
    extra = b""
    for tag, numbers in sorted((entries | {273: [8], 279: [len(pixels)]}).items()):
        kind = 4 if tag in (273, 279) else 3
        content = b"".join(struct.pack("<I" if kind == 4 else "<H", number) for number in numbers)
        if len(content) > 4:
            place, extra = struct.pack("<I", outside + len(extra)), extra + content
        else:
            place = content.ljust(4, b"\0")
        directory += struct.pack("<HHI", tag, kind, len(numbers)) + place
    return data + struct.pack("<H", count) + directory + bytes(4) + extra
