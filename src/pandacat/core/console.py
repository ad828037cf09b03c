"""Lines for the user on the terminal."""

import sys
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from pandacat.core.errors import printable, some_of


def print_status(text: str) -> None:
    """Print a line for the user on stderr, `printable`, without tearing a progress bar."""
    tqdm.write(printable(text), file=sys.stderr)


def print_notes(photos: Mapping[str, Sequence[str]]) -> None:
    """Print, for each note on photos, how many have it and the names of some."""
    for note, names in photos.items():
        have = "photos have" if names[1:] else "photo has"
        print_status(f"{len(names)} {have} {note}: {some_of(names)}")
