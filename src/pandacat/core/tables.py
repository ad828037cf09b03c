"""Tables as CSV files."""

from pathlib import Path

import pandas as pd

from pandacat.core.files import atomic_write, reading

DECIMALS = 6


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table without its index, atomically, numbers to six decimals."""
    with atomic_write(path) as temporary:
        table.round(DECIMALS).to_csv(temporary, index=False, lineterminator="\n")


def read_table(path: Path) -> pd.DataFrame:
    """Return the table that `write_table` wrote; raise `PandacatError` if it is not one."""
    with reading(path):
        return pd.read_csv(path)
