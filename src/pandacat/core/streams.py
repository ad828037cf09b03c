"""The standard streams of commands and stages."""

import io
import os
import sys
from pathlib import Path


def prepare_streams() -> None:
    """Make the standard streams usable, whatever the program was started with.

    For closed ones (`2>&-`), whose numbers the next files opened would get, the null device stands
    in. Characters that the encoding of stdout lacks are printed as escapes.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("r+", errors="replace"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
