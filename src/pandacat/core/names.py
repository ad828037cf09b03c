"""Names of files: how they are compared, found and written."""

import os
import re
import shlex
import unicodedata
from pathlib import Path
from urllib.parse import unquote

from pandacat.core.errors import printable

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
"""A spreadsheet takes a cell that begins with one of them for a formula, which it computes."""


def composed(name: str) -> str:
    """Return a name as names are compared: Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", name)


def comparable(path: str) -> str:
    """Return the name of a photo as lists of photos are compared with an archive."""
    return composed(path.strip()).removeprefix("./")


def spreadsheet_safe(path: str) -> str:
    """Return a path that no spreadsheet takes for a formula, to the same file: `./=1.jpg`."""
    return f"./{path}" if len(path) > 1 and path.startswith(FORMULA_STARTS) else path


def text_encoding(name: str) -> str:
    """Return the name of an encoding of text; raise `ValueError` if there is none called so."""
    try:
        name.encode("ascii").decode(name)
    except (LookupError, UnicodeError):
        raise ValueError("needs an encoding that Python knows, such as gbk or cp932") from None
    return name


def shell_word(path: str) -> str:
    """Return a path or an address as it is typed into a shell, `printable`.

    Control characters, and bytes that are no text, are spelled as Bash, Zsh and others read them.
    """
    word = f"./{path}" if path.startswith("-") else path  # which would be an option
    if printable(word) == word:
        return shlex.quote(word)
    letters = (_escaped(letter) for letter in word)
    return f"$'{''.join(letters)}'"


def _escaped(letter: str) -> str:
    if letter in "\\'":
        return f"\\{letter}"
    if printable(letter) == letter:
        return letter
    return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape"))


def find(path: Path) -> Path | None:
    """Return the path of a file or folder, or None; accents may be composed in another way there.

    macOS and some archivers store them decomposed, and keyboards write them composed.
    """
    if path.exists():
        return path
    parent = find(path.parent) if path.parent != path else None
    if parent is None or not parent.is_dir():
        return None
    wanted = composed(path.name)
    return next((each for each in parent.iterdir() if composed(each.name) == wanted), None)


def spelled_otherwise(path: str) -> str | None:
    """Return what is there if a path that is not was copied from somewhere, or None.

    That is from a shell, with its quotes, backslashes or variables, or from a browser or a file
    manager, as an address.
    """
    spellings = (
        path.strip().strip("'\""),
        re.sub(r"\\(.)", r"\1", path),
        os.path.expandvars(path),
        unquote(path.removeprefix("file://localhost").removeprefix("file://")),
    )
    others = (other for other in spellings if other and other != path)
    return next((other for other in others if find(Path(other))), None)
