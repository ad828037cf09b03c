"""The rows of the table in docs/reliability.md."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

RECORD = Path(".pandacat/torture.json")


@dataclass(frozen=True)
class Row:
    """One fault."""

    fault: str
    done: str
    """What was done."""
    times: int
    happened: str


def record(part: str, rows: list[Row]) -> None:
    """Keep the rows of a part, in place of those of its last run."""
    parts = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    parts[part] = [asdict(row) for row in rows]
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(parts, indent=2, ensure_ascii=False) + "\n")


def line(row: Row, command: str) -> str:
    """Return the row in Markdown."""
    return f"| {row.fault} | {row.done} | {row.times:,} | {row.happened} | `{command}` |"
