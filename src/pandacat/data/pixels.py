"""What the numbers in a decoded image mean: their white level, transparency and color space."""

import io
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageCms, ImagePalette, UnidentifiedImageError
from PIL.ImageFile import ImageFile

MODES = ("RGB", "L", "RGBA", "LA", "P", "PA", "1", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I", "F")

BIT_DEPTHS = (8, 10, 12, 14, 16)
"""Of cameras and scanners; a file of 16 bits may hold any of them without saying so."""

SAME_COLOR = 4
"""Levels of 255 by which an sRGB profile may differ from another."""

USUAL_GAMMA = 1 / 2.2
"""In PNG's sense, of files in sRGB."""

GUESSED_WHITE = "more than 8 bits but no white level, which was guessed from the values"
GUESSED_INK = "four inks but no Adobe marker, so which value means none was guessed"
MUCH_BLACK_INK = "so much black ink that it may be read as a negative, unless saved in RGB"
UNUSABLE_PROFILE = "a color profile that can't be used; it was taken as sRGB"
"""Notes: what a photo has that makes its colors doubtful."""

_OTHER_ORDER = "B" if sys.byteorder == "little" else "L"
_LOW_BYTES = {
    f"{bands};16{order}": f"{bands};16{low}"
    for bands in ("RGB", "RGBA", "RGBX", "CMYK", *"RGBA")
    for order, low in (("B", "L"), ("L", "B"), ("N", _OTHER_ORDER))
} | {"LA;16B": "RGBA"}
"""By the coding of 16 bits a color, from which Pillow takes the high 8, one that gives the low."""

_LEVELS = (0, 64, 128, 191, 255)
_CUBE = np.array([(r, g, b) for r in _LEVELS for g in _LEVELS for b in _LEVELS], np.uint8)
"""Colors on which profiles are compared."""


def is_deep_gray(image: Image.Image) -> bool:
    """Tell whether an image is gray of more than 8 bits."""
    return image.mode.startswith("I;16") or image.mode in ("I", "F")


def stated_white(image: Image.Image, data: bytes) -> float | None:
    """Return the value that means white by what a file of more than 8 bits says; `None`: nothing.

    `data` are the bytes of the file.
    """
    if image.format in ("PPM", "JPEG2000") and image.mode != "F":
        return 65535.0  # Pillow has scaled it
    if image.format == "PNG":
        bits = _significant_bits(data)
        return 2.0**bits - 1 if bits else None
    tags = getattr(image, "tag_v2", {})
    bits = max(np.ravel(tags.get(258, 16)))  # BitsPerSample
    if bits not in (16, 32):
        return 2.0**bits - 1
    highest = float(np.max(tags.get(341, tags.get(281, 0))))  # SMaxSampleValue, MaxSampleValue
    if highest <= 0 or image.mode == "F":
        return highest if highest > 0 else None
    return float(next((2**depth - 1 for depth in BIT_DEPTHS if highest < 2**depth), highest))


def _significant_bits(png: bytes) -> int:
    """Return the bits of the chunk sBIT; 0 where there is none."""
    start = png.find(b"sBIT", 0, max(0, png.find(b"IDAT")))
    channels = int.from_bytes(png[start - 4 : start], "big") if start > 0 else 0
    colors = channels - (channels in (2, 4))  # the last is of the alpha channel
    return max(png[start + 4 : start + 4 + min(colors, 3)], default=0)


def _white(highest: float, stated: float | None, mode: str, notes: list[str]) -> float:
    """Return the value that means white: as stated, if that can be, else the next usual one."""
    if stated is not None and highest <= stated:
        return stated
    usual = (1, 255, 65535) if mode == "F" else [2**depth - 1 for depth in BIT_DEPTHS]
    white = next((level for level in usual if highest <= level), highest)
    if highest > 0 and white != (1 if mode == "F" else 65535):
        notes.append(GUESSED_WHITE)
    return float(white)


def correct_header(image: ImageFile) -> None:
    """Set right what Pillow takes wrongly from the header of an image that is not decoded yet.

    Raises:
        OSError: it has indices of a palette, but no palette.
        UnidentifiedImageError: it is a TIFF of a kind that Pillow misreads.
    """
    coding, clear = coding_of(image), image.info.get("transparency")
    if image.format == "TIFF":
        _correct_tiff(image)
    elif image.format == "PNG":
        if image.mode == "P" and image.palette is None:
            raise OSError("its palette is missing")
        if isinstance(clear, int) and coding in ("L;2", "L;4"):
            image.info["transparency"] = clear * {"L;2": 85, "L;4": 17}[coding]
        elif isinstance(clear, tuple) and coding == "RGB;16B":
            image.info["transparency"] = tuple(value >> 8 for value in clear)


def _correct_tiff(tiff: Any) -> None:
    if tiff.mode == "L" and _is_signed(tiff):
        raise UnidentifiedImageError
    if _tag(tiff, 284) == 2:  # PlanarConfiguration
        _correct_planes(tiff)
    if tiff.tile[0].codec_name == "libtiff":  # which gives numbers in the order of the machine
        _recode(tiff, lambda coding: coding.replace("BS", "NS").replace("BF", "NF"))
    if tiff.mode in ("P", "PA"):
        colors = np.array(_tag(tiff, 320))  # ColorMap, of 16 bits, into which some write 8
        if colors.max() < 256:
            tiff.palette = ImagePalette.raw("RGB;L", colors.astype(np.uint8).tobytes())


def _correct_planes(tiff: Any) -> None:
    """Set right the coding of uncompressed planes, each of which is a letter of it to Pillow."""
    planes, is_raw = {*_codings(tiff)}, tiff.tile[0].codec_name == "raw"
    is_deep = max(_tag(tiff, 258) or (1,)) > 8  # BitsPerSample
    if _tag(tiff, 277) in (None, 1):  # SamplesPerPixel: one plane, which has all letters
        tiff.tag_v2[284] = 1
        tiff._setup()
    elif tiff.mode == "LA" or (is_raw and not planes <= {*("RGBA" if is_deep else "RGBALPCMYK")}):
        raise UnidentifiedImageError
    elif is_raw and is_deep:
        order = "L" if tiff.tag_v2.prefix == b"II" else "B"
        _recode(tiff, lambda plane: f"{plane};16{order}")


def _codings(image: ImageFile) -> list[str]:
    """Return how each tile of an image that is not decoded yet is coded, in Pillow's terms."""
    arguments = [tile.args for tile in image.tile]
    return [str(given[0] if isinstance(given, tuple) else given) for given in arguments]


def coding_of(image: ImageFile) -> str:
    """Return how the pixels of an image that is not decoded yet are coded, in Pillow's terms."""
    return next(iter(_codings(image)), "")


def _recode(image: ImageFile, recoded: Callable[[str], str]) -> None:
    """Let the tiles of an image be decoded as if they were coded in another way."""
    image.tile = [
        tile._replace(
            args=(recoded(coding), *tile.args[1:])
            if isinstance(tile.args, tuple)
            else recoded(coding)
        )
        for tile, coding in zip(image.tile, _codings(image), strict=True)
    ]


def is_dark_deep_color(image: Image.Image, coding: str) -> bool:
    """Tell whether an image of 16 bits a color, of which Pillow keeps 8, may be of less than 15."""
    return coding in _LOW_BYTES and int(np.asarray(image)[..., :3].max()) < 64


def keep_low_bytes(image: ImageFile) -> None:
    """Let an image of 16 bits a color, not decoded yet, be decoded to the low 8 of them.

    Raises:
        UnidentifiedImageError: it is a TIFF of compressed planes, of which Pillow has only the
            high 8.
    """
    if _tag(image, 284) == 2 and image.tile[0].codec_name == "libtiff":
        raise UnidentifiedImageError
    _recode(image, _LOW_BYTES.__getitem__)


def join_bytes(
    image: Image.Image, low: Image.Image, coding: str, white: float | None, notes: list[str]
) -> None:
    """Scale to 8 bits an image of 16, given by its high and its low bytes.

    `white` is as stated in the file. Transparency has the bits of the colors if it fits into them.
    """
    lows = [low.getchannel(n) for n in (1, 1, 1, 3)] if coding == "LA;16B" else low.split()
    bands = [
        np.asarray(first, np.uint16) << 8 | np.asarray(second)
        for first, second in zip(image.split(), lows, strict=True)
    ]
    white = _white(max(float(band.max()) for band in bands[:3]), white, image.mode, notes)
    scaled = [_scale(white if band.max() <= white else 65535.0, 1.0)[band] for band in bands]
    image.paste(Image.merge(image.mode, [Image.fromarray(band) for band in scaled]))


def to_rgb(image: Image.Image, stated: float | None, notes: list[str]) -> Image.Image:
    """Return a decoded image in RGB: sRGB colors on white.

    `stated` is the white level of gray of more than 8 bits. What had to be guessed, or can't be
    used, is added to `notes`.
    """
    profile = image.info.get("icc_profile")
    exponent = 1.0 if profile else _exponent(image)
    if is_deep_gray(image):
        image = _deep_gray(image, stated, exponent, notes)
        exponent = 1.0
    elif image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = _on_white(image)
    elif image.mode == "P":
        image = image.convert("RGB")
    elif image.mode == "CMYK" and image.format == "JPEG":
        image = _inks(image, notes)
    if exponent != 1:
        image = image.convert("RGB").point(_scale(255.0, exponent)[:256].tolist() * 3)
    if profile and image.mode in ("RGB", "CMYK", "L"):
        image = _to_srgb(image, profile, notes)
    return image if image.mode == "RGB" else image.convert("RGB")


@np.errstate(all="ignore")
def _deep_gray(
    image: Image.Image, stated: float | None, exponent: float, notes: list[str]
) -> Image.Image:
    """Scale 16-bit, 32-bit and float gray to 8 bits."""
    values = np.asarray(image)
    if _is_signed(image) and 16 in _tag(image, 258):
        values, stated = _from_signed(values, stated)
    elif image.mode == "I" and not _is_signed(image):
        values = values.view(np.uint32)  # which Pillow takes as signed
    elif image.mode == "F":
        values = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    white = _white(float(values.max(initial=0)), stated, image.mode, notes)
    if image.mode == "F" or white > 65535:
        gray = _eight_bits(np.maximum(values / white, 0) ** exponent)
    else:
        gray = _scale(white, exponent)[np.maximum(values, 0)]
    if _tag(image, 262) == 0:  # PhotometricInterpretation: 0 is white
        gray = 255 - gray
    if isinstance(clear := image.info.get("transparency"), int):
        gray[values == clear] = 255
    return Image.fromarray(gray)


def _from_signed(values: np.ndarray, stated: float | None) -> tuple[np.ndarray, float | None]:
    """Return signed 16-bit gray as unsigned, and its white level if its range tells that.

    Black is the least value if half of all negative ones are used, else 0.
    """
    if values.min() < -16384:
        return values + 32768, 65535.0
    return np.maximum(values, 0), 32767.0 if stated is None and values.max() > 16383 else stated


def _scale(white: float, exponent: float) -> np.ndarray:
    """Return the 8-bit value `(65536,)` of each 16-bit one."""
    return _eight_bits((np.arange(65536) / white) ** exponent)


def _eight_bits(shares: np.ndarray) -> np.ndarray:
    """Return the nearest of 256 levels for shares of white."""
    return np.clip(np.rint(shares * 255.0), 0, 255).astype(np.uint8)


def _tag(image: Image.Image, tag: int) -> Any:
    """Return the value of a tag of a TIFF; `None` where there is none."""
    return getattr(image, "tag_v2", {}).get(tag)


def _is_signed(image: Image.Image) -> bool:
    return 2 in np.ravel(_tag(image, 339) or 1)  # SampleFormat


def _exponent(image: Image.Image) -> float:
    """Return the exponent that turns values of a PNG with the chunk gAMA into those of sRGB."""
    gamma = 0.0 if "srgb" in image.info else image.info.get("gamma", 0.0)
    if not 0.2 <= gamma <= 2 or abs(gamma - USUAL_GAMMA) < 0.02:
        return 1.0
    return USUAL_GAMMA / gamma


def _on_white(image: Image.Image) -> Image.Image:
    layers = image.convert("RGBA")
    if image.format in ("BMP", "DIB", "TGA") and layers.getchannel("A").getextrema() == (0, 0):
        return layers.convert("RGB")  # the fourth channel is unused
    white = Image.new("RGBA", layers.size, "white")
    return Image.alpha_composite(white, layers).convert("RGB")


def _inks(image: Image.Image, notes: list[str]) -> Image.Image:
    """Return inks as amounts; Pillow has taken the least value for the most, as Adobe writes it.

    Most of a photo has little black ink.
    """
    is_black = np.asarray(image.getchannel("K")).mean() > 127
    if "adobe" not in image.info:
        notes.append(GUESSED_INK)
        return ImageChops.invert(image) if is_black else image
    if is_black:
        notes.append(MUCH_BLACK_INK)
    return image


def _to_srgb(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    """Convert an image to sRGB; return it unchanged if its profile can't be used."""
    if profile[16:20] == b"GRAY" and len({band.tobytes() for band in image.split()}) == 1:
        image = image.getchannel(0)  # of gray on white
    try:
        if _is_srgb(profile):
            return image
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, srgb, outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        notes.append(UNUSABLE_PROFILE)
        return image


@lru_cache(maxsize=16)
def _is_srgb(profile: bytes) -> bool:
    """Tell whether a profile is called sRGB and is, by what it makes of some colors."""
    source = ImageCms.getOpenProfile(io.BytesIO(profile))
    called_srgb = "sRGB" in ImageCms.getProfileDescription(source)
    if not called_srgb or source.profile.xcolor_space != "RGB ":
        return False
    cube = Image.fromarray(_CUBE[None])
    srgb = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(cube, source, srgb, outputMode="RGB")
    return int(np.abs(np.asarray(converted, int) - _CUBE).max()) <= SAME_COLOR
