"""The pixels of an image file without the rest of it, for decoders that stumble over the rest.

A file is rebuilt from the parts that its pixels need, with right lengths and checksums, and from
color profile and orientation where these are whole. What is missing stays missing: whether the
pixels are whole is for the decoder to say.
"""

import re
import struct
import zlib
from collections.abc import Iterator

from pandacat.data.decoders import LARGEST_TEXT_BYTES
from pandacat.data.jpeg import ORIENTATION, rebuilt_jpeg

LARGEST_CHECKED_BYTES = 1 << 30
"""Of pixels; larger images are not inflated only to check them."""


def without_metadata(data: bytes, form: str) -> bytes:
    """Return an image file of a format, by Pillow's name, rebuilt from what its pixels need.

    Raises:
        OSError: it can't be, or parts of the pixels are missing.
        Exception: of any other kind, where the file ends early or is damaged.
    """
    rebuild = {
        "JPEG": rebuilt_jpeg,
        "PNG": _rebuilt_png,
        "TIFF": _rebuilt_tiff,
        "WEBP": _rebuilt_webp,
        "GIF": _rebuilt_gif,
        "BMP": _rebuilt_bmp,
        "AVIF": _rebuilt_avif,
    }.get(form)
    if rebuild is None:
        raise OSError("its header can't be read")
    return rebuild(data)


# PNG, by https://www.w3.org/TR/png-3/

_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
_KEPT_CHUNKS = (b"iCCP", b"sRGB", b"gAMA", b"sBIT", b"eXIf")
_KEPT_BYTES = {b"sRGB": {1}, b"gAMA": {4}, b"sBIT": {1, 2, 3, 4}}
_NEXT_CHUNK = re.compile(rb"PLTE|tRNS|IDAT|IEND")
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_TRANSPARENCY_BYTES = {0: {2}, 2: {6}, 3: {*range(1, 257)}}
"""By color type."""


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield the name and content of each chunk, and whether its checksum is right."""
    place = 8
    while (name := data[place + 4 : place + 8]) and name != b"IEND":
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        following = data[end + 8 : end + 12]
        if name not in _PIXEL_CHUNKS and not (len(following) == 4 and following.isalpha()):
            found = _NEXT_CHUNK.search(data, place + 8)  # the length leads nowhere
            place = found.start() - 4 if found else len(data)
            continue
        content = data[place + 8 : end]
        yield name, content, data[end : end + 4] == zlib.crc32(name + content).to_bytes(4, "big")
        place = end + 4


def _rebuilt_png(data: bytes) -> bytes:
    chunks = list(_chunks(data))
    pixels = b"".join(content for name, content, _ in chunks if name == b"IDAT")
    of_pixels = {name: content for name, content, _ in reversed(chunks) if name in _PIXEL_CHUNKS}
    kept = {name: content for name, content, right in chunks if right and _is_kept(name, content)}
    wrong = {name for name, _, right in chunks if not right}
    header = of_pixels[b"IHDR"]
    if not wrong & {b"IHDR", b"IDAT"} or b"IHDR" in wrong:
        pixels = _checked_pixels(pixels, header, header_is_sure=b"IHDR" not in wrong)
    if len(of_pixels.get(b"tRNS", b"")) not in _TRANSPARENCY_BYTES.get(header[9], set()):
        of_pixels.pop(b"tRNS", None)
    parts = {b"IHDR": header, **kept, **of_pixels, b"IDAT": pixels, b"IEND": b""}
    order = (b"IHDR", *_KEPT_CHUNKS, b"PLTE", b"tRNS", b"IDAT", b"IEND")
    return data[:8] + b"".join(_chunk(name, parts[name]) for name in order if name in parts)


def _is_kept(name: bytes, content: bytes) -> bool:
    """Tell whether a chunk says something on colors or orientation that Pillow can read."""
    if name == b"iCCP":
        _, _, packed = content.partition(b"\0")
        try:
            profile = zlib.decompressobj().decompress(packed[1:], LARGEST_TEXT_BYTES)
        except zlib.error:
            return False
        return packed[:1] == b"\0" and len(profile) < LARGEST_TEXT_BYTES
    return name in _KEPT_CHUNKS and len(content) in _KEPT_BYTES.get(name, {len(content)})


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def _checked_pixels(pixels: bytes, header: bytes, *, header_is_sure: bool) -> bytes:
    """Return compressed pixels with the right checksum if they fill the image exactly.

    Raises:
        OSError: they do not, and the header's own checksum is wrong.
    """
    width, height, depth, color, *_, interlaced = struct.unpack(">2I5B", header)
    expected = height * (1 + (width * depth * _PNG_CHANNELS[color] + 7) // 8)
    stream, rest = zlib.decompressobj(-zlib.MAX_WBITS), pixels[2:]
    count, checksum = 0, 1
    if not interlaced and expected <= LARGEST_CHECKED_BYTES:
        while rest and not stream.eof and count <= expected:
            part = stream.decompress(rest, 1 << 20)
            rest = stream.unconsumed_tail
            count, checksum = count + len(part), zlib.adler32(part, checksum)
    if count == expected and stream.eof:
        return pixels[: len(pixels) - len(stream.unused_data)] + struct.pack(">I", checksum)
    if not header_is_sure:
        raise OSError("the checksum of its header is wrong")
    return pixels


# TIFF 6.0 and BigTIFF

_PIXEL_TAGS = {
    *(256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324),
    *(325, 332, 338, 339, 347, *range(512, 522), 529, 530, 531, 532),
}
_KEPT_TAGS = {ORIENTATION: {3, 4}, 280: {3, 4}, 281: {3, 4}, 34675: {1, 7}}
"""Others, and the types that they may have: orientation, least and highest value, profile."""


def _rebuilt_tiff(data: bytes) -> bytes:
    """Append a directory with the tags that pixels need, and let the header lead to it."""
    order = "<" if data[:2] == b"II" else ">"
    is_big = 43 in data[2:4]
    pointer, count, entry_bytes = ("Q", "Q", 20) if is_big else ("I", "H", 12)
    header = 8 if is_big else 4
    (start,) = struct.unpack_from(order + pointer, data, header)
    (length,) = struct.unpack_from(order + count, data, start)
    start += struct.calcsize(count)
    if start + length * entry_bytes > len(data):
        raise OSError("its directory is incomplete")
    entries: dict[int, bytes] = {}
    for place in range(start, start + length * entry_bytes, entry_bytes):
        tag, kind = struct.unpack_from(order + "HH", data, place)
        if tag in _PIXEL_TAGS or kind in _KEPT_TAGS.get(tag, ()):
            entries.setdefault(tag, data[place : place + entry_bytes])
    if not entries.keys() >= {256, 257}:
        raise OSError("its directory has no width or no height")
    directory = struct.pack(order + count, len(entries))
    directory += b"".join(entry for _, entry in sorted(entries.items()))
    body = data + bytes(len(data) % 2)
    leading = struct.pack(order + pointer, len(body))
    rest = body[header + struct.calcsize(pointer) :]
    return body[:header] + leading + rest + directory + bytes(struct.calcsize(pointer))


# WebP, by RFC 9649

_WEBP_PARTS = (b"VP8X", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L", b"EXIF")
_WEBP_FLAGS = {b"ANIM": 0x02, b"EXIF": 0x08, b"ALPH": 0x10, b"ICCP": 0x20}


def _rebuilt_webp(data: bytes) -> bytes:
    parts: dict[bytes, bytes] = {}
    place = 12
    while len(data) >= place + 8:
        name, length = struct.unpack_from("<4sI", data, place)
        content = data[place + 8 : place + 8 + length]
        if len(content) == length and name in _WEBP_PARTS:
            parts.setdefault(name, content)
        place += 8 + length + length % 2
    if b"VP8X" in parts:
        kept = sum(flag for name, flag in _WEBP_FLAGS.items() if name in parts)
        alpha = parts[b"VP8X"][0] & 0x10
        parts[b"VP8X"] = bytes([kept | alpha]) + parts[b"VP8X"][1:]
    body = b"WEBP" + b"".join(
        struct.pack("<4sI", name, len(content)) + content + bytes(len(content) % 2)
        for name, content in parts.items()
    )
    return struct.pack("<4sI", b"RIFF", len(body)) + body


# GIF89a


def _rebuilt_gif(data: bytes) -> bytes:
    """Keep the palette, the first image and what is transparent in it."""
    place = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    parts = [data[:place]]
    while data[place] == 0x21:
        end = _end_of_blocks(data, place + 2)
        if data[place + 1] == 0xF9 and end - place == 8:
            parts.append(data[place:end])
        place = end
    if data[place] != 0x2C:
        raise OSError("its image is missing")
    flags = data[place + 9]
    codes = place + 10 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    return b"".join([*parts, data[place : _end_of_blocks(data, codes + 1)], b";"])


def _end_of_blocks(data: bytes, place: int) -> int:
    while data[place]:
        place += 1 + data[place]
    return place + 1


# BMP


def _rebuilt_bmp(data: bytes) -> bytes:
    """Replace an uncommon header by the common one, and add the padding that the last row lacks."""
    (start, size, width, height, _, bits, coding) = struct.unpack_from("<IIiiHHI", data, 10)
    if size < 40 or coding not in (0, 3) or 14 + size > len(data):
        raise OSError("its header can't be rebuilt")
    masks = data[54:66] if coding == 3 else b""
    (colors,) = struct.unpack_from("<I", data, 46)
    palette = data[14 + size :][: 4 * (colors or 1 << bits)] if bits <= 8 else b""
    start = start if 14 + size <= start < len(data) else 14 + size + len(palette)
    row, stride = (width * bits + 7) // 8, (width * bits + 31) // 32 * 4
    pixels = data[start:]
    if len(pixels) < stride * (abs(height) - 1) + row:
        raise OSError("image file is truncated")
    place = 54 + len(masks) + len(palette)
    header = data[:10] + struct.pack("<II", place, 40) + data[18:54]
    return header + masks + palette + pixels.ljust(stride * abs(height), b"\0")


# AVIF, whose boxes are those of ISO/IEC 14496-12


def _rebuilt_avif(data: bytes) -> bytes:
    """Rename the items that are EXIF or XMP, so that none reads them."""
    start = data.index(b"meta")
    end = start - 4 + int.from_bytes(data[start - 4 : start], "big")
    meta = re.sub(rb"(infe.{8})(Exif|mime)", rb"\1free", data[start:end], flags=re.DOTALL)
    return data[:start] + meta + data[end:]
