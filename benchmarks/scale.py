"""`pandacat score --ray local` against the plain loop on the same cores, alternating.

Both score the photos of an archive, with real predictions. The first quarter of each run, in which
the processes of Ray start and load the model, is not counted.
"""

import argparse
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import measuring

from pandacat.app.blocks import Row
from pandacat.app.cluster import LOCAL, cluster
from pandacat.app.inputs import open_photos
from pandacat.app.score import score_on_cluster, score_photos
from pandacat.core.errors import PandacatError
from pandacat.models.loading import PRETRAINED, load_classifier

RAY, PLAIN = "score --ray local", "score"


def rate_after_start(rows: Iterable[Row], count: int, done: list[list[Row]]) -> float:
    """Return the rows a second in the last three quarters of `count`; append the rows to `done`."""
    found: list[Row] = []
    began = time.perf_counter()
    for row in rows:
        found.append(row)
        if len(found) == count // 4:
            began = time.perf_counter()
    done.append(found)
    return (count - count // 4) / (time.perf_counter() - began)


def main() -> None:
    """Measure, print and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=Path, default=measuring.ARCHIVE)
    parser.add_argument("--model", default=PRETRAINED)
    parser.add_argument("--repeats", type=measuring.repeats, default=5)
    parser.add_argument("--times", type=measuring.repeats, default=1, help="each photo is taken")
    options = parser.parse_args()
    classifier = load_classifier(options.model, models=Path("models"), engine="openvino")
    values: dict[str, list[float]] = {RAY: [], PLAIN: []}
    with open_photos([str(options.archive)]) as opened, cluster(LOCAL):
        bytes_of = {name: read() for name, read in opened.items()}
        photos = [
            (f"{turn}/{name}", partial(bytes, data))
            for turn in range(options.times)
            for name, data in bytes_of.items()
        ]
        for _ in range(options.repeats):
            done: list[list[Row]] = []
            shared = score_on_cluster(classifier, photos)
            values[RAY].append(rate_after_start(shared, len(photos), done))
            values[PLAIN].append(
                rate_after_start(score_photos(classifier, photos), len(photos), done)
            )
            if done[0] != done[1]:
                raise PandacatError("The two give other rows, which is a bug: please report it.")
            print({way: round(rates[-1], 1) for way, rates in values.items()}, flush=True)
    ratios = {"times the plain loop": measuring.ratio(values, RAY, PLAIN)}
    comparison = measuring.Comparison(
        f"Scoring on a cluster of one machine ({options.model})",
        "photos/s",
        values,
        ratios,
        {"photos": len(photos)},
    )
    measuring.report("scale", comparison)


if __name__ == "__main__":
    measuring.run(main)
