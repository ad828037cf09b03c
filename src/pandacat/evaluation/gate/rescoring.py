"""Two models for the regression gate, scored on photos that neither of them has seen."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from pandacat.config.schema import Config
from pandacat.core.errors import PandacatError
from pandacat.data import store
from pandacat.data.duplicates import group_near_duplicates
from pandacat.data.images import decode_jpeg, perceptual_hash
from pandacat.data.sources.importing import find_archive
from pandacat.evaluation import predictions as tables
from pandacat.evaluation.compare import confidence_metrics
from pandacat.evaluation.field_test import read_field_test
from pandacat.evaluation.gate.revisions import Headline, intervals
from pandacat.evaluation.headline import METRICS
from pandacat.evaluation.networks import Classifiers, NamedImage, predict_images

FEWEST_PHOTOS = 10
"""Of each label in the test split, on which two models can be compared at all."""


@dataclass(frozen=True)
class PhotoSet:
    """Labeled photos to score models on."""

    photos: pd.DataFrame
    """`name`, `label`, `split`, `fingerprint` and `mirrored_fingerprint` of each."""
    jpegs: Callable[[Collection[str]], Iterable[tuple[str, bytes]]]
    """Returns name and bytes of those with the names."""

    def unseen(self, seen: Collection[str], max_bits: int) -> "PhotoSet":
        """Return those that are no near-duplicates of photos with the perceptual hashes `seen`."""
        groups = group_near_duplicates(
            [*seen, *self.photos.fingerprint],
            [*seen, *self.photos.mirrored_fingerprint],
            max_bits,
        )
        is_new = ~np.isin(groups[len(seen) :], groups[: len(seen)])
        return PhotoSet(self.photos[is_new], self.jpegs)


def photo_sets(config: Config, *, photo_folder: Path) -> dict[str, PhotoSet]:
    """Return the test split and, if `evaluate.field_test` names one, the field test."""
    index = store.read_index(photo_folder)
    split = index[index.split == "test"]
    sets = {"test": PhotoSet(split, partial(store.iter_jpegs, photo_folder))}
    if config.evaluate.field_test:
        archive = find_archive(config.evaluate.field_test, "evaluate.field_test")
        photos = read_field_test(archive, config, photo_folder=photo_folder)
        hashes = [perceptual_hash(decode_jpeg(jpeg)) for jpeg in photos.jpeg]
        columns = ["fingerprint", "mirrored_fingerprint"]
        photos = photos.join(pd.DataFrame(hashes, photos.index, columns))
        jpeg_of = dict(zip(photos.name, photos.jpeg, strict=True))
        sets["field_test"] = PhotoSet(
            photos.drop(columns="jpeg"), lambda names: [(name, jpeg_of[name]) for name in names]
        )
    return sets


def check_counts(photos: pd.DataFrame, labels: Collection[str]) -> None:
    """Raise `PandacatError` if there are too few photos of a label to compare models on."""
    counts = photos.label.value_counts().reindex(list(labels), fill_value=0)
    if counts.min() < FEWEST_PHOTOS:
        raise PandacatError(
            f"Only {counts.min()} test photos of {counts.idxmin()} are left that neither model has "
            f"seen, and {FEWEST_PHOTOS} are needed: add photos, and run `dvc repro`."
        )


def rescore(classifiers: Classifiers, sets: dict[str, PhotoSet]) -> dict[str, Headline]:
    """Return the headline metrics of each classifier, by its name, as of the fine-tuned network."""

    def decoded(item: tuple[str, bytes]) -> Iterator[NamedImage]:
        yield {"name": item[0]}, decode_jpeg(item[1])

    predictions = pd.concat(
        predict_images(classifiers, each.photos, each.jpegs(each.photos.name), decoded, title)
        for title, each in sets.items()
        if len(each.photos)
    )
    return {
        name: _headline(rows.assign(network=tables.OURS))
        for name, rows in tables.by_network(predictions).items()
    }


def _headline(predictions: pd.DataFrame) -> Headline:
    content = {}
    for dataset, rows in predictions.groupby("split", sort=False):
        metrics = tables.headline_metrics(rows) | confidence_metrics(rows, seed=0)
        kept = {name: metrics[name] for name in METRICS if name in metrics}
        content[str(dataset)] = {tables.OURS: kept}
    return Headline(dict(intervals(content)), {}, predictions.reset_index(drop=True))
