"""Files whose pixels are whole are read, whatever is wrong with the rest of them."""

import re
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import process_time
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from conftest import EXAMPLES
from dvc_stages import ROOT
from image_files import chunk, halves, png_of, saved_as, with_chunks
from PIL import Image, ImageCms

from pandacat.app import predict
from pandacat.config.loading import load_config
from pandacat.core.console import print_notes
from pandacat.core.errors import PandacatError
from pandacat.data.images import DAMAGED_METADATA, Photo, UnreadablePhotoError, decode_photo
from pandacat.data.preprocess import preprocess
from pandacat.data.provenance import Provenance
from pandacat.evaluation.shortcuts import header_properties
from pandacat.models.classifier import Prediction

READ: dict[str, Any] = {"image_px": 96, "max_megapixels": 1.0}


def read(data: bytes) -> Photo:
    return decode_photo(data, **READ)


@cache
def photo() -> Image.Image:
    with Image.open(EXAMPLES / "cat/kitten.jpg") as opened:
        return opened.convert("RGB").resize((160, 120))


@cache
def saved(form: str, **options: Any) -> bytes:
    return saved_as(photo(), form, **options)


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def segment(marker: int, content: bytes, *, length: int | None = None) -> bytes:
    stated = len(content) + 2 if length is None else length
    return bytes([0xFF, marker]) + struct.pack(">H", stated) + content


def after_soi(jpeg: bytes, *segments: bytes) -> bytes:
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def before_idat(png: bytes, *chunks: bytes) -> bytes:
    place = png.index(b"IDAT") - 4
    return png[:place] + b"".join(chunks) + png[place:]


def with_end(png: bytes, tail: bytes) -> bytes:
    return png[: png.index(b"IEND") - 4] + tail


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"XML:com.adobe.xmp\0"
TEXT = b"<layer/>" * 250_000


def adding(*chunks: bytes) -> Callable[[bytes], bytes]:
    return lambda png: with_chunks(png, *chunks)


PNG_DEFECTS: dict[str, Callable[[bytes], bytes]] = {
    **{
        f"checksum of {name.decode()}": adding(chunk(name, content, checksum=0))
        for name, content in {
            b"iCCP": b"p\0\0" + zlib.compress(SRGB), b"tEXt": b"Software\0scanner",
            b"eXIf": exif(1)[6:], b"tIME": bytes(7), b"gAMA": (45455).to_bytes(4, "big"),
            b"pHYs": bytes(9), b"cHRM": bytes(32), b"zTXt": b"a\0\0" + zlib.compress(b"b"),
            b"prVt": b"private",
        }.items()
    },
    **{
        f"short {name.decode()}": adding(chunk(name, b"\0"))
        for name in (b"gAMA", b"cHRM", b"pHYs", b"acTL", b"fcTL", b"tRNS")
    },
    "text of 20 MB": lambda png: with_chunks(
        png, chunk(b"zTXt", b"history\0\0" + zlib.compress(b"edit;" * 4_000_000))
    ),
    "text of 70 MB in parts": lambda png: with_chunks(
        png, *[chunk(b"iTXt", XMP + b"\1\0\0\0" + zlib.compress(bytes(14_000_000)))] * 5
    ),
    "profile packed in an unknown way": adding(chunk(b"iCCP", b"p\0\7abc")),
    "frames out of order": adding(
        chunk(b"acTL", b"\0\0\0\2" + bytes(4)), chunk(b"fcTL", b"\0\0\0\7" + bytes(22))
    ),
    "length of text that leads nowhere": adding(b"\0\0\7\7tEXtSoftware\0scanner" + bytes(4)),
    "checksum of the header": lambda png: png[:29] + bytes(4) + png[33:],
    "text cut off after the pixels": lambda png: with_end(png, b"\0\1\0\0tEXtSoftware\0"),
    "wrong text after the pixels": lambda png: with_end(png, chunk(b"pHYs", b"\0")),
}  # fmt: skip

JPEG_DEFECTS: dict[str, Callable[[bytes], bytes]] = {
    "short JFIF": lambda jpeg: after_soi(jpeg, segment(0xE0, b"JFIF\0")),
    "short Adobe marker": lambda jpeg: after_soi(jpeg, segment(0xEE, b"Adobe")),
    "short profile": lambda jpeg: after_soi(jpeg, segment(0xE2, b"ICC_PROFILE\0\1")),
    "EXIF that is none": lambda jpeg: after_soi(jpeg, segment(0xE1, b"Exif\0\0" + b"\xff\xd8" * 9)),
    "EXIF longer than it says": lambda jpeg: after_soi(
        jpeg, segment(0xE1, b"Exif\0\0" + saved("JPEG", quality=20), length=8)
    ),
    "EXIF shorter than it says": lambda jpeg: after_soi(
        jpeg, segment(0xE1, b"Exif\0\0" + bytes(99), length=60_000)
    ),
    "reserved marker": lambda jpeg: after_soi(jpeg, b"\xff\x02"),
    "start written twice": lambda jpeg: jpeg[:2] + jpeg,
    "no end": lambda jpeg: jpeg[:-2],
    "half an end": lambda jpeg: jpeg[:-1],
}

JPEG_DEFECTS_THAT_DECODERS_TOLERATE: dict[str, Callable[[bytes], bytes]] = {
    "segment of no length": lambda jpeg: after_soi(jpeg, segment(0xEC, b"", length=0)),
    "no end, but a trailer": lambda jpeg: jpeg[:-2] + bytes(300),
}

TRAILERS = (b"\0" * 9, b"\n", b"trailer" * 999, b"\xff\xd8\xff\xe1\0\x10")


def test_a_whole_file_has_no_notes() -> None:
    for form in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF"):
        for trailer in (b"", *TRAILERS):
            assert read(saved(form) + trailer).notes == ()


@pytest.mark.parametrize("defect", PNG_DEFECTS.values(), ids=PNG_DEFECTS)
def test_a_png_with_a_defect_beside_its_pixels_is_read_and_noted(
    defect: Callable[[bytes], bytes],
) -> None:
    data = defect(saved("PNG"))
    found = read(data)
    assert found.image.tobytes() == read(saved("PNG")).image.tobytes()
    assert found.notes == (DAMAGED_METADATA,)
    assert header_properties(data)["width_px"] == 160


@pytest.mark.parametrize(
    "defect", JPEG_DEFECTS_THAT_DECODERS_TOLERATE.values(), ids=JPEG_DEFECTS_THAT_DECODERS_TOLERATE
)
def test_so_is_one_whose_defect_decoders_tolerate(defect: Callable[[bytes], bytes]) -> None:
    for options in ({}, {"progressive": True}):
        found = read(defect(saved("JPEG", **options)))
        assert found.image.tobytes() == read(saved("JPEG", **options)).image.tobytes()


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
@pytest.mark.parametrize("defect", JPEG_DEFECTS.values(), ids=JPEG_DEFECTS)
def test_a_jpeg_with_a_defect_beside_its_pixels_is_read_and_noted(
    defect: Callable[[bytes], bytes], options: dict[str, Any]
) -> None:
    data = defect(saved("JPEG", **options))
    found = read(data)
    assert found.image.tobytes() == read(saved("JPEG", **options)).image.tobytes()
    assert found.notes == (DAMAGED_METADATA,)
    assert header_properties(data)["width_px"] == 160


def test_large_profiles_and_texts_of_a_png_are_no_defect() -> None:
    """Profiles of printers have more than Pillow's limit of one megabyte, and so has XMP."""
    profile = b"p\0\0" + zlib.compress(SRGB + np.random.default_rng(0).bytes(1_200_000))
    png = with_chunks(
        saved("PNG"),
        chunk(b"iCCP", profile),
        chunk(b"iTXt", XMP + b"\1\0\0\0" + zlib.compress(TEXT)),
        chunk(b"zTXt", b"history\0\0" + zlib.compress(TEXT)),
    )
    found = read(png)
    assert found.notes == ()
    assert found.image.tobytes() == read(saved("PNG")).image.tobytes()


def test_orientation_and_profile_survive_other_defects() -> None:
    exchanged = SRGB.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    for form, harm in (
        ("JPEG", JPEG_DEFECTS["short JFIF"]),
        ("JPEG", JPEG_DEFECTS["no end"]),
        ("PNG", PNG_DEFECTS["checksum of tEXt"]),
    ):
        whole = saved_as(halves(), form, exif=exif(6), icc_profile=exchanged)
        found = read(harm(whole))
        assert found.notes == (DAMAGED_METADATA,)
        assert found.image.tobytes() == read(whole).image.tobytes()
        assert (found.width_px, found.height_px) == (120, 160)
        top: Any = found.image.getpixel((50, 4))
        assert top[2] > 240


@pytest.mark.parametrize("end", [b"", b"\xff\xd9", bytes(500), bytes(500) + b"\xff\xd9"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_jpeg_without_all_its_pixels_is_refused_whatever_its_end(
    end: bytes, share: float
) -> None:
    jpeg = saved("JPEG", quality=95)
    with pytest.raises(UnreadablePhotoError, match="truncated"):
        read(jpeg[: int(share * len(jpeg))] + end)


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_a_jpeg_without_its_last_bytes_is_refused(options: dict[str, Any]) -> None:
    jpeg = saved("JPEG", quality=95, **options)
    for missing in (5, 20, 100):
        with pytest.raises(UnreadablePhotoError, match="truncated"):
            read(jpeg[:-missing])


def test_a_small_jpeg_that_claims_billions_of_pixels_is_refused_before_it_is_decoded() -> None:
    for options in ({}, {"progressive": True}):
        jpeg = bytearray(saved("JPEG", **options))
        frame = jpeg.index(b"\xff\xc2" if options else b"\xff\xc0")
        jpeg[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
        started = process_time()
        with pytest.raises(UnreadablePhotoError, match=r"truncated|megapixels"):
            decode_photo(bytes(jpeg), image_px=96, max_megapixels=5_000)
        assert process_time() - started < 1


def test_a_progressive_jpeg_without_its_last_scan_is_refused() -> None:
    jpeg = saved("JPEG", progressive=True)
    with pytest.raises(UnreadablePhotoError, match="truncated"):
        read(jpeg[: jpeg.rindex(b"\xff\xda")])


@pytest.mark.parametrize("harm", [PNG_DEFECTS["checksum of tEXt"], PNG_DEFECTS["short gAMA"]])
def test_a_png_without_all_its_pixels_is_refused_whatever_else_is_wrong(
    harm: Callable[[bytes], bytes],
) -> None:
    png = harm(saved("PNG"))
    for share in (0.3, 0.9):
        with pytest.raises(UnreadablePhotoError, match="truncated"):
            read(png[: int(share * len(png))])


def test_a_wrong_header_of_a_png_is_not_taken_for_a_wrong_checksum() -> None:
    png = saved("PNG")
    for width in (100, 240):
        with pytest.raises(UnreadablePhotoError, match="checksum"):
            read(png[:16] + width.to_bytes(4, "big") + png[20:])


def test_pixels_count_by_the_checksums_of_their_chunks_where_their_own_is_wrong() -> None:
    values = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    png = png_of(values)
    start, end = png.index(b"IDAT") + 4, png.index(b"IEND") - 8
    wrong = png[start : end - 4] + bytes(4)
    by_writer = png[: start - 8] + chunk(b"IDAT", wrong) + chunk(b"IEND", b"")
    assert read(by_writer).image.tobytes() == values.tobytes()
    with pytest.raises(UnreadablePhotoError):
        read(png[: end - 4] + bytes(4) + png[end:])


def test_an_adobe_marker_that_contradicts_the_sampling_is_not_believed() -> None:
    whole = saved("JPEG", quality=90)
    start = whole.index(b"\xff\xe0")
    plain = whole[:start] + whole[start + 18 :]
    lie = after_soi(plain, segment(0xEE, b"Adobe\0\x64\0\0\0\0\0"))
    found = read(lie)
    assert found.image.tobytes() == read(whole).image.tobytes()
    assert found.notes == (DAMAGED_METADATA,)


def test_a_jpeg_that_tells_its_height_after_its_pixels_is_read() -> None:
    whole = saved("JPEG")
    place = whole.index(b"\xff\xc0") + 5
    lines = segment(0xDC, whole[place : place + 2])
    found = read(whole[:place] + b"\0\0" + whole[place + 2 : -2] + lines + whole[-2:])
    assert found.image.tobytes() == read(whole).image.tobytes()


def test_blanks_before_an_image_are_passed_over() -> None:
    for form in ("JPEG", "PNG", "GIF", "WEBP"):
        for blanks in (b"\n", b"\r\n\r\n", b"\xef\xbb\xbf", bytes(4)):
            assert read(blanks + saved(form)).notes == (DAMAGED_METADATA,)


def tiff(tag: int, kind: int, value: bytes, **options: Any) -> bytes:
    """A TIFF whose tag has another type and value, in the directory's own four bytes."""
    data = bytearray(saved("TIFF", dpi=(72, 72), **options))
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    for place in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, place) == (tag,):
            data[place + 2 : place + 12] = struct.pack("<HI", kind, 1) + value.ljust(4, b"\0")
    return bytes(data)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
@pytest.mark.parametrize(
    ("tag", "kind", "value"),
    [(282, 2, b"a"), (283, 5, b"\xff\xff\xff\x7f"), (296, 2, b"in"), (282, 99, b"")],
)
def test_a_tiff_with_tags_of_wrong_types_is_read(
    tag: int, kind: int, value: bytes, compression: str | None
) -> None:
    data = tiff(tag, kind, value, compression=compression)
    whole = read(saved("TIFF", compression=compression))
    assert read(data).image.tobytes() == whole.image.tobytes()


def test_a_webp_with_damaged_or_wrongly_measured_parts_is_read() -> None:
    whole = saved("WEBP", exif=exif(6), icc_profile=SRGB)
    place = whole.index(b"EXIF")
    for data in (
        whole[:4] + struct.pack("<I", 2**31) + whole[8:],
        whole[: place + 4] + struct.pack("<I", 2**30) + whole[place + 8 :],
        whole[: place + 12],
    ):
        found = read(data)
        assert found.notes == (DAMAGED_METADATA,)
        assert {found.width_px, found.height_px} == {120, 160}


def test_a_gif_with_damaged_extensions_is_read() -> None:
    whole = saved("GIF")
    place = whole.index(b",", 13 + 768)
    for extension in (b"!\xf9\1\1\0", b"!\xf9\0", b"!\xff\3abc\0", b"!\xfe\0"):
        found = read(whole[:place] + extension + whole[place:])
        assert found.image.tobytes() == read(whole).image.tobytes()


def test_a_bmp_with_an_unknown_header_or_without_its_last_padding_is_read() -> None:
    image = photo().resize((159, 120))
    whole = saved_as(image, "BMP")
    header = whole[:10] + struct.pack("<II", 54 + 37, 40 + 37) + whole[18:54] + bytes(37)
    for data in (header + whole[54:], whole[:-3], whole[:10] + bytes(4) + whole[14:]):
        assert read(data).image.tobytes() == read(whole).image.tobytes()
    with pytest.raises(UnreadablePhotoError, match="truncated"):
        read(whole[:-4])


def test_an_avif_with_damaged_exif_is_read() -> None:
    tags = Image.Exif()
    tags[0x010F] = "camera"
    whole = saved_as(photo(), "AVIF", exif=tags.tobytes())
    place = max(whole.rfind(b"MM\0*"), whole.rfind(b"II*\0"))
    for harm in (b"\0\0\0\0", b"MM\0\xff", b"XX*\0"):
        data = whole[:place] + harm + whole[place + 4 :]
        assert read(data).image.tobytes() == read(whole).image.tobytes()


PYTHONS_WORDS = re.compile("unpack|buffer|index|b'|literal|codec|subsection|NoneType|Error")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "PPM"])
def test_the_reason_of_a_short_file_is_never_in_pythons_own_words(form: str) -> None:
    whole = saved(form)
    for length in (*range(2, 40), 300, len(whole) // 2):
        with pytest.raises(UnreadablePhotoError) as raised:
            read(whole[:length])
        assert not PYTHONS_WORDS.search(str(raised.value))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (saved("TIFF", compression="tiff_lzw")[:5000], "image file is truncated"),
        (b"\xff\xd8\xff\xe0", "image file is truncated"),
        (saved("GIF")[:100], "image file is truncated"),
        (saved("PNG")[:8] + saved("PNG")[33:], "it can't be decoded"),
        (b"P5 hello 3 255\n", "it can't be decoded"),
        (saved("AVIF")[:30], "it can't be decoded"),
    ],
    ids=["half a TIFF", "4 bytes of a JPEG", "GIF", "PNG without header", "PPM", "AVIF"],
)
def test_what_decoders_do_not_say_is_said_in_plain_words(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadablePhotoError) as raised:
        read(data)
    assert str(raised.value) == f"damaged: {reason}"


def test_preprocess_and_predict_tell_the_notes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"2 photos have {DAMAGED_METADATA}: cat/b.jpg, panda/a.jpg"
    photos = {
        "cat/b.jpg": saved("JPEG")[:-2],
        "panda/a.jpg": saved("JPEG")[:-2],
        "panda/c.jpg": b"",
    }
    with ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name, data in photos.items():
            archive.writestr(name, data)
    config = load_config(ROOT / "params.yaml")
    origin = Provenance("a test", "archive", "here")
    with pytest.raises(PandacatError, match=r"Only . of . photos"):
        preprocess(tmp_path / "photos.zip", origin, tmp_path / "done", config, exclusions={})
    assert line in capsys.readouterr().err.splitlines()

    predictions = (
        Prediction(name, {"cat": 1.0}, notes=read(data).notes)
        for name, data in photos.items()
        if data
    )
    list(predict._predict(predictions, len(photos), []))
    assert line in capsys.readouterr().err.splitlines()


def test_notes_are_counted_and_name_some_photos(capsys: pytest.CaptureFixture[str]) -> None:
    print_notes({DAMAGED_METADATA: ["a.jpg"], "a doubt": ["b\x1b.jpg", "c.jpg", "d.jpg", "e.jpg"]})
    assert capsys.readouterr().err.splitlines() == [
        f"1 photo has {DAMAGED_METADATA}: a.jpg",
        "4 photos have a doubt: b\\x1b.jpg, c.jpg, d.jpg, …",
    ]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_exif_that_no_parser_understands_is_noted(form: str) -> None:
    data = saved(form, exif=exif(6))
    place = max(data.rfind(b"MM\0*"), data.rfind(b"II*\0"))
    harmed = bytearray(data[:place] + b"XX\7\7" + data[place + 4 :])
    if form == "PNG":  # else it would be the checksum
        start = harmed.index(b"eXIf")
        content = bytes(harmed[start + 4 : start + 4 + int.from_bytes(harmed[start - 4 : start])])
        harmed[start - 4 : start + 8 + len(content)] = chunk(b"eXIf", content)
    found = read(bytes(harmed))
    assert found.notes == (DAMAGED_METADATA,)
    assert (found.width_px, found.height_px) == (160, 120)
