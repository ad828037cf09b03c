"""Lines for the user on the terminal."""

import sys

from tqdm import tqdm


def print_status(text: str) -> None:
    """Print a line for the user, without tearing a progress bar."""
    tqdm.write(text, file=sys.stderr)
