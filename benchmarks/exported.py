"""Exported models: 8-bit integers against float32, and what an explanation costs.

All get the same photos, already decoded, one after the other in as many threads as there are cores.
"""

import argparse
from collections.abc import Callable

import measuring
import numpy as np
from PIL import Image

from pandacat.core import paths
from pandacat.core.parallel import ordered_map
from pandacat.data import store
from pandacat.models.classifier import Classifier
from pandacat.models.saved import load_model


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=48)
    parser.add_argument("--repeats", type=measuring.repeats, default=5)
    options = parser.parse_args()
    measuring.project()
    exact, int8 = (
        Classifier(load_model(folder)).compiled()
        for folder in (paths.EXPORTED, paths.EXPORTED / "int8")
    )
    index = store.read_index(paths.PHOTOS)
    photos = store.sample_images(paths.PHOTOS, index, "test", options.photos)
    crops = [exact.cut(photo) for photo in photos]

    def all_of(work: Callable[[int], object]) -> Callable[[], None]:
        def run() -> None:
            for _ in ordered_map(work, range(len(photos))):
                pass

        return run

    seconds = measuring.in_turn(
        {
            "8-bit integers": all_of(lambda number: int8.features(crops[number])),
            "float32": all_of(lambda number: exact.features(crops[number])),
            "float32, prediction": all_of(lambda number: predicted(exact, photos[number])),
            "float32, with explanation": all_of(lambda number: exact.heatmap(photos[number], 0)),
        },
        options.repeats,
    )
    values = measuring.rates(seconds, len(photos))
    comparison = measuring.Comparison(
        "Exported models",
        "photos/s",
        values,
        {
            "8-bit integers against float32": measuring.ratio(values, "8-bit integers", "float32"),
            "time with an explanation against without": 1
            / measuring.ratio(values, "float32, with explanation", "float32, prediction"),
        },
        {"crops of a photo": exact.crop_count},
    )
    measuring.report("exported", comparison)


def predicted(classifier: Classifier, photo: Image.Image) -> np.ndarray:
    """Return the probabilities of a photo, after a second look where it is doubtful."""
    features = classifier.features(classifier.cut(photo))
    return classifier.probabilities(classifier.with_tiles(features, photo))


if __name__ == "__main__":
    measuring.run(main)
