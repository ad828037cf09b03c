"""The image formats that are read, those of archives, and how a file is known to be of one."""

import re
from dataclasses import dataclass

from pandacat.labels import listed


@dataclass(frozen=True)
class Format:
    """A format of photos or archives."""

    name: str
    """As Pillow calls it, if that reads it."""
    signature: re.Pattern[bytes]
    """What its files begin with."""
    endings: tuple[str, ...]
    """What the names of its files end with."""


def _format(name: str, signature: bytes, endings: str) -> Format:
    return Format(name, re.compile(signature, re.DOTALL), tuple(endings.split()))


FORMATS = (
    _format("JPEG", rb"\xff\xd8\xff", ".jpg .jpeg .jpe .jfif .mpo"),
    _format("PNG", rb"\x89PNG\r\n\x1a\n", ".png .apng"),
    _format("WEBP", rb"RIFF.{4}WEBP", ".webp"),
    _format("AVIF", rb".{4}ftyp(?=.{0,56}avi[fs])", ".avif .avifs"),
    _format("GIF", rb"GIF8[79]a", ".gif"),
    _format("TIFF", rb"(II|MM)([*+]\0|\0[*+])", ".tif .tiff"),
    _format("BMP", rb"BM", ".bmp"),
    _format("DIB", rb"[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", ".dib"),
    _format("PPM", rb"P[1-6f]\s", ".ppm .pgm .pbm .pnm .pfm"),
    _format("JPEG2000", rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n", ".jp2 .j2k .j2c .jpx .jpf"),
    _format("TGA", rb".[\0\1][\1-\3\x09-\x0b].{13}[\1\x08\x10\x18\x20]", ".tga"),
)
"""The formats in which cameras, telephones, scanners, websites and editors keep whole photos, and
which Pillow decodes itself, from the bytes alone. Those left out start programs (EPS), need
libraries of the system (WMF), open what is inside them as any format (IPTC), or hold no photos
(icons, textures, documents). PSD is left out because a file saved without its composite image
decodes to blank pixels."""

ARCHIVES = (
    _format("zip", rb"PK[\3\5][\4\6]", ".zip"),
    _format("tar", rb".{257}ustar", ".tar"),
    _format("gzip", rb"\x1f\x8b", ".gz .tgz"),
    _format("bzip2", rb"BZh[1-9]1AY", ".bz2 .tbz .tbz2"),
    _format("xz", rb"\xfd7zXZ\0", ".xz .txz"),
    _format("Zstandard", rb"\x28\xb5\x2f\xfd", ".zst .tzst"),
    _format("7z", rb"7z\xbc\xaf\x27\x1c", ".7z"),
    _format("RAR", rb"Rar!\x1a\x07", ".rar"),
    _format("cabinet", rb"MSCF\0\0\0\0", ".cab"),
    _format("ISO 9660", rb".{32769}CD001", ".iso"),
)
"""The formats that people pack folders of photos in. Only zips are opened."""

ARCHIVE_ENDINGS = tuple(ending for form in ARCHIVES for ending in form.endings)
"""In lower case."""

_HEIC = re.compile(rb".{4}ftyp(?=.{0,56}(hei[cmsx]|hev[cmsx]|mi[af]1|msf1))", re.DOTALL)

PHOTO_ENDINGS = frozenset(
    {*(ending for form in FORMATS for ending in form.endings), ".heic", ".heif"}
)
"""In lower case. HEIC counts as a photo, so that it is refused with advice, not passed over."""

_NAMES = ("JPEG", "PNG", "WebP", "AVIF", "GIF", "TIFF", "BMP", "PPM", "JPEG 2000", "TGA")


def format_of(data: bytes) -> Format | None:
    """Return the format of an image file by its first bytes; `None` where it is not read."""
    return next((form for form in FORMATS if form.signature.match(data)), None)


def archive_format_of(data: bytes, name: str = "") -> str | None:
    """Return the format of an archive by its first bytes, or else its name; `None` for others."""
    endings = (form.name for form in ARCHIVES if name.lower().endswith(form.endings))
    signatures = (form.name for form in ARCHIVES if form.signature.match(data))
    return next(signatures, None) or next(endings, None)


def why_not_read(data: bytes) -> str:
    """Return the reason for refusing a file that has none of the `FORMATS`."""
    if _HEIC.match(data):
        return "HEIC: save it as JPEG"
    if packed := archive_format_of(data):
        return f"an archive ({packed}): unpack it, and give the photos that were in it"
    return f"not an image in a format that is read: {listed(_NAMES)}"
