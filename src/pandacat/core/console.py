"""Lines for the user on the terminal."""

import sys
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from pandacat.core.errors import printable


def print_status(text: str) -> None:
    """Print a line for the user, without tearing a progress bar."""
    tqdm.write(text, file=sys.stderr)


def print_notes(photos: Mapping[str, Sequence[str]]) -> None:
    """Print, for each note on photos, how many have it and the names of some."""
    for note, names in photos.items():
        some = ", ".join(map(printable, names[:3])) + ", …" * (len(names) > 3)
        print_status(f"{len(names)} {'photos have' if names[1:] else 'photo has'} {note}: {some}")
