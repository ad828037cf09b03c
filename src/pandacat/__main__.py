"""The start of the `pandacat` command, before any package is loaded."""

import os
import sys

from pandacat.core.interrupts import end_at_ctrl_c


def main() -> int:
    """Run the command line; return the exit code."""
    end_at_ctrl_c()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each worker multiplies on its own core
    from pandacat.app import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
