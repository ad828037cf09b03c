"""Damaged zips."""

import io
import random
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from pandacat.core.errors import PandacatError
from pandacat.data.sources.archive import index_archive
from pandacat.data.sources.entry_names import entry_names
from pandacat.data.sources.zip_files import EntryError, open_archive
from pandacat.labels import OTHER
from torture.damage import damaged

LABEL_OF_FOLDER = dict.fromkeys(("panda", "cat", "cats", "other"), OTHER)
"""No photo is required."""
NAMES = ("panda/1.jpg", "a/cats/2.jpg", "other/é.jpg", "cat/\u65e5.png", ".x/cat/y")
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def mutant(number: int) -> bytes:
    """Return a damaged zip."""
    return damaged(originals(), random.Random(f"archives {number}"))


def examine(data: bytes) -> str:
    """List it and read all its files: as many bytes as it states, or an error of our own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photos.zip"
        path.write_bytes(data)
        try:
            index = index_archive(path, LABEL_OF_FOLDER)
        except PandacatError:
            return "refused"
        unread = 0
        with zipfile.ZipFile(path) as opened, open_archive(path, index.encoding) as reader:
            names = entry_names(opened.infolist(), index.encoding)
            entries = dict(zip(names, opened.infolist(), strict=True))
            for name in index.photos:
                try:
                    assert len(reader.read(name)) == entries[name].file_size
                except EntryError:
                    unread += 1
        assert [file.name for file in Path(folder).iterdir()] == ["photos.zip"]
    return "read in part" if unread else "read"


@cache
def originals() -> tuple[bytes, ...]:
    """Return a zip for each way of packing, with long sizes and a comment, one as by Windows."""
    zips = []
    for packing in PACKINGS:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", packing) as packed:
            for name in NAMES:
                packed.writestr(name, name.encode() * 40)
            with packed.open("cat/long.jpg", "w", force_zip64=True) as entry:
                entry.write(bytes(3000))
            packed.comment = b"made for the test"
        zips.append(stream.getvalue())
    windows = (
        zips[0].replace(b"panda/1.jpg", b"panda\\\xc3\xa8.jp").replace(b"cats/2", b"cats\\\x8a")
    )
    return (*zips, windows)
