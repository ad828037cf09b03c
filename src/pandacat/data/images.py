"""From the bytes of a photo, which anybody may have sent, to the pixels that networks see."""

import hashlib
import io
import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from pandacat.config.photos import ImageSpec

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How to turn a photo upright, by its EXIF orientation."""

LONGEST_PX = 65_000
"""Of a side, once shrunk: JPEG holds few more."""

MODES = ("RGB", "L", "RGBA", "LA", "P", "PA", "1", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I", "F")

HEIC_BEGINS = (b"ftypheic", b"ftypheix", b"ftypmif1")
"""Bytes 4 to 11 of what telephones write, and Pillow does not read."""


class UnreadablePhotoError(Exception):
    """The bytes give no picture; the text says why, in a few words."""


@dataclass(frozen=True)
class Photo:
    """A decoded photo."""

    image: Image.Image
    """Upright, mode RGB, shorter side at most the size asked for."""
    width_px: int
    """Of the file as it came, upright."""
    height_px: int
    mode: str
    """Of the file as it came, in Pillow's terms."""


def load_image(data: bytes, spec: ImageSpec) -> Image.Image:
    """Return the RGB pixels of a photo as networks see them, shorter side at most `spec.image_px`.

    This is the one way from bytes to pixels, in training, evaluation and prediction alike.

    Raises:
        UnreadablePhotoError: as `decode_photo` does.
    """
    return decode_jpeg(standardize(data, spec)[1])


def standardize(data: bytes, spec: ImageSpec) -> tuple[Photo, bytes]:
    """Return a photo as `decode_photo` does, and the JPEG that stands for it from then on.

    Recompression takes from each file what its own compression would tell of its label.
    """
    photo = decode_photo(data, image_px=spec.image_px, max_megapixels=spec.max_megapixels)
    return photo, encode_jpeg(photo.image, spec.jpeg_quality)


def decode_photo(data: bytes, *, image_px: int, max_megapixels: float) -> Photo:
    """Return the photo in `data`, shrunk so that its shorter side is at most `image_px`.

    EXIF rotation and color profiles are applied, transparency is laid on white, 16-bit gray is
    brought to 8 bits, and of an animation the first frame is taken. JPEGs much larger than needed
    are decoded at a fraction of their size.

    Raises:
        UnreadablePhotoError: no picture, a truncated one, one with more than `max_megapixels`
            or far longer than wide, or one in a mode that has no meaning as a photo.
    """
    if not data:
        raise UnreadablePhotoError("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _read(data, image_px, max_megapixels)
    except UnreadablePhotoError:
        raise
    except UnidentifiedImageError:
        is_heic = data[4:12] in HEIC_BEGINS
        reason = "HEIC: save it as JPEG" if is_heic else "not a picture that can be read"
        raise UnreadablePhotoError(reason) from None
    except Image.DecompressionBombError:
        raise UnreadablePhotoError(f"more than {max_megapixels:g} megapixels") from None
    except MemoryError:
        raise UnreadablePhotoError("too large for this machine's memory") from None
    except Exception as error:  # decoders of hostile bytes raise nearly anything
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UnreadablePhotoError(f"damaged: {reason}") from None


def _read(data: bytes, image_px: int, max_megapixels: float) -> Photo:
    image: Image.Image = Image.open(io.BytesIO(data))
    width, height = image.size
    if width * height > max_megapixels * 1e6:
        raise UnreadablePhotoError(f"more than {max_megapixels:g} megapixels")
    mode = image.mode
    if mode not in MODES and not mode.startswith("I;16"):
        raise UnreadablePhotoError(f"mode {mode} is not a photo's")
    scale = image_px / min(width, height)
    if max(width, height) * min(scale, 1) > LONGEST_PX:
        raise UnreadablePhotoError(f"more than {LONGEST_PX:,} px long, and narrow")
    image.draft(mode, (round(width * scale), round(height * scale)))
    image.load()
    orientation = image.getexif().get(0x0112, 1)
    profile = image.info.get("icc_profile")
    image = _shrunk(_as_rgb(image, profile), image_px)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    return Photo(image=image, width_px=width, height_px=height, mode=mode)


def _as_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _deep_gray_as_rgb(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layers = image.convert("RGBA")
        white = Image.new("RGBA", layers.size, "white")
        image = Image.alpha_composite(white, layers).convert("RGB")
    elif image.mode == "P":
        image = image.convert("RGB")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        image = _in_srgb(image, profile)
    return image if image.mode == "RGB" else image.convert("RGB")


def _deep_gray_as_rgb(image: Image.Image) -> Image.Image:
    """Bring 16-bit, 32-bit and float gray to 8 bits; what counts as white is not in the file."""
    values = np.asarray(image, dtype=np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    usual_whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    highest = values.max(initial=0)
    white = next((level for level in usual_whites if highest <= level), highest)
    gray = np.clip(values / white * 255.0, 0, 255).astype(np.uint8)
    return Image.fromarray(gray).convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Return the picture in sRGB; as it is where the profile can't be used."""
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return image
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return image if converted is None else converted


def _shrunk(image: Image.Image, image_px: int) -> Image.Image:
    width, height = image.size
    scale = image_px / min(width, height)
    if scale >= 1:
        return image
    size = (max(image_px, round(width * scale)), max(image_px, round(height * scale)))
    return image.resize(size, Image.Resampling.HAMMING, reducing_gap=2.0)


def encode_jpeg(image: Image.Image, quality: int) -> bytes:
    """Return a baseline JPEG, which is quicker to read back than a progressive one."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def decode_jpeg(jpeg: bytes) -> Image.Image:
    """Return the RGB picture in bytes that `encoded` made."""
    return Image.open(io.BytesIO(jpeg)).convert("RGB")


FINGERPRINT_BITS = 128


def perceptual_hash(image: Image.Image) -> tuple[str, str]:
    """Return the perceptual fingerprint of the picture and that of its mirror image.

    Each is 32 hex digits: the signs, relative to their median, of the 128 lowest frequencies of a
    32 × 32 gray thumbnail's cosine transform (the DCT hash of C. Zauner, "Implementation and
    Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2). Copies that were scaled
    or saved again differ in a few bits only. Mirroring flips the sign of the odd horizontal
    frequencies, so the second costs nothing.
    """
    gray = image.convert("L").resize((32, 32), Image.Resampling.BOX, reducing_gap=2.0)
    basis = _cosines(32)
    spectrum = basis @ np.asarray(gray, dtype=np.float64) @ basis.T
    rows, columns = _low_frequencies()
    values = spectrum[rows, columns]
    mirrored = np.where(columns % 2 == 1, -values, values)
    return _bits(values), _bits(mirrored)


@cache
def _cosines(size: int) -> np.ndarray:
    frequency, position = np.mgrid[0:size, 0:size]
    return np.cos(np.pi * (2 * position + 1) * frequency / (2 * size))


@cache
def _low_frequencies() -> tuple[np.ndarray, np.ndarray]:
    rows, columns = (axis.ravel() for axis in np.mgrid[0:20, 0:20])
    order = np.lexsort((rows, rows + columns))[1 : FINGERPRINT_BITS + 1]
    return rows[order], columns[order]


def _bits(values: np.ndarray) -> str:
    middle = np.sort(values)[FINGERPRINT_BITS // 2 - 1 : FINGERPRINT_BITS // 2 + 1]
    return np.packbits(values > middle.mean()).tobytes().hex()


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of the bytes as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()
