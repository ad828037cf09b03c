"""Error messages for the user: the cause and the next step, in a sentence."""

import errno
import traceback
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from unicodedata import category


class PandacatError(Exception):
    """An error that the user can act on: its text names the cause and the next step."""


TRACEBACK = Path(".pandacat/traceback.txt")
"""Of the last unexpected error."""

MODEL_AGAIN = "Train it again with `dvc repro`, or copy it again from its source."
"""The next step where a model can't be used."""

_MEMORY = (
    "Reduce the stage's batch_size, image_px or channels in params.yaml, or close other programs."
)
_NEXT_STEPS = {
    (errno.ENOSPC, errno.EDQUOT): "Free disk space and run it again; no incomplete file was left.",
    (errno.EFBIG,): "The system allows no larger files: raise the limit (`ulimit -f unlimited`), "
    "or use another disk.",
    (errno.EACCES, errno.EPERM): "Change its permissions or those of its folder, or work in "
    "another folder.",
    (errno.EROFS,): "Work in another folder.",
    (errno.ENOTDIR, errno.EEXIST): "A file is where a folder should be: move it, or choose another "
    "place.",
    (errno.EISDIR,): "A folder is where a file should be: move it, or choose another place.",
    (errno.ENOENT,): "Check the name and the current folder.",
    (errno.ENOMEM,): _MEMORY,
    (errno.ENAMETOOLONG,): "Choose a shorter name.",
}
_INSTALL = (
    "In the project's folder, `make -B .venv/ready` installs all packages into its .venv, and "
    "`pip install '.[pipeline]'` into the active environment."
)
_WITHOUT_TORCH = "Exported models need no PyTorch: `--model models/exported`, after `dvc repro`."
_NO_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "bad allocation",
    "bad_alloc",
    "failed to map segment",
)
"""In the messages of libraries, which each raise an error of their own."""

_UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories: control and format characters, surrogates, ends of lines."""


def sentence_of(error: Exception) -> str:
    """Return what went wrong and what to do.

    The traceback of an unexpected error is written to a file. Control characters, as names of files
    may hold, are escaped.
    """
    return "\n".join(map(printable, _message(error).split("\n")))


def printable(text: str) -> str:
    """Return the text on one line, with escapes for characters that could control a terminal."""
    return "".join(
        letter.encode("unicode_escape").decode() if category(letter) in _UNPRINTABLE else letter
        for letter in text
    )


def some_of(names: Iterable[str]) -> str:
    """Return the first three names, `printable`, with an ellipsis if there are more."""
    first = [*map(printable, islice(names, 4))]
    return ", ".join([*first[:3], *["…"] * (len(first) > 3)])


def _message(error: Exception) -> str:
    if isinstance(error, PandacatError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{f'{error.filename}: ' * bool(error.filename)}{system_message(error)}"
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY):
        return f"There is not enough memory ({_summary(error)}). {_MEMORY}"
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("pandacat"):
        text = f"The package {error.name} is not installed. {_INSTALL}"
        return f"{text} {_WITHOUT_TORCH}" if error.name in ("torch", "timm") else text
    return _unexpected(error)


def lacks_temporary_folder(error: OSError) -> bool:
    """Return whether Python found no folder for temporary files."""
    return "usable temporary directory" in str(error)


def system_message(error: OSError) -> str:
    """Return what the system reports, without the file's name, and what to do."""
    if lacks_temporary_folder(error):
        return (
            "There is no folder for temporary files: set TMPDIR to one that this user may write to."
        )
    cause = error.strerror or "It can't be opened"
    step = next((step for codes, step in _NEXT_STEPS.items() if error.errno in codes), "")
    return f"{cause}. {step}".strip()


def _unexpected(error: Exception) -> str:
    text = "".join(traceback.format_exception(error))
    try:
        TRACEBACK.parent.mkdir(parents=True, exist_ok=True)
        TRACEBACK.write_text(text, encoding="utf-8", errors="backslashreplace")
        details = f"{TRACEBACK}."
    except OSError:
        details = f"this:\n{text}"
    return (
        f"Unexpected error: {_summary(error)}. If `dvc status` lists files that were changed by "
        "hand, `dvc repro` writes them again. If not, this is a bug; please report it with "
        f"{details}"
    )


def _summary(error: Exception) -> str:
    """Return the type of an error, its text on one line, and the line of code that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    text = " ".join(str(error).split())[:300].rstrip(".")
    return f"{type(error).__name__}{': ' * bool(text)}{text}{place}"
