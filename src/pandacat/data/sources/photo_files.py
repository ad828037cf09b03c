"""Which files count as photos: one rule for training and for prediction."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from pandacat.core.console import print_status
from pandacat.core.errors import printable
from pandacat.data.formats import ARCHIVE_ENDINGS, PHOTO_ENDINGS, format_of

HEAD_BYTES = 72
"""So much of a file with another ending shows whether it is a photo after all."""

_UNSURE = ("BMP", "DIB", "TGA")
"""Formats whose files begin like many others, and so are known by their endings alone."""

_DOCUMENTS = re.compile(
    r"(read_?me|licen[cs]es?|copying|notice|authors|citation|credits|sources?|makefile)(\..*)?|"
    r".*\.(md|txt|rst|rtf|pdf|docx?|odt|html?|css|csv|tsv|xlsx?|jsonl?|xml|ya?ml|toml|ini|cfg|log|"
    r"py|ipynb|sh|bat|dvc|bib|url|md5|sha\d+)",
    re.IGNORECASE,
)

SYSTEM_NAMES = frozenset(
    (
        *("__macosx", "icon\r", "network trash folder", "temporary items", "resource.frk"),
        *("thevolumesettingsfolder", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db"),
        *("desktop.ini", "$recycle.bin", "recycler", "recycled", "system volume information"),
        *("lost+found", "lost.dir", "@eadir", "@tmp", "@sharebin", "#recycle", "#snapshot"),
        *("~snapshot", "@recycle", "@recently-snapshot", "@__thumb", "trashbox"),
        *("files_trashbin", "files_versions", "picasa.ini", "ipod photo cache", "thmbnl"),
        "__pycache__",
    )
)
"""Of macOS, Windows, Linux, Android, network drives, clouds, cameras and programs for photos."""

SYSTEM_PATTERNS = (
    *(r"found\.[0-9]{3}", "_vti_[a-z]+", "network recycle bin [0-9]+", r".+\.lrdata"),
    *(r".+\.[a-z0-9]+_original", r".+\.thm", ".+~", ".+@syno[a-z]+", r"thumbs\.db:.+"),
    ".+:zone.identifier",
)
"""Of Windows, FrontPage, QNAP, Lightroom, exiftool, cameras, editors and Synology."""

_SYSTEM = re.compile("|".join(SYSTEM_PATTERNS))

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""In the names of an archive's own folders, such as `seg_train` and `test_set`."""


def is_hidden(name: str) -> bool:
    """Return whether a file or folder has a hidden name, or one that systems give to their own.

    Thumbnails, caches, recycle bins and the like hold copies of photos, which count for nothing.
    """
    lower = name.lower()
    is_own = lower in SYSTEM_NAMES or bool(_SYSTEM.fullmatch(lower))
    return is_own or (name.startswith(".") and name != ".")


def kind_of(name: str, head: Callable[[], bytes]) -> str:
    """Return `photos` for a file that is to be read, as its ending or else its beginning tells.

    Others are `nested_archives`, which are not opened, `documents`, which belong beside photos,
    such as README, a license or a list of them, or `not_photos`.

    Args:
        name: the file's name, with or without its folders.
        head: returns its first `HEAD_BYTES`.
    """
    if PurePosixPath(name.rstrip(". ")).suffix.lower() in PHOTO_ENDINGS:
        return "photos"
    form = format_of(head())
    if form is not None and form.name not in _UNSURE:
        return "photos"
    if name.lower().endswith(ARCHIVE_ENDINGS):
        return "nested_archives"
    return "documents" if _DOCUMENTS.fullmatch(PurePosixPath(name).name) else "not_photos"


def files_below(top: Path, on_error: Callable[[OSError], object]) -> Iterator[Path]:
    """Yield all files below a folder that are not hidden, in the order of their names.

    Links are followed, those to one folder once, and none to a folder that they are in. One that
    leads nowhere is yielded, too.
    """
    linked: dict[str, Path] = {}

    def enter(folder: Path) -> bool:
        if is_hidden(folder.name):
            return False
        if not os.path.islink(folder):  # noqa: PTH114 raises nothing; opening it will
            return True
        target, here = os.path.realpath(folder), os.path.realpath(folder.parent)
        if f"{here}/".startswith(f"{target}/"):
            return False
        if target in linked:
            also = f"{printable(str(folder))} and {printable(str(linked[target]))}"
            print_status(f"{also} are links to one folder; the first is not followed.")
            return False
        linked[target] = folder
        return True

    for parent, folders, names in os.walk(top, onerror=on_error, followlinks=True):
        folders[:] = sorted(name for name in folders if enter(Path(parent, name)))
        yield from (Path(parent, name) for name in sorted(names) if not is_hidden(name))


def hidden_below(top: Path) -> list[str]:
    """Return the relative names of the files below a folder that `files_below` leaves out."""
    paths = (Path(parent, name) for parent, _, names in os.walk(top) for name in names)
    relative = (path.relative_to(top) for path in paths)
    return sorted(path.as_posix() for path in relative if any(map(is_hidden, path.parts)))


def split_of_folder(folder: str) -> str | None:
    """Return the split that a folder's name, in lower case, stands for, if it is one."""
    splits = {SPLIT_WORDS[word] for word in re.findall(r"[a-z]+", folder) if word in SPLIT_WORDS}
    return splits.pop() if len(splits) == 1 else None
