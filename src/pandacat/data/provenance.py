"""What a data set is, where it came from and under which license."""

from dataclasses import asdict, dataclass
from pathlib import Path

from pandacat.core.errors import PandacatError
from pandacat.core.files import read_json, write_json


@dataclass(frozen=True)
class Provenance:
    """The origin of one archive of photos, or of the digits."""

    title: str
    """What it is, for a reader."""
    source: str
    """`sample`, `kaggle`, `archive` or, for the digits, `mnist`."""
    origin: str
    """The data set's name, page or generator; never a path on this machine."""
    version: str
    """As the source counts; `unknown` where it does not."""
    license: str
    """As the source states it; `unknown` where it does not."""
    drawn: bool
    """True when the pictures were drawn by a program and are no photographs."""
    sha256: str
    """Of the archive's bytes."""


def write(path: Path, provenance: Provenance) -> None:
    """Write `provenance` as JSON, atomically."""
    write_json(path, asdict(provenance))


def read(path: Path) -> Provenance:
    """Return what `write` wrote; raise `PandacatError` where the file is something else."""
    try:
        return Provenance(**read_json(path))
    except TypeError:
        raise PandacatError(f"{path} is damaged: `dvc repro` makes it anew.") from None
