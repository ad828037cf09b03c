"""Names in zip archives, which tools write in different encodings and with different separators."""

import re
import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from zipfile import ZipInfo
from zlib import crc32

from pandacat.config.photos import folded
from pandacat.core.errors import printable, some_of
from pandacat.core.names import composed, spreadsheet_safe
from pandacat.data.sources.photo_files import is_hidden

ENCODINGS = ("cp437", "gbk", "cp932", "cp949", "big5", "cp1252", "cp866", "cp1251")
"""Of names that are neither UTF-8 nor marked. The first is that of the ZIP specification; the
others are those of Windows in Chinese, Japanese, Korean, Western and Russian."""

_UTF_8_FLAG = 0x800
_UNICODE_PATH = 0x7075
_WINDOWS = (0, 6, 10, 14)
"""Systems, by the numbers of the ZIP specification, whose file names can't hold a backslash."""

_OUTSIDE = re.compile(r"^$|^[/\\]|^[A-Za-z]:[/\\]|(^|[/\\])\.\.([/\\]|$)")
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
"""Stand for bytes that are no text, in names of files."""


def guess_encoding(entries: Sequence[ZipInfo], label_of_folder: Mapping[str, str]) -> str:
    """Return the encoding of the names that are not marked as UTF-8.

    That is the one in which most files are in folders that stand for labels: UTF-8, if all names
    are valid in it, or one of `ENCODINGS`. Of several, it is the first.
    """
    names = [name for entry in entries if (name := _unmarked(entry))]

    def labeled(encoding: str) -> int:
        paths = (_decode(name, encoding).replace("\\", "/").split("/") for name in names)
        return sum(any(folded(part) in label_of_folder for part in path[:-1]) for path in paths)

    valid = fits(entries, "utf-8")
    return max((*(["utf-8"] * valid), *ENCODINGS), key=labeled) if names else "utf-8"


def fits(entries: Sequence[ZipInfo], encoding: str) -> bool:
    """Return whether all names that are not marked as UTF-8 are valid in an encoding."""
    names = (name for entry in entries if (name := _unmarked(entry)))
    return all(_is_valid(name, encoding) for name in names)


def entry_names(entries: Sequence[ZipInfo], encoding: str) -> list[str]:
    """Return the name of each file, with slashes and accents composed; folders end with a slash.

    What is not valid in `encoding` is read in that of the ZIP specification. Backslashes separate
    folders where Windows wrote the name, or no name has a slash. Names that
    differ in their spelling only keep it. No name is a formula to a spreadsheet.
    """
    names = [_decoded(entry, encoding) for entry in entries]
    with_slash = any("/" in name for name in names)
    separated = [
        name if with_slash and entry.create_system not in _WINDOWS else name.replace("\\", "/")
        for entry, name in zip(entries, names, strict=True)
    ]
    count = Counter(map(composed, separated))
    return [
        spreadsheet_safe(composed(name) if count[composed(name)] == 1 else name)
        for name in separated
    ]


def faults_of(names: Iterable[str]) -> str:
    """Return how many of these names no file of an archive may have, and why; may be empty."""
    faulty: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        if fault := _fault_of(name):
            faulty[fault].append(name)
    return "; ".join(f"{fault}: {len(some)} ({some_of(some)})" for fault, some in faulty.items())


def encoding_note(entries: Sequence[ZipInfo], encoding: str) -> str:
    """Return two sentences about an encoding: how names look in it, and in others.

    They are empty where UTF-8 fits.
    """
    names = [name for entry in entries if (name := _unmarked(entry))]
    misfits = [name for name in names if not _is_valid(name, encoding)]
    if not names or (encoding == "utf-8" and not misfits):
        return ""
    unclear = (name for name in names if not _is_valid(name, "utf-8"))
    example = next(iter(misfits), next(unclear, names[0]))
    read = f"read as {encoding}"
    if misfits:
        read = f"{len(misfits)} of which can't be in {encoding} and are read as {ENCODINGS[0]}"
    shown = {
        other: printable(example.decode(other)) for other in ENCODINGS if _is_valid(example, other)
    }
    others = ", ".join(f"{other}: {name}" for other, name in shown.items() if other != encoding)
    return (
        f"Names that are not marked as UTF-8: {len(names)}, {read}, such as "
        f"{printable(_decode(example, encoding))}. If that is wrong, set photos.archive_encoding "
        f"in params.yaml, or --encoding of `pandacat predict` ({others}; guessed if none is "
        "given)."
    )


def _fault_of(name: str) -> str | None:
    if _OUTSIDE.search(name):
        return "names that point outside it"
    if _CONTROL_CHARACTERS.search(name) and not is_hidden(name.rpartition("/")[2]):
        return "names with control characters"
    if _SURROGATES.search(name):
        return "names that are not valid UTF-8, which the program convmv renames"
    return None


def _decoded(entry: ZipInfo, encoding: str) -> str:
    name = _unmarked(entry)
    text = _decode(name, encoding) if name else _unicode_path(entry) or entry.orig_filename
    return text.partition("\0")[0]


def _unmarked(entry: ZipInfo) -> bytes | None:
    """Return the bytes of a name of unknown encoding; None where it is ASCII or marked as UTF-8."""
    name: str = entry.orig_filename
    if entry.flag_bits & _UTF_8_FLAG or name.isascii() or _unicode_path(entry):
        return None
    return name.encode("cp437")  # as zipfile decoded it


def _unicode_path(entry: ZipInfo) -> str:
    """Return the name in the extra field of Info-ZIP, or an empty text."""
    extra = entry.extra
    while len(extra) >= 4 and not entry.flag_bits & _UTF_8_FLAG:
        kind, size = struct.unpack("<HH", extra[:4])
        content, extra = extra[4 : 4 + size], extra[4 + size :]
        checksum = crc32(entry.orig_filename.encode("cp437")).to_bytes(4, "little")
        if kind == _UNICODE_PATH and content[:5] == b"\1" + checksum:
            return content[5:].decode("utf-8") if _is_valid(content[5:], "utf-8") else ""
    return ""


def _decode(name: bytes, encoding: str) -> str:
    return name.decode(encoding if _is_valid(name, encoding) else ENCODINGS[0])


def _is_valid(name: bytes, encoding: str) -> bool:
    try:
        name.decode(encoding)
    except UnicodeError:
        return False
    return True
