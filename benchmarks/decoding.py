"""Decode the stored photos and cut their centers, by threads and by processes."""

import argparse
import itertools
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import measuring
import numpy as np

from pandacat.core import paths
from pandacat.core.parallel import core_count, ordered_map
from pandacat.data import store
from pandacat.data.crops import cut_crops
from pandacat.data.images import decode_jpeg

INPUT_PX = 224


def center(jpeg: bytes) -> np.ndarray:
    """Return the center crop of a photo."""
    return cut_crops(decode_jpeg(jpeg), INPUT_PX, "center")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--repeats", type=measuring.repeats, default=3)
    options = parser.parse_args()
    measuring.require(paths.PHOTOS, "`dvc repro preprocess` makes it, in the folder you are in.")
    jpegs = itertools.cycle([jpeg for _, jpeg in store.iter_jpegs(paths.PHOTOS)])
    chosen = list(itertools.islice(jpegs, options.photos))
    count = core_count()
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        ways: dict[str, Callable[[], object]] = {
            f"{count} threads": lambda: all(map(len, ordered_map(center, chosen))),
            f"{4 * count} threads": lambda: all(
                map(len, ordered_map(center, chosen, workers=4 * count))
            ),
            f"{count} processes": lambda: all(map(len, pool.map(center, chosen, chunksize=8))),
        }
        ways[f"{count} processes"]()  # they start and import
        seconds = measuring.in_turn(ways, options.repeats)
    for way, values in measuring.rates(seconds, len(chosen)).items():
        print(f"{measuring.median(values):9,.0f} photos/s  {way}")


if __name__ == "__main__":
    measuring.run(main)
