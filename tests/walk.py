"""The walk: all that docs/walk.md says, typed into a fresh clone with small parameters.

PYTHONPATH=tests python tests/walk.py
"""

import re
import shlex
import tempfile
from pathlib import Path

from first_day import ROOT, commands_in, small_clone

PAGE = ROOT / "docs/walk.md"
SMALL = (
    "photos.sample.photos_per_class=60",
    "export.checked_photos=3",
    "export.int8_photos=4",
)
SMALLER = {"photos_per_class: 300": "photos_per_class: 75"}
"""Of the new photos, few will do, too."""

REFUSABLE = ("pandacat registry promote", "pandacat registry rollback")
"""Commands that may also end with 1: the challenger is worse, and so there is no way back."""

END = "ended with"


def walk_commands() -> list[str]:
    """Return the commands of the page, in their order."""
    return [*commands_in(PAGE.read_text())]


def main() -> None:
    """Walk; stop at the first command that ends otherwise than the page says."""
    lines = [typed(command) for command in walk_commands()]
    script = "\n".join(lines)
    for part, smaller in SMALLER.items():
        assert part in script
        script = script.replace(part, smaller)
    with tempfile.TemporaryDirectory(prefix="walk-") as temporary:
        code, output = small_clone(Path(temporary), *SMALL).run(script)
    print(output)
    codes = re.findall(rf"^{END} (\d+)$", output, re.MULTILINE)
    assert code == 0, "a command ended otherwise than the page says"
    assert len(codes) == len(lines)
    assert '"label":"' in output.replace(" ", ""), "the service gave no label"
    *_, promoted, _, rolled_back = codes
    assert promoted == rolled_back
    print(f"The challenger was {'refused' if int(promoted) else 'promoted'}.")


def typed(command: str) -> str:
    """Return the lines of shell that run a command, say how it ended, and stop if that is wrong."""
    wrong = "-gt 1" if command in REFUSABLE else "!= 0"
    return (
        f"printf '\\n$ %s\\n' {shlex.quote(command)}\n{command}\ncode=$?\n"
        f'printf "\\n{END} $code\\n"\nif [ $code {wrong} ]; then exit 1; fi'
    )


if __name__ == "__main__":
    main()
