"""From the bytes of a photo, which may be damaged or hostile, to the pixels that networks take."""

import io
import re
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.Image import Transpose
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from pandacat.config.photos import LARGEST_MEGAPIXELS, ImageSpec
from pandacat.data.decoders import TooManyPixelsError, complaints, open_image
from pandacat.data.formats import Format, format_of, why_not_read
from pandacat.data.jpeg import ORIENTATION, load_jpeg, with_true_colors
from pandacat.data.pixels import (
    MODES,
    coding_of,
    correct_header,
    is_dark_deep_color,
    is_deep_gray,
    join_bytes,
    keep_low_bytes,
    stated_white,
    to_rgb,
)
from pandacat.data.repair import without_metadata

LONGEST_PX = 65_000
"""Longest side after shrinking: a JPEG holds few more pixels."""

DAMAGED_METADATA = "damaged metadata; the pixels are whole"
MORE_PAGES = "more pages than the first, which alone is read"
HDR = "HDR brightness (PQ or HLG), which was taken as that of sRGB"
"""Notes."""

_HDR_CODE = re.compile(rb"(colrnclx..\0|cICP.)[\x10\x12]", re.DOTALL)
"""In an AVIF or a PNG, from ITU-T H.273; it stands before the pixels."""
_HDR_BYTES = 65_536

_SUBFILE_TYPE, _SUB_IMAGES = 254, 330
"""Tags of TIFF."""

BLANKS = b"\0\t\n\r \xef\xbb\xbf"
"""Bytes, also those of UTF-8's mark, that some programs write before an image."""

_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""How to turn a photo upright, by its EXIF orientation."""

_COSINES = np.cos(np.pi * np.outer(np.arange(32), 2 * np.arange(32) + 1) / 64)
"""Rows of the cosine transform of 32 values: a frequency each, without SciPy, for `predict`."""
_ROWS, _COLUMNS = np.array(
    sorted(np.ndindex(20, 20), key=lambda place: (sum(place), place[0]))[1:129]
).T
"""The 128 lowest frequencies but the constant one, by the sum of their two components."""


class UnreadablePhotoError(Exception):
    """The bytes are not a readable photo; the text says why, in a few words."""


@dataclass(frozen=True)
class Photo:
    """A decoded photo."""

    image: Image.Image
    """Upright, mode RGB, shorter side at most the size asked for."""
    width_px: int
    """Of the original file, upright."""
    height_px: int
    mode: str
    """Of the original file, in Pillow's terms."""
    notes: tuple[str, ...] = ()
    """What is wrong with the file, or doubtful, though its pixels were read."""


def load_image(data: bytes, spec: ImageSpec) -> Image.Image:
    """Return the RGB pixels of a photo as networks take them, shorter side at most `image_px`.

    Training, evaluation and prediction all get their pixels this way, or from the JPEGs of
    `standardize`, which are the same.

    Raises:
        UnreadablePhotoError: as `decode_photo` does.
    """
    return load_photo(data, spec).image


def load_photo(data: bytes, spec: ImageSpec) -> Photo:
    """Return a photo with the pixels of `load_image`.

    Raises:
        UnreadablePhotoError: as `decode_photo` does.
    """
    photo, jpeg = standardize(data, spec)
    return replace(photo, image=decode_jpeg(jpeg))


def standardize(data: bytes, spec: ImageSpec) -> tuple[Photo, bytes]:
    """Return a photo as `decode_photo` does, and the JPEG that replaces its file.

    Recompression at one quality removes what a file's own compression may reveal of its label.
    """
    photo = decode_photo(data, image_px=spec.image_px, max_megapixels=spec.max_megapixels)
    return photo, encode_jpeg(photo.image, spec.jpeg_quality)


def open_photo(data: bytes) -> ImageFile:
    """Return a photo that `decode_photo` reads, before it is decoded: its size, mode and tables.

    Raises:
        UnreadablePhotoError: it is not an image of the formats that are read.
    """
    data, form = _identified(data)
    most = LARGEST_MEGAPIXELS * 1e6
    try:
        return open_image(data, form, most)
    except Exception:  # decoders of hostile bytes raise nearly anything
        return open_image(without_metadata(data, form.name), form, most)


def decode_photo(data: bytes, *, image_px: int, max_megapixels: float) -> Photo:
    """Return the photo in `data`, shrunk so that its shorter side is at most `image_px`.

    EXIF orientation and color profiles are applied, transparency is laid on white, gray of more
    than 8 bits is scaled to 8, and of an animation the first frame is taken. JPEGs much larger
    than needed, or than `max_megapixels`, are decoded at a fraction of their size. Damage to
    anything but the pixels is noted.

    Raises:
        UnreadablePhotoError: it is not an image of the formats that are read, truncated, has more
            than `max_megapixels` to hold in memory, is far longer than wide, or has a mode that
            photos do not have.
    """
    original, (data, form) = data, _identified(data)
    decode = partial(_decode, form=form, image_px=image_px, max_pixels=max_megapixels * 1e6)
    with complaints() as complained:
        try:
            photo = _decode_or_rebuild(data, form, decode)
        except TooManyPixelsError:
            raise UnreadablePhotoError(
                f"more than {max_megapixels:g} megapixels: preprocess.max_megapixels sets the limit"
            ) from None
        except MemoryError:
            raise UnreadablePhotoError("too large for this machine's memory") from None
        except UnreadablePhotoError:
            raise
        except UnidentifiedImageError:  # whose text has an address in memory
            if form.name == "TIFF":  # whose directory is whole, or it could not be rebuilt
                raise UnreadablePhotoError(
                    "a kind of TIFF that is not read: save it as JPEG or PNG"
                ) from None
            raise UnreadablePhotoError("damaged: its header can't be read") from None
        except Exception as error:  # decoders of hostile bytes raise nearly anything
            reason = " ".join(next(iter(complained), _reason(error)).split())[:120]
            raise UnreadablePhotoError(f"damaged: {reason}") from None
    return photo if data is original else _noted(photo, DAMAGED_METADATA)


def _reason(error: Exception) -> str:
    """Return why a file was not decoded: in the decoder's words, but never in Python's own."""
    error = next((given for given in error.args if isinstance(given, Exception)), error)
    if isinstance(error, (struct.error, IndexError, EOFError)):
        return "image file is truncated"
    is_decoders = isinstance(error, (OSError, SyntaxError, zlib.error))
    return (is_decoders and str(error)) or "it can't be decoded"


def _decode_or_rebuild(data: bytes, form: Format, decode: Callable[..., Photo]) -> Photo:
    """Decode a file, or what can be rebuilt of it without metadata if that fails."""
    try:
        return decode(data)
    except (UnreadablePhotoError, TooManyPixelsError, MemoryError):
        raise
    except Exception as error:
        try:
            rebuilt = without_metadata(data, form.name)
        except Exception as cause:
            is_of_header = isinstance(error, (UnidentifiedImageError, SyntaxError))
            raise (cause if is_of_header else error) from None
        return _noted(decode(rebuilt, is_rebuilt=True), DAMAGED_METADATA)


def _identified(data: bytes) -> tuple[bytes, Format]:
    """Return a file from its signature on, before which some programs write blanks."""
    if not data:
        raise UnreadablePhotoError("empty file")
    for candidate in (data, data.lstrip(BLANKS)):
        if form := format_of(candidate):
            return candidate, form
    raise UnreadablePhotoError(why_not_read(data))


def _noted(photo: Photo, note: str) -> Photo:
    return replace(photo, notes=tuple(dict.fromkeys((note, *photo.notes))))


def _decode(
    data: bytes, form: Format, image_px: int, max_pixels: float, *, is_rebuilt: bool = False
) -> Photo:
    image = open_image(data, form, max_pixels)
    width, height = image.size
    mode = image.mode
    if mode not in MODES and not mode.startswith("I;16"):
        raise UnreadablePhotoError(f"photos do not have mode {mode}: save it as JPEG or PNG")
    scale = image_px / min(width, height)
    if max(width, height) * min(scale, 1) > LONGEST_PX:
        raise UnreadablePhotoError(f"more than {LONGEST_PX:,} px long, and narrow")
    correct_header(image)
    coding = coding_of(image)
    notes: list[str] = []
    if form.name == "TIFF":
        _check_pages(image, partial(open_image, data, form, max_pixels), notes)
    if _HDR_CODE.search(data, 0, _HDR_BYTES):
        notes.append(HDR)
    if isinstance(image, JpegImageFile):
        data, given = with_true_colors(data, image), data
        if data is not given:
            image = JpegImageFile(io.BytesIO(data))
            notes.append(DAMAGED_METADATA)
        load_jpeg(image, data, image_px, max_pixels, is_doubtful=is_rebuilt)
    else:
        image.load()
    if is_dark_deep_color(image, coding):
        low = open_image(data, form, max_pixels)
        correct_header(low)
        keep_low_bytes(low)
        low.load()
        join_bytes(image, low, coding, stated_white(image, data), notes)
    orientation = _orientation(image, notes)
    white = stated_white(image, data) if is_deep_gray(image) else None
    upright = shrink(to_rgb(image, white, notes), image_px)
    if orientation in _UPRIGHT:
        upright = upright.transpose(_UPRIGHT[orientation])
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    return Photo(upright, width, height, mode, tuple(notes))


def _check_pages(image: ImageFile, reopen: Callable[[], ImageFile], notes: list[str]) -> None:
    """Note that a TIFF has more pages; refuse one whose photo is among its other images."""
    if _is_thumbnail(image) and _SUB_IMAGES in image.tag_v2:  # type: ignore[attr-defined]
        raise UnreadablePhotoError("a raw photo: export it as JPEG")
    with suppress(Exception):  # there is no second page, or it is damaged
        second = reopen()
        second.seek(1)
        if not _is_thumbnail(second):
            notes.append(MORE_PAGES)


def _is_thumbnail(page: Any) -> bool:
    kind = page.tag_v2.get(_SUBFILE_TYPE, 0)
    return isinstance(kind, int) and bool(kind & 1)


def _orientation(image: ImageFile, notes: list[str]) -> object:
    """Return the EXIF orientation of an image, 1 where there is none or its EXIF is damaged."""
    try:
        exif = image.getexif()
        if exif or not image.info.get("exif"):
            return exif.get(ORIENTATION, 1)
    except Exception:  # damaged bytes raise nearly anything
        pass
    notes.append(DAMAGED_METADATA)
    return 1


def shrink(image: Image.Image, image_px: int) -> Image.Image:
    """Return an image whose shorter side is at most `image_px`: the image itself if it is."""
    width, height = image.size
    scale = image_px / min(width, height)
    if scale >= 1:
        return image
    size = (max(image_px, round(width * scale)), max(image_px, round(height * scale)))
    return image.resize(size, Image.Resampling.HAMMING, reducing_gap=2.0)


def encode_jpeg(image: Image.Image, quality: int) -> bytes:
    """Return a baseline JPEG, which decodes faster than a progressive one."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def decode_jpeg(jpeg: bytes) -> Image.Image:
    """Return the RGB image in a JPEG that `encode_jpeg` made."""
    return Image.open(io.BytesIO(jpeg), formats=["JPEG"]).convert("RGB")


def perceptual_hash(image: Image.Image) -> tuple[str, str]:
    """Return the perceptual hash of an image, and that of its mirror image.

    Each is 32 hex digits: the signs, relative to their median, of the 128 lowest frequencies of
    the cosine transform of a 32 × 32 gray thumbnail (the DCT hash of C. Zauner, "Implementation
    and Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2). Copies that were
    scaled or recompressed differ in a few bits only. Mirroring flips the sign of the odd
    horizontal frequencies, so the second hash costs nothing.
    """
    gray = image.convert("L").resize((32, 32), Image.Resampling.BOX, reducing_gap=2.0)
    values = (_COSINES @ np.asarray(gray, np.float64) @ _COSINES.T)[_ROWS, _COLUMNS]
    mirrored = np.where(_COLUMNS % 2 == 1, -values, values)
    return _bits(values), _bits(mirrored)


def _bits(values: np.ndarray) -> str:
    median = np.sort(values)[63:65].mean()
    return np.packbits(values > median).tobytes().hex()
