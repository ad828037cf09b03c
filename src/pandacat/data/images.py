"""From the bytes of a photo, which may be damaged or hostile, to the pixels that networks take."""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.Image import Transpose

from pandacat.config.photos import ImageSpec

LONGEST_PX = 65_000
"""Longest side after shrinking: a JPEG holds few more pixels."""

MODES = ("RGB", "L", "RGBA", "LA", "P", "PA", "1", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I", "F")

HEIC_BRANDS = (b"ftypheic", b"ftypheix", b"ftypmif1")
"""Bytes 4 to 11 of photos from telephones, a format that Pillow does not read."""

_ORIENTATION = 0x0112
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


def load_image(data: bytes, spec: ImageSpec) -> Image.Image:
    """Return the RGB pixels of a photo as networks take them, shorter side at most `image_px`.

    Training, evaluation and prediction all get their pixels this way, or from the JPEGs of
    `standardize`, which are the same.

    Raises:
        UnreadablePhotoError: as `decode_photo` does.
    """
    return decode_jpeg(standardize(data, spec)[1])


def standardize(data: bytes, spec: ImageSpec) -> tuple[Photo, bytes]:
    """Return a photo as `decode_photo` does, and the JPEG that replaces its file.

    Recompression at one quality removes what a file's own compression may reveal of its label.
    """
    photo = decode_photo(data, image_px=spec.image_px, max_megapixels=spec.max_megapixels)
    return photo, encode_jpeg(photo.image, spec.jpeg_quality)


def decode_photo(data: bytes, *, image_px: int, max_megapixels: float) -> Photo:
    """Return the photo in `data`, shrunk so that its shorter side is at most `image_px`.

    EXIF orientation and color profiles are applied, transparency is laid on white, gray of more
    than 8 bits is scaled to 8, and of an animation the first frame is taken. JPEGs much larger
    than needed are decoded at a fraction of their size.

    Raises:
        UnreadablePhotoError: it is not an image, truncated, has more than `max_megapixels`, is
            far longer than wide, or has a mode that photos do not have.
    """
    if not data:
        raise UnreadablePhotoError("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode(data, image_px, max_megapixels)
    except UnreadablePhotoError:
        raise
    except UnidentifiedImageError:
        is_heic = data[4:12] in HEIC_BRANDS
        reason = "HEIC: save it as JPEG" if is_heic else "not an image that can be read"
        raise UnreadablePhotoError(reason) from None
    except Image.DecompressionBombError:
        raise UnreadablePhotoError(f"more than {max_megapixels:g} megapixels") from None
    except MemoryError:
        raise UnreadablePhotoError("too large for this machine's memory") from None
    except Exception as error:  # decoders of hostile bytes raise nearly anything
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UnreadablePhotoError(f"damaged: {reason}") from None


def _decode(data: bytes, image_px: int, max_megapixels: float) -> Photo:
    image: Image.Image = Image.open(io.BytesIO(data))
    width, height = image.size
    if width * height > max_megapixels * 1e6:
        raise UnreadablePhotoError(f"more than {max_megapixels:g} megapixels")
    mode = image.mode
    if mode not in MODES and not mode.startswith("I;16"):
        raise UnreadablePhotoError(f"photos do not have mode {mode}")
    scale = image_px / min(width, height)
    if max(width, height) * min(scale, 1) > LONGEST_PX:
        raise UnreadablePhotoError(f"more than {LONGEST_PX:,} px long, and narrow")
    image.draft(mode, (round(width * scale), round(height * scale)))
    image.load()
    orientation = image.getexif().get(_ORIENTATION, 1)
    image = _shrink(_to_rgb(image, image.info.get("icc_profile")), image_px)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    return Photo(image, width, height, mode)


def _to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _deep_gray_to_rgb(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layers = image.convert("RGBA")
        white = Image.new("RGBA", layers.size, "white")
        image = Image.alpha_composite(white, layers).convert("RGB")
    elif image.mode == "P":
        image = image.convert("RGB")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        image = _to_srgb(image, profile)
    return image if image.mode == "RGB" else image.convert("RGB")


def _deep_gray_to_rgb(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and float gray to 8 bits; the file does not state its white level."""
    values = np.nan_to_num(np.asarray(image, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    usual_whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    highest = values.max(initial=0)
    white = next((level for level in usual_whites if highest <= level), highest)
    gray = np.clip(values / white * 255.0, 0, 255).astype(np.uint8)
    return Image.fromarray(gray).convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert an image to sRGB; return it unchanged if its profile can't be used."""
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return image
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, srgb, outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image


def _shrink(image: Image.Image, image_px: int) -> Image.Image:
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
    return Image.open(io.BytesIO(jpeg)).convert("RGB")


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
