"""Where a data set comes from, and under which license."""

from dataclasses import asdict, dataclass
from pathlib import Path

from pandacat.core.files import read_json, reading, write_json


@dataclass(frozen=True)
class Provenance:
    """The origin of an archive of photos, or of the digits."""

    title: str
    source: str
    """`sample`, `kaggle`, `archive` or, for the digits, `mnist`."""
    origin: str
    """The data set's name, page or generator; never a path on this machine."""
    version: str = "unknown"
    """As the source numbers it."""
    license: str = "unknown"
    """As the source states it."""
    drawn: bool = False
    """Whether the images were drawn by a program and are not photographs."""
    sha256: str = ""
    """Of the archive's bytes."""
    encoding: str = "utf-8"
    """Of the names in the archive that are not marked as UTF-8."""


def write(path: Path, provenance: Provenance) -> None:
    """Write `provenance` as JSON, atomically."""
    write_json(path, asdict(provenance))


def read(path: Path) -> Provenance:
    """Read what `write` wrote; raise `PandacatError` if the file is damaged."""
    with reading(path):
        return Provenance(**read_json(path))
