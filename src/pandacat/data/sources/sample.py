"""The drawn data set: pictures of pandas, cats and other animals, in one archive."""

from __future__ import annotations

import zipfile
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from drawn_animals import draw
from pandacat.config.photos import SampleParams
from pandacat.core.files import atomic_write
from pandacat.core.interrupts import ctrl_c_waits
from pandacat.core.parallel import core_count
from pandacat.labels import LABELS, Label

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every file in the archive: the earliest that a ZIP can hold."""


def entries(params: SampleParams) -> list[tuple[Label, int]]:
    """Return the label and number, from 1, of every picture, in the archive's order."""
    numbers = range(1, params.photos_per_class + 1)
    return [(label, number) for label in sorted(LABELS) for number in numbers]


def write_archive(archive: Path, params: SampleParams, workers: int | None = None) -> None:
    """Write the data set as a ZIP: `panda/panda-0001.jpg` and so on.

    The bytes depend on `params` alone, not on the number of worker processes, by default one for
    each core that this process may use.
    """
    listed = entries(params)
    with (
        atomic_write(archive) as aside,
        zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as out,
        closing(_drawn(params.seed, listed, workers or core_count())) as pictures,
    ):
        progress = tqdm(pictures, total=len(listed), desc="draw", unit="photo")
        for (label, number), jpeg in zip(listed, progress, strict=True):
            out.writestr(zipfile.ZipInfo(f"{label}/{label}-{number:04d}.jpg", EPOCH), jpeg)


def shot_of(name: str) -> int:
    """Return the number in a picture's name; pictures that share it share a `drawing.photo.Shot`.

    There is one of each label: size, light, JPEG quality and all else but the animal are the same.
    """
    return int(PurePosixPath(name).stem.rpartition("-")[2])


def _drawn(seed: int, listed: list[tuple[Label, int]], workers: int) -> Generator[bytes]:
    labels, numbers = zip(*listed, strict=True)
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        with ctrl_c_waits():
            pictures = pool.map(draw, labels, [seed] * len(listed), numbers, chunksize=4)
        yield from pictures
    finally:
        pool.shutdown(cancel_futures=True)
