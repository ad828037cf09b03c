"""The `pandacat` command."""
