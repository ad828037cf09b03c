"""Pillow's decoders: silent, of the formats that are read, and within a limit of pixels."""

import ctypes
import io
import logging
import math
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from PIL import Image, PngImagePlugin
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from pandacat.data.formats import Format

LARGEST_TEXT_BYTES = 16 << 20
"""Of a color profile or text in a PNG, unpacked; printers have profiles of several megabytes."""

_MESSAGE_BYTES = 160
_thread = threading.local()


class TooManyPixelsError(Exception):
    """An image needs more memory than is allowed."""


def open_image(data: bytes, form: Format, max_pixels: float) -> ImageFile:
    """Return an image that is not decoded yet.

    Raises:
        TooManyPixelsError: it has more than `max_pixels` and is no JPEG, whose decoder reads at a
            fraction of the size; ask `jpeg_reduction` for which.
        Exception: of any kind, where the header is damaged.
    """
    _prepare()
    if form.name == "JPEG":  # not by `Image.open`, which looks at the size and at the MPF index
        return JpegImageFile(io.BytesIO(data))
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = math.ceil(max_pixels / 2)  # only ever raised, so threads agree
    try:
        image = Image.open(io.BytesIO(data), formats=[form.name])
    except Image.DecompressionBombError:
        raise TooManyPixelsError from None
    if image.width * image.height > max_pixels:
        raise TooManyPixelsError
    return image


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Collect the first thing that libtiff says in this thread, and would else print."""
    collected: list[str] = []
    _thread.complaints = collected
    try:
        yield collected
    finally:
        _thread.complaints = None


@cache
def _prepare() -> None:
    """Keep Pillow and libtiff off the terminal, and let color profiles be large; once a process.

    Threads share these settings, so they are never set back.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    PngImagePlugin.MAX_TEXT_CHUNK = LARGEST_TEXT_BYTES
    try:
        _library().TIFFSetErrorHandler(_collect)
        _library().TIFFSetWarningHandler(None)
    except AttributeError:  # Pillow contains libtiff, as on Windows, where it goes on talking
        return


@cache
def _library() -> ctypes.CDLL:
    """Return Pillow's library, through which those that it needs are found, too."""
    return ctypes.CDLL(Image.core.__file__)


@ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)  # type: ignore[untyped-decorator]
def _collect(_: bytes | None, form: bytes, arguments: int) -> None:
    """Take an error message of libtiff: a format and its arguments, as `vprintf` does."""
    collected = getattr(_thread, "complaints", None)
    if collected == []:
        buffer = ctypes.create_string_buffer(_MESSAGE_BYTES)
        _library().vsnprintf(buffer, len(buffer), form, ctypes.c_void_p(arguments))
        collected.append(buffer.value.decode(errors="replace"))
