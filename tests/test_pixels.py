"""What the numbers in an image file mean: white, transparency, inks, color spaces."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from image_files import chunk, halves, png_of, saved_as, tiff_of, with_chunks
from PIL import Image, ImageCms

from pandacat.data.images import Photo, UnreadablePhotoError, decode_photo
from pandacat.data.pixels import (
    GUESSED_INK,
    GUESSED_WHITE,
    MUCH_BLACK_INK,
    UNUSABLE_PROFILE,
)

READ: dict[str, Any] = {"image_px": 96, "max_megapixels": 1.0}
SHADES = np.linspace(0, 1, 90)[None, :, None].repeat(80, axis=0)


def read(data: bytes) -> Photo:
    return decode_photo(data, **READ)


def of_bits(bits: int, channels: int = 1) -> np.ndarray:
    """Shades from black to white of so many bits, in 16."""
    return np.round(SHADES * (2**bits - 1)).astype(np.uint16).repeat(channels, axis=2)


def holds_the_shades(photo: Photo, channel: int = 0) -> bool:
    row = np.asarray(photo.image, int)[40, :, channel]
    return int(np.abs(row - np.round(SHADES[0, :, 0] * 255)).max()) <= 1


def pgm(values: np.ndarray, highest: int) -> bytes:
    height, width, _ = values.shape
    return b"P5 %d %d %d\n" % (width, height, highest) + values.astype(">u2").tobytes()


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize(
    "write",
    [
        lambda values, bits: png_of(values),
        lambda values, bits: png_of(values, chunk(b"sBIT", bytes([bits]))),
        lambda values, bits: tiff_of(values, {}),
        lambda values, bits: tiff_of(values, {281: [2**bits - 1]}),
        lambda values, bits: pgm(values, 2**bits - 1),
    ],
    ids=["PNG", "PNG with sBIT", "TIFF", "TIFF with MaxSampleValue", "PGM"],
)
def test_gray_of_fewer_bits_than_its_file_has_keeps_its_shades(
    write: Callable[[np.ndarray, int], bytes], bits: int
) -> None:
    assert holds_the_shades(read(write(of_bits(bits), bits)))


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_each_shade_of_gray_becomes_the_nearest_level(bits: int) -> None:
    values = np.linspace(0, 2**bits - 1, 80 * 90).astype(np.uint16).reshape(80, 90, 1)
    nearest = np.rint(values[..., 0] / (2**bits - 1) * 255)
    for data in (png_of(values, chunk(b"sBIT", bytes([bits]))), pgm(values, 2**bits - 1)):
        assert (np.asarray(read(data).image)[..., 0] == nearest).all()


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_so_does_color(bits: int, channels: int) -> None:
    values = of_bits(bits, channels)
    if channels in (2, 4):
        values[..., -1] = 65535
    assert holds_the_shades(read(png_of(values)), 2)
    if channels == 3:
        assert holds_the_shades(read(tiff_of(values, {})), 2)


@pytest.mark.parametrize("channels", [2, 4])
def test_transparency_of_fewer_bits_than_its_file_has_hides_nothing(channels: int) -> None:
    values = of_bits(12, channels)
    values[..., -1] = 4095
    assert holds_the_shades(read(png_of(values)))


def test_a_white_level_is_noted_where_it_is_guessed_and_only_there() -> None:
    told = (png_of(of_bits(12), chunk(b"sBIT", b"\x0c")), pgm(of_bits(12), 4095))
    for data in (*told, png_of(of_bits(16)), png_of(of_bits(16, 3))):
        assert read(data).notes == ()
    for data in (png_of(of_bits(12)), png_of(of_bits(12, 3)), tiff_of(of_bits(12), {})):
        assert read(data).notes == (GUESSED_WHITE,)


def test_a_dark_photo_stays_dark_where_its_file_says_what_white_is() -> None:
    dark = of_bits(10)
    for data in (pgm(dark, 65535), png_of(dark, chunk(b"sBIT", b"\x10"))):
        photo = read(data)
        assert np.asarray(photo.image).max() == 4
        assert photo.notes == ()


TIFF_KINDS: dict[str, tuple[np.ndarray, dict[int, list[int]]]] = {
    "RGB": (of_bits(16, 3), {}),
    "RGB of 12 bits": (of_bits(12, 3), {}),
    "RGBA": (np.dstack([of_bits(16, 3), of_bits(16) * 0 + 65535]), {338: [2]}),
    "gray": (of_bits(16), {}),
    "gray of 8 bits where 0 is white": (255 - of_bits(8).astype(np.uint8), {262: [0]}),
    "CMYK": (np.dstack([65535 - of_bits(16, 3), of_bits(16) * 0]), {262: [5]}),
    "CMYK of 12 bits": (np.dstack([4095 - of_bits(12, 3), of_bits(12) * 0]), {262: [5]}),
    "signed": (of_bits(15), {339: [2]}),
    "signed of 12 bits": (of_bits(12), {339: [2]}),
    "signed and negative": (of_bits(16) ^ 0x8000, {339: [2]}),
    "32 bits": (np.round(SHADES * (2**32 - 1)).astype(np.uint32), {}),
    "signed 32 bits": (np.round(SHADES * (2**31 - 1)).astype(np.uint32), {339: [2]}),
    "float": (SHADES.astype(np.float32), {339: [3]}),
    "gray and transparency of 8 bits": (
        np.dstack([of_bits(8), of_bits(8) * 0 + 255]).astype(np.uint8),
        {338: [2]},
    ),
    "signed 8 bits": (of_bits(7).astype(np.uint8), {339: [2]}),
    "gray and transparency": (np.dstack([of_bits(16)] * 2), {338: [2]}),
    "five channels": (of_bits(8, 5).astype(np.uint8), {}),
    "float RGB": (SHADES.astype(np.float32).repeat(3, axis=2), {339: [3] * 3}),
    "float of 64 bits": (SHADES, {339: [3]}),
}

NEVER_READ = {*[*TIFF_KINDS][-5:]}
NOT_READ_AS_PLANES = {
    "uncompressed": {"CMYK", "CMYK of 12 bits", "gray and transparency of 8 bits"},
    "deflated": {"RGB of 12 bits", "CMYK of 12 bits", "gray and transparency of 8 bits"},
}
NOT_READ_IN_ORDER = {"<": set[str](), ">": {"32 bits"}}


@pytest.mark.parametrize("order", ["<", ">"], ids=["little-endian", "big-endian"])
@pytest.mark.parametrize("planes", [1, 2], ids=["chunky", "planes"])
@pytest.mark.parametrize("coding", ["uncompressed", "deflated"])
@pytest.mark.parametrize("kind", TIFF_KINDS)
def test_a_tiff_keeps_its_shades_or_is_refused(
    kind: str, coding: str, planes: int, order: Literal["<", ">"]
) -> None:
    values, tags = TIFF_KINDS[kind]
    how = {259: [8 if coding == "deflated" else 1], 284: [planes]}
    data = tiff_of(values, {**tags, **how}, order)
    not_read = NEVER_READ | NOT_READ_IN_ORDER[order]
    if planes == 2:
        not_read |= NOT_READ_AS_PLANES[coding]
    if kind in not_read:
        with pytest.raises(UnreadablePhotoError, match="a kind of TIFF that is not read: save it"):
            read(data)
    else:
        assert holds_the_shades(read(data))


def test_gray_of_twelve_packed_bits_keeps_its_shades() -> None:
    packed = tiff_of(of_bits(12)[:, :, :1], {258: [12]})
    pairs = of_bits(12).reshape(80, 45, 2).astype(np.uint32)
    content = (pairs[..., 0] << 12 | pairs[..., 1]).astype(">u4").tobytes()
    rows = b"".join(content[n + 1 : n + 4] for n in range(0, len(content), 4))
    photo = read(packed[:8] + rows.ljust(80 * 180, b"\0") + packed[8 + 80 * 180 :])
    assert holds_the_shades(photo)


def test_where_0_is_white_shades_are_not_reversed() -> None:
    assert holds_the_shades(read(tiff_of(65535 - of_bits(16), {262: [0]})))


def test_a_palette_of_8_bits_in_a_tiff_keeps_its_colors() -> None:
    indices = np.zeros((80, 90, 1), np.uint8)
    colors = [200, *[0] * 255, 100, *[0] * 255, 50, *[0] * 255]
    for scale in (1, 257):
        data = tiff_of(indices, {262: [3], 320: [scale * value for value in colors]})
        assert read(data).image.getpixel((9, 9)) == (200, 100, 50)


def test_a_palette_without_colors_is_refused() -> None:
    data = saved_as(halves().quantize(4), "PNG")
    start = data.index(b"PLTE") - 4
    with pytest.raises(Exception, match="palette is missing"):
        read(data[:start] + data[data.index(b"IDAT") - 4 :])


@pytest.mark.parametrize(("bits", "value"), [(8, 100), (16, 40_000)])
def test_the_gray_that_stands_for_transparent_turns_white(bits: int, value: int) -> None:
    values = np.full((80, 90, 1), value, np.uint8 if bits == 8 else np.uint16)
    values[:, :45] = 0
    image = read(png_of(values, chunk(b"tRNS", value.to_bytes(2, "big")))).image
    assert (image.getpixel((9, 9)), image.getpixel((80, 9))) == ((0, 0, 0), (255, 255, 255))


def test_the_color_that_stands_for_transparent_turns_white_in_16_bits() -> None:
    values = np.full((80, 90, 3), 40_000, np.uint16)
    values[:, :45] = 0
    image = read(png_of(values, chunk(b"tRNS", (40_000).to_bytes(2, "big") * 3))).image
    assert (image.getpixel((9, 9)), image.getpixel((80, 9))) == ((0, 0, 0), (255, 255, 255))


@pytest.mark.parametrize("form", ["TGA", "BMP"])
def test_a_fourth_channel_that_hides_everything_is_not_used(form: str) -> None:
    image = halves().convert("RGBA")
    image.putalpha(0)
    left: Any = read(saved_as(image, form)).image.getpixel((9, 9))
    assert left == (255, 0, 0)


@pytest.mark.parametrize("gamma", [1.0, 1 / 1.8, 1 / 2.2])
def test_the_gamma_of_a_png_is_applied(gamma: float) -> None:
    encoded = np.round((SHADES**2.2) ** gamma * 255).astype(np.uint8)
    data = png_of(encoded, chunk(b"gAMA", round(gamma * 1e5).to_bytes(4, "big")))
    row = np.asarray(read(data).image, int)[40, 30:, 0]
    assert np.abs(row - np.round(SHADES[0, 30:, 0] * 255)).max() <= 3
    both = with_chunks(data, chunk(b"sRGB", b"\0"))
    assert (np.asarray(read(both).image)[40, :, 0] == encoded[40, :, 0]).all()


def without_adobe_marker(jpeg: bytes) -> bytes:
    start = jpeg.index(b"\xff\xee")
    return jpeg[:start] + jpeg[start + 16 :]


def test_inks_without_a_word_on_their_order_are_guessed_from_the_values() -> None:
    inks = halves().convert("CMYK")
    adobe = saved_as(inks, "JPEG", quality=95)
    reversed_inks = Image.eval(inks, lambda value: 255 - value)
    plain = without_adobe_marker(saved_as(reversed_inks, "JPEG", quality=95))
    for data in (adobe, without_adobe_marker(adobe), plain):
        left: Any = read(data).image.getpixel((9, 9))
        assert left[0] > 240
        assert max(left[1:]) < 15
    assert [read(data).notes for data in (adobe, plain)] == [(), (GUESSED_INK,)]


def test_inks_that_are_mostly_black_are_noted() -> None:
    inks = Image.eval(halves().convert("CMYK"), lambda value: 255 - value)
    assert read(saved_as(inks, "JPEG")).notes == (MUCH_BLACK_INK,)


def linear_gray() -> bytes:
    """A gray profile of gamma 1, by ICC.1:2010."""
    curve = b"curv" + bytes(8)
    white = b"XYZ " + bytes(4) + b"\0\0\xf6\xd6\0\1\0\0\0\0\xd3\x2d"
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", 156, 20, b"kTRC", 176, 12)
    head = struct.pack(">I4sI4s4s4s12x4s", 188, b"", 2 << 24, b"mntr", b"GRAY", b"XYZ ", b"acsp")
    return head.ljust(68, b"\0") + white[8:] + bytes(48) + tags + white + curve


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_gray_profile_is_applied_with_transparency_and_without(channels: int, bits: int) -> None:
    values = np.round(SHADES.repeat(channels, axis=2) ** 2.2 * (2**bits - 1))
    values[..., 1:] = 2**bits - 1
    profile = chunk(b"iCCP", b"gray\0\0" + zlib.compress(linear_gray()))
    photo = read(png_of(values.astype(np.uint8 if bits == 8 else np.uint16), profile))
    row = np.asarray(photo.image, int)[40, 30:, 0]
    assert np.abs(row - np.round(SHADES[0, 30:, 0] * 255)).max() <= 5
    assert photo.notes == ()


def exchanged_primaries() -> bytes:
    """The sRGB profile, still called so, in which red bytes mean blue."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return srgb.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")


def test_a_profile_counts_by_its_curves_and_not_by_its_name() -> None:
    profile = exchanged_primaries()
    source = ImageCms.getOpenProfile(io.BytesIO(profile))
    assert "sRGB" in ImageCms.getProfileDescription(source)
    for form in ("JPEG", "PNG", "TIFF", "WEBP"):
        left: Any = read(saved_as(halves(), form, icc_profile=profile)).image.getpixel((9, 9))
        assert left[2] > 240


def test_the_real_srgb_profile_changes_no_pixel() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    generator = np.random.default_rng(0)
    image = Image.fromarray(generator.integers(0, 256, (90, 80, 3), dtype=np.uint8))
    photo = read(saved_as(image, "PNG", icc_profile=srgb))
    assert photo.image.tobytes() == image.tobytes()
    assert photo.notes == ()


def test_a_profile_that_cannot_be_used_is_noted() -> None:
    photo = read(saved_as(halves(), "JPEG", icc_profile=b"no profile"))
    assert photo.notes == (UNUSABLE_PROFILE,)
