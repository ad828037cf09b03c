"""The start of the `pandacat` command, before any package is loaded."""

import sys

from pandacat.core.interrupts import end_at_ctrl_c


def main() -> int:
    """Run the command line; return the exit code."""
    end_at_ctrl_c()
    from pandacat.app import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
