"""Which files are opened, how large they may be, and that their decoders stay silent."""

import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import EXAMPLES
from dvc_stages import ROOT
from image_files import chunk, halves, saved_as, with_chunks
from PIL import Image

from pandacat.data.formats import FORMATS, PHOTO_ENDINGS, format_of
from pandacat.data.images import HDR, MORE_PAGES, UnreadablePhotoError, decode_photo

READ: dict[str, Any] = {"image_px": 96, "max_megapixels": 1.0}

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{ } loop\n%%EOF\n"
FOREIGN = {
    "EPS": POSTSCRIPT,
    "EPS with a preview": b"\xc5\xd0\xd3\xc6" + (30).to_bytes(4, "little") + bytes(22) + POSTSCRIPT,
    "PDF": b"%PDF-1.7\n1 0 obj\n",
    "WMF": b"\xd7\xcd\xc6\x9a" + bytes(40),
    "EMF": b"\1\0\0\0" + bytes(36) + b" EMF" + bytes(60),
    "ICNS": saved_as(halves((64, 64)), "ICNS"),
    "ICO": saved_as(halves((64, 64)), "ICO"),
    "PCX": saved_as(halves(), "PCX"),
    "FITS": b"SIMPLE  =                    T" + bytes(2850),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(60),
    "MPEG": b"\0\0\1\xb3" + bytes(60),
    "PSD": b"8BPS\0\1" + bytes(60),
    "IPTC": b"\x1c\x02\x00\x00\x02\x00\x00" + POSTSCRIPT,
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
}


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN)
def test_other_formats_are_refused_unopened_by_a_sentence_that_names_those_that_are_read(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    monkeypatch.setattr(Image, "open", opened.append)
    monkeypatch.setattr(subprocess, "Popen", opened.append)
    with pytest.raises(
        UnreadablePhotoError, match="not an image in a format that is read: JPEG, PNG, "
    ):
        decode_photo(data, **READ)
    assert opened == []


@pytest.mark.parametrize("form", [form.name for form in FORMATS])
def test_each_format_is_known_by_its_bytes_and_counted_by_its_endings(form: str) -> None:
    data = saved_as(halves(), form)
    found = format_of(data)
    assert found
    assert found.name == form
    assert decode_photo(data, **READ).width_px == 160
    assert set(found.endings) <= PHOTO_ENDINGS


@pytest.mark.parametrize("length", [12, 20, 40])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "PPM"])
def test_the_reason_is_the_same_each_time(form: str, length: int) -> None:
    """Reasons are in tables that DVC compares, and libraries name objects by their addresses."""
    begun = saved_as(halves(), form)[:length]
    camera = b"II*\0\x10\0\0\0CR\2\0" + bytes(length)
    for data in (begun, begun + bytes(500), camera):
        with pytest.raises(UnreadablePhotoError) as error:
            decode_photo(data, **READ)
        assert "object at" not in str(error.value)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"hevc", b"mif1"])
def test_heic_is_refused_with_advice(brand: bytes) -> None:
    data = b"\0\0\0\x18ftyp" + brand + bytes(4) + b"mif1heic" + bytes(100)
    with pytest.raises(UnreadablePhotoError, match="HEIC: save it as JPEG"):
        decode_photo(data, **READ)


def test_a_raw_photo_is_refused_with_advice_rather_than_read_as_its_thumbnail() -> None:
    thumbnail = saved_as(halves((160, 120)), "TIFF", tiffinfo={254: 1, 330: 8})
    with pytest.raises(UnreadablePhotoError, match="a raw photo: export it as JPEG"):
        decode_photo(thumbnail, **READ)


@pytest.mark.parametrize(
    ("second", "notes"), [({}, (MORE_PAGES,)), ({254: 2}, (MORE_PAGES,)), ({254: 1}, ())]
)
def test_pages_of_a_tiff_that_are_not_read_are_noted_unless_they_are_thumbnails(
    second: dict[int, int], notes: tuple[str, ...]
) -> None:
    page = halves()
    page.encoderinfo = {"tiffinfo": second}
    several = saved_as(halves(), "TIFF", save_all=True, append_images=[page])
    assert decode_photo(several, **READ).notes == notes
    assert decode_photo(saved_as(halves(), "TIFF"), **READ).notes == ()


@pytest.mark.parametrize(("transfer", "notes"), [(13, ()), (16, (HDR,)), (18, (HDR,))])
def test_pixels_whose_brightness_is_hdr_are_noted(transfer: int, notes: tuple[str, ...]) -> None:
    png = with_chunks(saved_as(halves(), "PNG"), chunk(b"cICP", bytes([9, transfer, 0, 1])))
    assert decode_photo(png, **READ).notes == notes
    avif = saved_as(halves(), "AVIF")
    place = avif.index(b"colrnclx") + 10
    changed = avif[:place] + transfer.to_bytes(2, "big") + avif[place + 2 :]
    assert decode_photo(changed, **READ).notes == notes


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_jpeg_is_decoded_at_the_fraction_that_the_limit_allows(options: dict[str, Any]) -> None:
    data = saved_as(halves((1600, 1200)), "JPEG", **options)
    limit = 1.5 if "progressive" in options else 0.1
    for image_px in (96, 2000):
        photo = decode_photo(data, image_px=image_px, max_megapixels=limit)
        assert (photo.width_px, photo.height_px) == (1600, 1200)
        assert photo.image.width * photo.image.height <= limit * 1e6
        assert photo.image.getpixel((4, 4))[0] > 240


@pytest.mark.parametrize(
    ("size", "options", "limit"),
    [
        ((1600, 1200), {}, 0.02),
        ((1600, 1200), {"progressive": True}, 1.4),
        (
            (1600, 1200),
            {"progressive": True, "subsampling": 0},
            1.92,
        ),
    ],
)
def test_a_jpeg_that_takes_more_memory_at_any_fraction_is_refused(
    size: tuple[int, int], options: dict[str, Any], limit: float
) -> None:
    """Coefficients count as 0.75 pixels each, as 1.5 without subsampling, where it is too large."""
    data = saved_as(halves(size), "JPEG", **options)
    with pytest.raises(UnreadablePhotoError, match=r"megapixels: preprocess\.max_megapixels"):
        decode_photo(data, image_px=96, max_megapixels=limit - 0.01)
    decode_photo(data, image_px=96, max_megapixels=limit + 0.1)


def bomb(width: int, height: int) -> bytes:
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\1\0\0\0\0"
    rows = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


def test_a_billion_pixels_of_a_png_are_refused_whatever_the_size_of_a_jpeg_may_be() -> None:
    for limit in (178, 900):
        with pytest.raises(UnreadablePhotoError, match=f"more than {limit} megapixels"):
            decode_photo(bomb(50_000, 20_000), image_px=96, max_megapixels=limit)


def test_the_limit_can_be_raised_beyond_pillows_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_000)
    data = saved_as(halves(), "PNG")
    with pytest.raises(UnreadablePhotoError, match=r"more than 0\.01 megapixels"):
        decode_photo(data, image_px=96, max_megapixels=0.01)
    assert decode_photo(data, image_px=96, max_megapixels=0.02).width_px == 160


TALK = """
import random, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pandacat.data.images import UnreadablePhotoError, decode_photo

def examine(job):
    data, number = job
    generator, mutant = random.Random(number), bytearray(data)
    for _ in range(3):
        mutant[generator.randrange(len(mutant) if number % 2 else 200)] = generator.randrange(256)
    try:
        decode_photo(bytes(mutant), image_px=96, max_megapixels=1)
    except UnreadablePhotoError as error:
        return str(error)

files = [path.read_bytes() for path in sorted(Path(sys.argv[1]).iterdir())]
with ThreadPoolExecutor(4) as pool:
    print(*pool.map(examine, [(data, number) for data in files for number in range(80)]), sep="\\n")
"""


def test_decoders_print_nothing_and_their_complaints_are_the_reasons(tmp_path: Path) -> None:
    with Image.open(EXAMPLES / "cat/kitten.jpg") as opened:
        photo = opened.convert("RGB").resize((120, 90))
    writers: dict[str, Callable[[], bytes]] = {
        "lzw": lambda: saved_as(photo, "TIFF", compression="tiff_lzw"),
        "deflate": lambda: saved_as(photo, "TIFF", compression="tiff_adobe_deflate"),
        "fax": lambda: saved_as(photo.convert("1"), "TIFF", compression="group4"),
        "jpeg": lambda: saved_as(photo, "TIFF", compression="jpeg"),
        "plain": lambda: saved_as(photo, "TIFF", dpi=(72, 72)),
        "exif": lambda: saved_as(photo, "JPEG", exif=b"Exif\0\0II*\0" + bytes(range(200))),
        "animation": lambda: saved_as(photo, "PNG", save_all=True, append_images=[photo] * 2),
    }
    for name, write in writers.items():
        (tmp_path / name).write_bytes(write())
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", TALK, tmp_path],
        capture_output=True, text=True, env={"PYTHONPATH": str(ROOT / "src")}, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert "damaged: LZWDecode" in done.stdout or "code not yet in table" in done.stdout
    assert "incorrect data check" in done.stdout
