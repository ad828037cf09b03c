"""Tables as CSV files."""

from pathlib import Path

import pandas as pd

from pandacat.core.files import CSV_END, CsvFile, atomic_write, reading

DECIMALS = 6


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table without its index, atomically, numbers to six decimals."""
    with (
        atomic_write(path) as temporary,
        CsvFile(temporary.open("wb"), "utf-8", newline="") as stream,
    ):
        table.round(DECIMALS).to_csv(stream, index=False, lineterminator=CSV_END)


def read_table(path: Path) -> pd.DataFrame:
    """Return the table that `write_table` wrote; raise `PandacatError` if it is not one."""
    with reading(path):
        return pd.read_csv(path)
