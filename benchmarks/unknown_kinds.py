"""Unknown animals: how many of a kind that the network never knew are called a label?

Few photos of unknown kinds are at hand, so known ones are made unknown: the rows of pandas, cats or
dogs are taken out of the head of the fine-tuned network, their photos out of its neighbors, and
what remains is calibrated again. The photos of that kind in the training and the validation split
then show an animal that no class stands for, as raccoons do. A development set, as
`small_animals.py` is. Run it on photographs, after `dvc repro evaluate`.
"""

import argparse
from collections.abc import Iterator
from functools import partial

import measuring
import numpy as np
import pandas as pd
from PIL import Image

from pandacat.config.loading import load_config
from pandacat.config.training import FineTuneParams
from pandacat.core import paths
from pandacat.data import store
from pandacat.data.features import Features, read_features
from pandacat.labels import OTHER
from pandacat.models.classifier import Classifier
from pandacat.models.embed import split_features, tiled_logits
from pandacat.models.saved import SavedModel, load_model
from pandacat.training.calibration import calibrate, keep_neighbors

DOGS = range(151, 269)
NEVER = -1e4
"""Bias of a class that is never predicted."""


def kinds(model: SavedModel) -> dict[str, tuple[int, ...]]:
    """Return the rows of the head that stand for a kind, by the label of its photos."""
    about = model.description
    return dict(zip(about.labels, about.label_classes, strict=False)) | {OTHER: tuple(DOGS)}


def unaware(model: SavedModel, rows: tuple[int, ...]) -> SavedModel:
    """Return the model without these rows of its head: the others share their probability."""
    bias = model.tensors["head.bias"].copy()
    bias[list(rows)] = NEVER
    return model.with_tensors({"head.bias": bias})


class Photos:
    """The photos of the pipeline, and their features."""

    def __init__(self, classifier: Classifier, stored: Features) -> None:
        """Extract what is not stored."""
        self.index = store.read_index(paths.PHOTOS)
        self.classifier = classifier
        extract = partial(
            split_features, classifier=classifier, photo_folder=paths.PHOTOS, stored=stored
        )
        crops = classifier.description.crops
        self.crops = {split: extract(split, crops=crops) for split in ("train", "validation")}

    def labels(self, split: str) -> np.ndarray:
        """Return the label of each photo of a split, by name."""
        return self.index.label[self.index.split == split].to_numpy(str)

    def logits(self, model: SavedModel, split: str, chosen: np.ndarray) -> np.ndarray:
        """Return the logits `(N, K + 1)` of the chosen photos of a split, after both looks."""
        rows = np.flatnonzero(chosen)
        features = self.crops[split][rows]

        def images(doubtful: np.ndarray) -> Iterator[Image.Image]:
            return store.split_images(paths.PHOTOS, split, rows[doubtful])

        return tiled_logits(Classifier(model, self.classifier), features, images)


def calibrated(model: SavedModel, photos: Photos, kind: str, params: FineTuneParams) -> SavedModel:
    """Return the model, calibrated as if there were no photos of this kind."""
    train, known = photos.labels("train"), photos.labels("validation") != kind
    others = photos.crops["train"][~np.isin(train, [kind, OTHER]), 0]
    classes = [model.description.labels.index(name) for name in photos.labels("validation")[known]]
    return calibrate(
        keep_neighbors(model, others, params.neighbor_photos),
        photos.crops["validation"][known],
        np.array(classes),
        params.calibration,
        lambda model: photos.logits(model, "validation", known),
    )


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    measuring.project()
    params = load_config().fine_tune
    model = load_model(paths.MODELS / "fine-tuned")
    photos = Photos(Classifier(model), read_features(paths.FEATURES))
    rows = []
    for kind, classes in kinds(model).items():
        twice = calibrated(unaware(model, classes), photos, kind, params)
        row = {"kind": "dog" if kind == OTHER else kind, "photos": 0}
        for looks, chosen in (("one look", twice.described(tiling=None)), ("two looks", twice)):
            logits = [
                photos.logits(chosen, split, photos.labels(split) == kind) for split in photos.crops
            ]
            called = np.concatenate(logits).argmax(axis=1) < len(model.description.labels) - 1
            row |= {"photos": len(called), f"called a label, {looks}": int(called.sum())}
        rows.append(row)
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    measuring.run(main)
