"""Labels: what is told apart, and the ImageNet classes that mean it.

A run has one or more in-distribution labels, such as panda and cat, and `other`, which is
everything else. They are chosen in `params.yaml` and travel with tables (the columns `p_…`) and
saved models, always in the same order, `other` last.
"""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

OTHER = "other"
"""The last label: everything that is none of the in-distribution labels."""

IMAGENET_CLASS_COUNT = 1000
IMAGENET_ANIMAL_COUNT = 398
"""The first classes are animals, from tench to puffer."""

LabelClasses = tuple[tuple[int, ...], ...]
"""For each in-distribution label, the rows of a head that mean it. All other rows mean `other`."""


@cache
def imagenet_names() -> tuple[str, ...]:
    """Return the names of the 1,000 classes of ILSVRC-2012, in the order of their indices."""
    text = files("pandacat").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def imagenet_classes(entries: Sequence[str | int]) -> tuple[int, ...]:
    """Return the rising indices of ImageNet classes: each entry is a name, an index or a range.

    Raises:
        ValueError: there is no such class; the text suggests others.

    Example:
        >>> imagenet_classes(["giant panda", 281, "283-285"])
        (281, 283, 284, 285, 388)
    """
    if isinstance(entries, str) or not isinstance(entries, Sequence):
        raise ValueError("needs a list, such as [giant panda]")
    return tuple(sorted({index for entry in entries for index in _indices(entry)}))


def _indices(entry: str | int) -> Iterable[int]:
    found = re.fullmatch(r"(\d+)(?:\s*-\s*(\d+))?", str(entry))
    if found:
        first = int(found[1])
        last = int(found[2] or first)
        if first <= last < IMAGENET_CLASS_COUNT:
            return range(first, last + 1)
        raise ValueError(f"ImageNet has classes 0 to {IMAGENET_CLASS_COUNT - 1}, not {entry}")
    indices = {name.lower(): index for index, name in enumerate(imagenet_names())}
    wanted = str(entry).lower()
    if wanted in indices:
        return [indices[wanted]]
    near = [name for name in imagenet_names() if wanted in name.lower().split()]
    near = near or get_close_matches(str(entry), imagenet_names(), n=3)
    hint = f"; is {' or '.join(near[:5])} meant?" if near else "."
    raise ValueError(f"ImageNet has no class {entry!r}{hint} For an animal that it lacks, write []")


def label_groups(label_classes: LabelClasses, class_count: int) -> list[list[int]]:
    """Return, for each label and `other` last, the rows of a head with `class_count` rows."""
    groups = [sorted(classes) for classes in label_classes]
    taken = {row for group in groups for row in group}
    return [*groups, [row for row in range(class_count) if row not in taken]]


def listed(labels: Sequence[str], conjunction: str = "or") -> str:
    """Return labels as part of a sentence: `panda, cat or fox`; underscores become spaces."""
    *first, last = (label.replace("_", " ") for label in labels)
    return f"{', '.join(first)} {conjunction} {last}" if first else last
