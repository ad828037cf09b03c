"""The drawn data set: pictures of each label and of other animals, in one archive."""

import re
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product, repeat
from multiprocessing import get_context
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from drawn_animals import KINDS, draw
from pandacat.config.photos import SampleParams
from pandacat.core.errors import PandacatError
from pandacat.core.files import atomic_write
from pandacat.core.interrupts import ctrl_c_waits
from pandacat.core.parallel import core_count
from pandacat.data.sources.importing import EPOCH
from pandacat.labels import OTHER


def write_archive(archive: Path, params: SampleParams, labels: Mapping[str, Sequence[str]]) -> None:
    """Write the data set as a ZIP: `panda/panda-0001.jpg` and so on.

    The bytes depend on `params` and `labels` alone, not on the number of worker processes.

    Args:
        archive: the ZIP to be written.
        params: the number of pictures per label, and the seed.
        labels: for each in-distribution label, the names that mean it. The first is its folder;
            the first that is known, if not the label itself, is what is drawn.

    Raises:
        PandacatError: a label can't be drawn, or two would be drawn alike.
    """
    kinds = {**drawn_kinds(labels), OTHER: OTHER}
    folders = {label: next(iter(labels.get(label, ())), label) for label in kinds}
    jobs = list(product(sorted(kinds), range(1, params.photos_per_class + 1)))
    exclude = tuple(kind for kind in kinds.values() if kind != OTHER)
    pool = ProcessPoolExecutor(core_count(), mp_context=get_context("spawn"))
    try:
        with ctrl_c_waits():
            pictures = pool.map(
                partial(draw, exclude=exclude),
                [kinds[label] for label, _ in jobs],
                repeat(params.seed),
                [number for _, number in jobs],
                chunksize=4,
            )
        with atomic_write(archive) as aside, zipfile.ZipFile(aside, "w") as out:
            progress = tqdm(pictures, total=len(jobs), desc="draw", unit="photo", disable=None)
            for (label, number), jpeg in zip(jobs, progress, strict=True):
                name = f"{folders[label]}/{label}-{number:04d}.jpg"
                out.writestr(zipfile.ZipInfo(name, EPOCH), jpeg)
    finally:
        pool.shutdown(cancel_futures=True)


def drawn_kinds(labels: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return which of `drawn_animals.KINDS` is drawn for each label.

    Raises:
        PandacatError: a label can't be drawn, or two would be drawn alike.
    """
    kinds: dict[str, str] = {}
    for label, names in labels.items():
        kind = next(filter(None, map(_kind_called, (label, *names))), None)
        if kind is None:
            raise PandacatError(
                f"The sample can't draw {label}, only {', '.join(KINDS)}: set photos.source in "
                "params.yaml to kaggle or archive, or choose another label."
            )
        if kind in kinds.values():
            raise PandacatError(
                f"The sample would draw {label} as {kind}, like another label: set photos.source "
                "in params.yaml to kaggle or archive, or choose another label."
            )
        kinds[label] = kind
    return kinds


def _kind_called(name: str) -> str | None:
    """Return the kind that a name means, in upper or lower case, singular or plural."""
    words = re.sub(r"[\s_-]+", " ", name.lower()).strip()
    for kind in (words, words.removeprefix("giant ")):
        for form in (kind, kind.removesuffix("s")):
            if form in KINDS:
                return form
    return None


def shot_of(name: str) -> int:
    """Return the number in a picture's name; pictures of one number share their `photo.Shot`.

    There is one of each label: size, light, JPEG quality and all else but the animal are the same.
    """
    return int(PurePosixPath(name).stem.rpartition("-")[2])
