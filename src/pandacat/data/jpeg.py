"""JPEG files: decoded at a fraction, with all their pixels, and without their metadata.

Their segments are those of ITU-T T.81.
"""

import io
import re
import struct
from collections.abc import Iterator

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from pandacat.data.decoders import TooManyPixelsError

MOST_PIXELS_PER_BYTE = 512
"""Each block of 8 × 8 pixels takes a bit or more; a smaller file can't have all of them."""

ORIENTATION = 0x0112
"""The tag of EXIF and TIFF."""

_SOI, _EOI, _SOS, _DNL, _APP0, _APP1, _APP2, _APP14 = 0xD8, 0xD9, 0xDA, 0xDC, 0xE0, 0xE1, 0xE2, 0xEE
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_DECODED = {*_FRAMES, 0xC4, 0xCC, 0xDB, 0xDD, _SOS}
"""Frames, tables of Huffman, arithmetic coding and quantization, restart interval, scans."""
_MARKER = re.compile(rb"\xff+([\xc0-\xcf\xd8-\xfe])")
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_PADDING = b"\xfe\x95\x6a\x3b" * 64
"""Bits unlike the zeros that libjpeg makes up where bits are missing."""


def load_jpeg(
    image: JpegImageFile, data: bytes, shorter_px: int, max_pixels: float, *, is_doubtful: bool
) -> None:
    """Decode a JPEG at the least fraction with `shorter_px` or more, if it has them.

    Args:
        image: as opened.
        data: the bytes of its file.
        shorter_px: length of its shorter side that is needed.
        max_pixels: that decoding may take in memory, four bytes each.
        is_doubtful: whether to check that no pixels are missing even where it does not seem so.

    Raises:
        TooManyPixelsError: it takes more, at any fraction.
        OSError: pixels are missing.
    """
    if image.width * image.height > MOST_PIXELS_PER_BYTE * len(data):
        raise OSError("image file is truncated")
    least, scale = _least_reduction(image, max_pixels), shorter_px / min(image.size)
    width, height = (min(round(side * scale), side // least) for side in image.size)
    image.draft(image.mode, (width, height))
    image.load()
    if is_doubtful or _ends_gray(image):
        padded = JpegImageFile(io.BytesIO(rebuilt_jpeg(data, padding=_PADDING)))
        padded.draft(image.mode, (width, height))
        padded.load()
        for top in range(0, image.height, 256):  # in parts, for the sake of memory
            part = (0, top, image.width, min(top + 256, image.height))
            if padded.crop(part).tobytes() != image.crop(part).tobytes():
                raise OSError("image file is truncated")


def _ends_gray(image: Image.Image) -> bool:
    """Tell whether the last pixel has the color that libjpeg gives to missing ones."""
    last = image.getpixel((image.width - 1, image.height - 1))
    return {127, 128}.issuperset(last if isinstance(last, tuple) else (last,))


def with_true_colors(data: bytes, image: JpegImageFile) -> bytes:
    """Return a JPEG whose Adobe marker says that it has luma and chroma if its sampling does.

    Nobody samples red, green and blue, or inks, at different resolutions.
    """
    transform = image.info.get("adobe_transform", 0 if image.layers == 4 else None)
    is_sampled = len({layer[1:3] for layer in image.layer}) > 1
    if transform != 0 or "jfif" in image.info or not is_sampled:
        return data
    return rebuilt_jpeg(data, transform=image.layers - 2)


def _least_reduction(image: JpegImageFile, max_pixels: float) -> int:
    """Return the least of 1, 2, 4 and 8 by which to divide the sides of a JPEG as it is decoded.

    A JPEG in several scans, as a progressive one, is held as coefficients of two bytes until its
    last scan, whatever the reduction; four bytes of them count as a pixel of the decoded image.

    Raises:
        TooManyPixelsError: none keeps it within `max_pixels`.
    """
    pixels = image.width * image.height
    if pixels > max_pixels and not _is_in_one_scan(image):
        most = max(layer[1] * layer[2] for layer in image.layer)
        samples = sum(pixels * layer[1] * layer[2] / most for layer in image.layer)
        if samples * 2 / 4 > max_pixels:
            raise TooManyPixelsError
    for reduction in (1, 2, 4, 8):
        if pixels <= max_pixels * reduction**2:
            return reduction
    raise TooManyPixelsError


def _is_in_one_scan(image: JpegImageFile) -> bool:
    """Tell whether the first scan, whose header ends where the reader is, has all components."""
    if "progressive" in image.info or image.fp is None:
        return False
    header_bytes = 6 + 2 * image.layers
    image.fp.seek(image.fp.tell() - header_bytes)
    return image.fp.read(header_bytes)[:3] == bytes([0, header_bytes, image.layers])


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and the content of each segment; that of a scan includes its codes.

    Bytes between segments, images inside the metadata and segments of metadata whose length leads
    nowhere are passed over.
    """
    place = 2
    while found := _MARKER.search(data, place):
        marker, place = found[1][0], found.end()
        if marker == _SOI and found.start() == 2:  # written twice
            continue
        if marker == _SOI:
            place = data.index(b"\xff\xd9", place) + 2
            continue
        if marker == _EOI:
            yield marker, b""
            return
        end = place + int.from_bytes(data[place : place + 2], "big")
        if marker not in _DECODED and data[end : end + 1] != b"\xff":
            continue
        if marker == _SOS:
            stop = _END_OF_SCAN.search(data, end)
            end = stop.start() if stop else len(data.rstrip(b"\xff"))
        yield marker, data[place + 2 : end]
        place = end


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def rebuilt_jpeg(data: bytes, transform: int | None = None, padding: bytes = b"") -> bytes:
    """Return a JPEG without metadata.

    Args:
        data: the file.
        transform: how its colors are coded, in the terms of the Adobe marker; `None`: as it says.
        padding: codes to add to those of the last scan.

    Raises:
        OSError: its frame or some of its scans are missing.
    """
    segments = list(_segments(data))
    frame = next((content for marker, content in segments if marker in _FRAMES), None)
    if frame is None or (segments[-1][0] != _EOI and not _has_all_scans(segments, frame)):
        raise OSError("image file is truncated")
    parts = [b"\xff\xd8", *_kept_metadata(segments, transform)]
    lines = next((content for marker, content in segments if marker == _DNL), frame[1:3])
    for marker, content in segments:
        if marker in _FRAMES and content[1:3] == b"\0\0":
            parts.append(_segment(marker, content[:1] + lines + content[3:]))
        elif marker == _SOS:
            (length,) = struct.unpack_from(">B", content)
            header = 4 + 2 * length
            parts += [_segment(marker, content[:header]), content[header:]]
        elif marker in _DECODED:
            parts.append(_segment(marker, content))
    return b"".join([*parts, padding, b"\xff\xd9"])


def _kept_metadata(segments: list[tuple[int, bytes]], transform: int | None) -> Iterator[bytes]:
    """Yield what decides over colors and orientation, where it is whole."""
    contents: dict[int, list[bytes]] = {}
    for marker, content in segments:
        contents.setdefault(marker, []).append(content)
    adobe = [content[:12] for content in contents.get(_APP14, []) if content[:5] == b"Adobe"]
    if transform is not None:
        yield _segment(_APP14, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))
    else:
        if any(content[:5] == b"JFIF\0" for content in contents.get(_APP0, [])):
            yield _segment(_APP0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
        yield from (_segment(_APP14, content) for content in adobe if len(content) == 12)
    exif = b"".join(body[6:] for body in contents.get(_APP1, []) if body[:6] == b"Exif\0\0")
    if orientation := _only_orientation(exif):
        yield _segment(_APP1, orientation)
    profile = sorted(body for body in contents.get(_APP2, []) if body[:12] == b"ICC_PROFILE\0")
    if profile and all(
        body[12:14] == bytes([n, len(profile)]) for n, body in enumerate(profile, 1)
    ):
        yield from (_segment(_APP2, body) for body in profile)


def _only_orientation(exif: bytes) -> bytes:
    """Return EXIF with nothing but the orientation of that given; empty where it has none."""
    given, kept = Image.Exif(), Image.Exif()
    try:
        given.load(b"Exif\0\0" + exif)
        kept[ORIENTATION] = int(given[ORIENTATION])
    except Exception:  # damaged bytes raise nearly anything
        return b""
    return kept.tobytes()


def _has_all_scans(segments: list[tuple[int, bytes]], frame: bytes) -> bool:
    """Tell whether the scans hold all 64 coefficients of all components, to the last bit."""
    coded = set()
    for marker, content in segments:
        if marker == _SOS:
            components = content[1 : 1 + 2 * content[0] : 2]
            first, last, bits = content[1 + 2 * content[0] :][:3]
            if bits & 0x0F == 0:
                coded |= {(one, number) for one in components for number in range(first, last + 1)}
    return len(coded) == 64 * frame[5]
