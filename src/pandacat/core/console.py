"""Lines for the user on the terminal."""

import sys
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from pandacat.core.errors import printable, some_of
from pandacat.core.processes import is_first_process


def print_status(text: str) -> None:
    """Print a line for the user on stderr, `printable`, without tearing a progress bar.

    Of the processes that run a stage together, the first one prints.
    """
    if is_first_process():
        tqdm.write(printable(text), file=sys.stderr)


def print_notes(photos: Mapping[str, Sequence[str]]) -> None:
    """Print, for each note on photos, how many have it and the names of some."""
    for note, names in photos.items():
        have = "photos have" if names[1:] else "photo has"
        print_status(f"{len(names)} {have} {note}: {some_of(names)}")
