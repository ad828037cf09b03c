"""The photos of an archive, listed by label, and what else is in it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pandacat.config.photos import folded
from pandacat.core.errors import PandacatError, printable, some_of
from pandacat.data.sources.entry_names import encoding_note, fits, guess_encoding
from pandacat.data.sources.photo_files import is_hidden, split_of_folder
from pandacat.data.sources.zip_files import Reader, open_zip, safe_files
from pandacat.labels import OTHER, listed

IGNORED = ("unlabeled", "nested_archives", "links", "hidden", "not_photos", "documents")
"""Why files of an archive are not used."""

TOP = "(top)"
"""Stands for the top level of an archive in lists of its folders."""


@dataclass(frozen=True)
class ArchiveIndex:
    """The files of an archive."""

    photos: dict[str, str]
    """The label of each file in a folder that stands for one, by its name there, sorted."""
    labels: tuple[str, ...]
    """Those that photos may have, `other` last."""
    unlabeled: dict[str, int]
    """Number of photos in each folder that stands for no label, most first."""
    ignored: dict[str, list[str]]
    """The names of all other files by reason.

    `hidden` are those that operating systems leave behind, or whose names begin with a dot, and
    `documents` those that belong beside photos, such as README.
    """
    splits: dict[str, str]
    """The split of each photo in a folder for one, such as `test`, if the archive has several."""
    encoding: str
    """Of the names that are not marked as UTF-8."""
    note: str
    """What is to be said about the names; may be empty."""

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of files by label, and of ignored ones by reason."""
        labels = Counter(self.photos.values())
        ignored = {reason: len(names) for reason, names in self.ignored.items()}
        return {"files": {label: labels[label] for label in self.labels}, "ignored": ignored}

    def __str__(self) -> str:
        labels = self.counts()["files"].items()
        lines = [", ".join(f"{count} {label}" for label, count in labels)]
        for reason, names in self.ignored.items():
            if names and reason != "documents":
                what = f"{len(names)} {reason.replace('_', ' ')}"
                lines.append(f"ignored: {what} ({some_of(names)})")
        if self.unlabeled:
            lines.append(f"folders without a label in params.yaml: {_summary(self.unlabeled)}")
        return "\n".join(filter(None, [*lines, self.note]))


def index_archive(
    archive: Path, label_of_folder: Mapping[str, str], encoding: str | None = None
) -> ArchiveIndex:
    """List the files of an archive by label, and those without one by reason.

    A file has the label of the nearest folder above it whose name stands for one, compared as
    `folded`.

    Args:
        archive: the zip file.
        label_of_folder: the label for each name of a folder, `folded`.
        encoding: of names that are not marked as UTF-8; guessed if None.

    Raises:
        PandacatError: the archive is damaged, encrypted or unsafe (names that point outside it, a
            name used twice, files that overlap), compressed by unsupported methods, or has no photo
            of a label other than `other`; or a folder that stands for a label has a hidden name.
        OSError: it is missing, a folder, or may not be read.
    """
    _require_visible(label_of_folder)
    with open_zip(archive) as opened:
        entries = opened.infolist()
        chosen = encoding or guess_encoding(entries, label_of_folder)
        reader = Reader(opened, safe_files(opened, chosen))
        kinds, unsupported = reader.kinds(), reader.unsupported()
        doubt = encoding_note(entries, chosen)
        note = "" if encoding and fits(entries, encoding) else doubt

    @cache
    def look_up(folder: str) -> tuple[str | None, str | None]:
        parents = [folded(part) for part in folder.split("/")]
        labels = (label_of_folder.get(parent) for parent in reversed(parents))
        splits = (split_of_folder(parent) for parent in parents if parent not in label_of_folder)
        return next(filter(None, labels), None), next(filter(None, splits), None)

    photos: dict[str, str] = {}
    splits: dict[str, str] = {}
    unlabeled: Counter[str] = Counter()
    ignored: dict[str, list[str]] = {reason: [] for reason in IGNORED}
    for name, kind in kinds.items():
        folder = name.rpartition("/")[0]
        label, split = look_up(folder)
        if kind != "photos":
            ignored[kind].append(name)
        elif label is None:
            ignored["unlabeled"].append(name)
            unlabeled[folder or TOP] += 1
        else:
            photos[name] = label
            splits |= {name: split} if split else {}
    labels = (label for label in dict.fromkeys(label_of_folder.values()) if label != OTHER)
    index = ArchiveIndex(
        photos=photos,
        labels=(*labels, OTHER),
        unlabeled=dict(sorted(unlabeled.items(), key=lambda item: (-item[1], item[0]))),
        ignored=ignored,
        splits=splits if {"train"} < {*splits.values()} else {},
        encoding=chosen,
        note=note,
    )
    _require_labels(index, doubt)
    _require_supported([name for name in photos if name in unsupported], len(photos))
    return index


def _require_visible(folders: Iterable[str]) -> None:
    """Refuse names of folders whose photos are never read."""
    if hidden := [folder for folder in folders if is_hidden(folder)]:
        raise PandacatError(
            f"Photos in folders named {some_of(hidden)} are not read, as systems hide copies and "
            "deleted files there: rename the folders, in params.yaml, too."
        )


def _require_labels(index: ArchiveIndex, doubt: str) -> None:
    """Refuse an archive without photos of an in-distribution label.

    Its folders are named, and `doubt` is said about how.
    """
    labels = {*index.photos.values(), OTHER}
    missing = [label for label in index.labels if label not in labels]
    if not missing:
        return
    folders = Counter(index.unlabeled)
    folders.update(name.rpartition("/")[0] for name in index.photos)
    nested = len(index.ignored["nested_archives"])
    unopened = f"Archives inside it ({nested}) are not opened: unpack them first." * bool(nested)
    if not folders:
        held = {why.replace("_", " "): len(names) for why, names in index.ignored.items() if names}
        raise PandacatError(
            f"the archive holds no photos, but {_summary(held) or 'nothing'}. "
            + (unopened or "Give one that has photos in folders named by their labels.")
        )
    parameters = " and ".join(f"labels.{label}.folders" for label in missing)
    raise PandacatError(
        f"the archive has no photos of {listed(missing, 'and')}; its folders are "
        f"{_summary(folders)}. "
        + f"{unopened} ".lstrip()
        + f"{doubt} ".lstrip()
        + f"Add the names of the right folders to {parameters} in params.yaml, or put the photos "
        "into folders that have such names."
    )


def _require_supported(unsupported: Sequence[str], count: int) -> None:
    """Refuse an archive most photos of which can't be unpacked; of others, they are left out."""
    if 2 * len(unsupported) > count:
        raise PandacatError(
            f"{len(unsupported)} of {count} photos in the archive are compressed by a method that "
            f"Python does not support, such as Deflate64 ({some_of(unsupported)}): unpack it and "
            "give the folder instead."
        )


def _summary(folders: Mapping[str, int], most: int = 10) -> str:
    shown = ", ".join(f"{printable(folder)} ({n})" for folder, n in list(folders.items())[:most])
    return f"{shown} and {len(folders) - most} more" if len(folders) > most else shown
