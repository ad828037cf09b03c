"""How every stage starts and how it fails."""

import inspect
import sys
from collections.abc import Callable

from pandacat.errors import PandacatError, sentence_of


def run(main: Callable[..., None]) -> None:
    """Call `main` with the command line's arguments.

    What the user can act on (`PandacatError`; a full disk, a missing or forbidden file) becomes a
    sentence on stderr and exit code 1, and so do wrong arguments; Ctrl-C becomes exit code 130.
    """
    try:
        inspect.signature(main).bind(*sys.argv[1:])
    except TypeError as error:
        sys.exit(f"error: {error}. dvc.yaml has the command of each stage, after `cmd`.")
    try:
        main(*sys.argv[1:])
    except PandacatError as error:
        sys.exit(f"error: {error}")
    except FileNotFoundError as error:
        missing = error.filename or error
        sys.exit(f"error: {missing} is missing. `dvc repro` makes what a stage needs before it.")
    except OSError as error:
        told = sentence_of(error)
        if told is None:
            raise
        sys.exit(f"error: {told}")
    except KeyboardInterrupt:
        sys.exit(130)
