"""How every stage starts and how it fails."""

import sys
from collections.abc import Callable

from pandacat.errors import PandacatError


def run(main: Callable[..., None]) -> None:
    """Call `main` with the command line's arguments.

    What the user can act on (`PandacatError`; a full disk or a forbidden file, `OSError`) becomes a
    sentence on stderr and exit code 1; Ctrl-C becomes exit code 130.
    """
    try:
        main(*sys.argv[1:])
    except PandacatError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.strerror is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {where}{error.strerror}.")
    except KeyboardInterrupt:
        sys.exit(130)
