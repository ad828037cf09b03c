"""Damaged images of every format that is read, and of some that are not."""

import io
import random
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from image_files import chunk, png_of, tiff_of
from PIL import Image, ImageCms

from drawn_animals import draw
from pandacat.data.images import UnreadablePhotoError, decode_photo, encode_jpeg, perceptual_hash
from torture.damage import damaged

EXAMPLES = Path(__file__).parents[2] / "examples"
SIDE_PX = 384


def mutant(number: int) -> bytes:
    """Return a damaged image; every hundredth is not damaged at all."""
    generator = random.Random(f"photos {number}")
    if number % 100 == 0:
        return generator.choice(originals())
    return damaged(originals(), generator)


def examine(data: bytes) -> str:
    """Decode it as `preprocess` does: an RGB image or a reason, nothing else."""
    try:
        photo = decode_photo(data, image_px=SIDE_PX, max_megapixels=100)
    except UnreadablePhotoError as error:
        if not str(error).strip():
            raise AssertionError("refused without a reason") from None
        return "refused for lack of memory" if "memory" in str(error) else "refused"
    width, height = photo.image.size
    assert photo.image.mode == "RGB", photo.image.mode
    assert min(width, height) <= SIDE_PX, photo.image.size
    assert np.asarray(photo.image).shape == (height, width, 3)
    perceptual_hash(photo.image)
    encode_jpeg(photo.image, 92)
    return "read"


@cache
def originals() -> tuple[bytes, ...]:
    """Return photos and a drawn image, in 47 forms; some are of formats that are not read."""
    jpegs = [path.read_bytes() for path in sorted(EXAMPLES.rglob("*.jpg"))[:6]]
    jpegs.append(draw("panda", 1, 1))
    with Image.open(EXAMPLES / "cat/kitten.jpg") as opened:
        photo = opened.convert("RGB")
        photo.thumbnail((160, 160))
    return (*jpegs, *_forms(photo))


def _forms(photo: Image.Image) -> list[bytes]:
    clear = photo.copy()
    clear.putalpha(photo.convert("L"))
    deep = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    few = photo.quantize(64)
    frames = {"save_all": True, "append_images": [photo.rotate(90), photo.rotate(180)]}
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return [
        _saved(photo, "JPEG", progressive=True, exif=exif, icc_profile=profile),
        _saved(photo.convert("CMYK"), "JPEG"),
        _saved(photo.convert("L"), "JPEG"),
        _saved(photo, "PNG", icc_profile=profile),
        _saved(clear, "PNG"),
        _saved(deep, "PNG"),
        _saved(few, "PNG", transparency=3),
        _saved(photo.convert("1"), "PNG"),
        _saved(photo, "PNG", **frames),
        _saved(few, "GIF"),
        _saved(few, "GIF", transparency=3, **frames),
        _saved(photo, "WEBP", exif=exif),
        _saved(clear, "WEBP", lossless=True),
        _saved(photo, "WEBP", **frames),
        _saved(photo, "TIFF"),
        _saved(photo, "TIFF", compression="tiff_lzw"),
        _saved(photo, "TIFF", compression="tiff_adobe_deflate", **frames),
        _saved(photo, "TIFF", compression="jpeg"),
        _saved(photo.convert("1"), "TIFF", compression="group4"),
        _saved(deep, "TIFF"),
        _saved(photo.convert("F"), "TIFF"),
        _saved(photo.convert("LAB"), "TIFF"),
        _saved(photo, "AVIF"),
        _saved(clear, "AVIF"),
        _saved(photo, "BMP"),
        _saved(photo, "PPM"),
        _saved(photo, "TGA", compression="tga_rle"),
        _saved(photo, "JPEG2000"),
        _saved(photo, "DIB"),
        *_of_few_bits(photo),
        *_not_read(photo, clear),
    ]


def _of_few_bits(photo: Image.Image) -> list[bytes]:
    """Colors and gray of 10 and 12 bits in files of 16, with and without their white level."""
    color = np.asarray(photo, np.uint16) * 4
    gray = np.asarray(photo.convert("L"), np.uint16)[..., None] * 16
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(3000)))
    return [
        png_of(color),
        png_of(gray, chunk(b"sBIT", b"\x0c"), chunk(b"tEXt", b"Software\0scanner"), profile),
        tiff_of(color, {}),
        tiff_of(gray, {262: [0], 281: [4095]}),
        b"P5 %d %d 4095\n" % photo.size + gray.astype(">u2").tobytes(),
    ]


def _not_read(photo: Image.Image, clear: Image.Image) -> list[bytes]:
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{ } loop\n"
    return [
        postscript,
        _saved(photo, "EPS"),
        _saved(photo, "PDF"),
        _saved(clear, "ICNS"),
        _saved(clear, "ICO"),
        b"\xd7\xcd\xc6\x9a" + bytes(40),
    ]


def _saved(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()
