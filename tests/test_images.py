"""Whatever the bytes: an upright RGB image, or a reason."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import EXAMPLES
from image_files import halves, saved_as
from PIL import Image, ImageCms

from pandacat.data.images import UnreadablePhotoError, decode_photo, perceptual_hash

READ: dict[str, Any] = {"image_px": 96, "max_megapixels": 1.0}


def is_red(pixel: Any) -> bool:
    return pixel[0] > 180 and pixel[1] < 80 and pixel[2] < 80


def sides_are_red_and_blue(image: Image.Image) -> bool:
    left: Any = image.getpixel((4, 40))
    right: Any = image.getpixel((image.width - 4, 40))
    return is_red(left) and is_red(right[::-1])


@pytest.mark.parametrize(
    ("form", "change"),
    [
        ("JPEG", lambda image: image),
        ("PNG", lambda image: image),
        ("WEBP", lambda image: image),
        ("TIFF", lambda image: image),
        ("BMP", lambda image: image),
        ("GIF", lambda image: image),
        ("AVIF", lambda image: image),
        ("JPEG", lambda image: image.convert("CMYK")),
        ("PNG", lambda image: image.quantize(4)),
        ("PNG", lambda image: image.convert("RGBA")),
    ],
)
def test_an_image_keeps_its_colors_in_every_format_and_mode(
    form: str, change: Callable[[Image.Image], Image.Image]
) -> None:
    photo = decode_photo(saved_as(change(halves()), form), **READ)
    assert photo.image.mode == "RGB"
    assert sides_are_red_and_blue(photo.image)
    assert (photo.width_px, photo.height_px) == (160, 120)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(orientation: int) -> None:
    upright = halves()
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright.transpose(undo) if undo is not None else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = decode_photo(saved_as(stored, "JPEG", exif=exif, quality=95), **READ)
    assert (photo.width_px, photo.height_px) == (160, 120)
    assert sides_are_red_and_blue(photo.image)


def test_transparency_is_laid_on_white() -> None:
    image = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    assert decode_photo(saved_as(image, "PNG"), **READ).image.getpixel((5, 5)) == (255, 255, 255)


def test_sixteen_bit_gray_keeps_its_shades() -> None:
    shades = np.linspace(0, 65535, 100, dtype=np.uint16)[None].repeat(100, axis=0)
    read = np.asarray(decode_photo(saved_as(Image.fromarray(shades), "PNG"), **READ).image)
    assert read[50, 2, 0] < 12
    assert read[50, -3, 0] > 243
    assert abs(int(read[50, 48, 0]) - 127) < 6


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0, 100_000.0])
def test_gray_in_floating_point_keeps_its_shades_whatever_is_white(white: float) -> None:
    shades = np.linspace(0, white, 100, dtype=np.float32)[None].repeat(100, axis=0)
    read = np.asarray(decode_photo(saved_as(Image.fromarray(shades), "TIFF"), **READ).image)
    assert read[50, 2, 0] < 12
    assert read[50, -3, 0] > 243
    assert abs(int(read[50, 48, 0]) - 127) < 6


def test_color_profiles_are_applied() -> None:
    """The sRGB profile with its red and blue primaries exchanged: red bytes mean blue."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exchanged = srgb.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    exchanged = exchanged.replace("sRGB".encode("utf-16-be"), "odd ".encode("utf-16-be"))
    exchanged = exchanged.replace(b"sRGB", b"odd ")
    for form in ("JPEG", "PNG", "TIFF"):
        image = decode_photo(saved_as(halves(), form, icc_profile=exchanged), **READ).image
        assert sides_are_red_and_blue(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
        useless = decode_photo(saved_as(halves(), form, icc_profile=srgb[:200]), **READ).image
        assert sides_are_red_and_blue(useless)
    for mode in ("RGBA", "P"):
        data = saved_as(halves().convert(mode), "PNG", icc_profile=exchanged)
        image = decode_photo(data, **READ).image
        assert sides_are_red_and_blue(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))


def test_transparent_entries_of_a_palette_turn_white() -> None:
    image = Image.new("P", (100, 100), 0)
    image.putpalette([0, 0, 0, 200, 16, 0])
    image.paste(1, (0, 0, 50, 100))
    read = decode_photo(saved_as(image, "PNG", transparency=0), **READ).image
    assert (read.getpixel((20, 50)), read.getpixel((80, 50))) == ((200, 16, 0), (255, 255, 255))


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (100, 100), color) for color in ("red", "blue")]
    data = saved_as(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert is_red(decode_photo(data, **READ).image.getpixel((50, 50)))


def test_a_large_photo_is_shrunk_to_the_shorter_side_and_a_small_one_is_left() -> None:
    assert decode_photo(saved_as(halves((800, 400)), "JPEG"), **READ).image.size == (192, 96)
    assert decode_photo(saved_as(halves((60, 32)), "PNG"), **READ).image.size == (60, 32)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"this is a text", "not an image"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 50, "not an image|damaged"),
        (saved_as(halves((400, 300)), "JPEG")[:800], "damaged"),
        (saved_as(halves((400, 300)), "PNG")[:300], "damaged"),
        (saved_as(Image.new("L", (1200, 1200)), "PNG"), "more than 1 megapixels"),
        (saved_as(Image.new("L", (70_000, 2)), "PNG"), "more than 65,000 px long"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "HEIC: save it as JPEG"),
    ],
)
def test_what_is_no_complete_image_is_refused_with_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadablePhotoError, match=reason):
        decode_photo(data, **READ)


def test_a_truncated_photo_is_refused_even_where_nothing_has_to_be_shrunk() -> None:
    whole = saved_as(halves((90, 80)), "JPEG", quality=95)
    with pytest.raises(UnreadablePhotoError, match="damaged"):
        decode_photo(whole[: len(whole) // 2], **READ)


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    bomb = saved_as(Image.new("1", (15_000, 15_000)), "PNG")
    with pytest.raises(UnreadablePhotoError, match="megapixels"):
        decode_photo(bomb, **READ)


def test_damaged_real_photos_give_an_image_or_a_reason_and_nothing_else() -> None:
    generator = np.random.default_rng(0)
    originals = [path.read_bytes() for path in sorted(EXAMPLES.rglob("*.jpg"))[:3]]
    for number in range(150):
        data = bytearray(originals[number % len(originals)])
        for place in generator.integers(0, len(data), 8):
            data[place] = generator.integers(256)
        cut = int(generator.integers(1, len(data)))
        try:
            image = decode_photo(bytes(data[:cut] if number % 3 == 0 else data), **READ).image
        except UnreadablePhotoError:
            continue
        assert image.mode == "RGB"


def bits_apart(first: str, second: str) -> int:
    return (int(first, 16) ^ int(second, 16)).bit_count()


def test_copies_have_nearly_the_same_perceptual_hash_and_other_photos_do_not() -> None:
    images = [Image.open(path).convert("RGB") for path in sorted(EXAMPLES.rglob("*.jpg"))]
    fingerprints = [perceptual_hash(image)[0] for image in images]
    for image, own in zip(images, fingerprints, strict=True):
        smaller = image.resize((image.width // 2, image.height // 2))
        copy = Image.open(io.BytesIO(saved_as(smaller, "JPEG", quality=40)))
        mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        assert bits_apart(own, perceptual_hash(copy)[0]) <= 8
        assert bits_apart(own, perceptual_hash(mirrored)[1]) <= 8
    others = [bits_apart(a, b) for n, a in enumerate(fingerprints) for b in fingerprints[n + 1 :]]
    assert min(others) > 20
