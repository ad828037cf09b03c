"""What a program says when it can't go on: the cause and the next step, in a sentence."""

import errno
import traceback
from pathlib import Path
from unicodedata import category


class PandacatError(Exception):
    """Something the user can act on: its text names the cause and the next step, in a sentence."""


TRACEBACK = Path(".pandacat/traceback.txt")
"""Of the last error that nobody foresaw."""

MODEL_AGAIN = "Make it again with `dvc repro`, or get it again from where it came."
"""The way out where a model can't be used."""

_ROOM = "Make room on the disk and run it again; nothing half-written was left."
_LIMIT = "The system allows no file so large: raise the limit (`ulimit -f`), or use another disk."
_RIGHTS = "Give yourself the right to it, or work in another folder."
_FILE_FOR_FOLDER = "A file lies where a folder should be: move it away, or name another place."
_FOLDER_FOR_FILE = "A folder lies where a file should be: move it away, or name another place."
_NAME = "Look at the name, and at the folder you are in."
_SHORTER = "Give a shorter name."
_MEMORY = (
    "Lower the stage's batch_size, image_px or channels in params.yaml, or close other programs."
)
_NEXT_STEPS = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _LIMIT,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
    errno.ENOTDIR: _FILE_FOR_FOLDER,
    errno.EEXIST: _FILE_FOR_FOLDER,
    errno.EISDIR: _FOLDER_FOR_FILE,
    errno.ENOENT: _NAME,
    errno.ENOMEM: _MEMORY,
    errno.ENAMETOOLONG: _SHORTER,
}
_NO_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "bad allocation",
    "bad_alloc",
    "failed to map segment",
)
"""How the libraries put it, each in an error of its own."""

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Kinds of characters: of control and format, half ones, and ends of lines."""


def sentence_of(error: Exception) -> str:
    """Return what went wrong and what to do.

    An error that nobody foresaw is told in short, and its traceback kept in a file. Control
    characters, as names of files may hold, are spelled out.
    """
    return "\n".join(map(printable, _told(error).split("\n")))


def printable(text: str) -> str:
    """Return the text on one line; what could steer a terminal, or is no letter, is spelled out."""
    return "".join(
        sign.encode("unicode_escape").decode() if category(sign) in _UNSEEN else sign
        for sign in text
    )


def _told(error: Exception) -> str:
    if isinstance(error, PandacatError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{f'{error.filename}: ' * bool(error.filename)}{told_by_system(error)}"
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY):
        return f"There is not enough memory ({_in_short(error)}). {_MEMORY}"
    return _unforeseen(error)


def told_by_system(error: OSError) -> str:
    """Return what the system says was wrong, without the file's name, and what to do."""
    said = error.strerror or "It can't be opened"
    return f"{said}. {_NEXT_STEPS.get(error.errno or 0, '')}".strip()


def _unforeseen(error: Exception) -> str:
    story = "".join(traceback.format_exception(error))
    try:
        TRACEBACK.parent.mkdir(parents=True, exist_ok=True)
        TRACEBACK.write_text(story, encoding="utf-8", errors="backslashreplace")
        kept = str(TRACEBACK)
    except OSError:
        kept = f"this:\n{story}"
    return (
        f"{_in_short(error)}, which nobody foresaw. If `dvc status` names files that were changed "
        "by hand, `dvc repro` makes them anew; if not, it is a mistake in the code: please report "
        f"it, with {kept}"
    )


def _in_short(error: Exception) -> str:
    """Return the kind of error, its text on one line, and which line of the project raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    text = " ".join(str(error).split())[:300].rstrip(".")
    return f"{type(error).__name__}{': ' * bool(text)}{text}{place}"
