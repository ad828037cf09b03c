"""What each part of fine-tuning is good for: heads trained without it, on the same kept features.

Compared are validation photos, as they are and corrupted; dogs, by networks trained without any
photo of `other`; and, where an archive is given, photos from elsewhere. The last are shown, not
chosen by.
"""

import argparse
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import measuring
import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from pandacat.config.loading import load_config
from pandacat.config.schema import FolderParams
from pandacat.config.training import FineTuneParams
from pandacat.core import paths
from pandacat.core.parallel import ordered_map
from pandacat.data import store
from pandacat.data.features import read_features
from pandacat.data.images import decode_jpeg, load_image
from pandacat.data.sources import archive as archives
from pandacat.evaluation.corruptions import CORRUPTIONS, corrupt
from pandacat.labels import LABELS
from pandacat.metrics.open_set import open_set_figures
from pandacat.models.classifier import (
    MAX_MEGAPIXELS,
    Classifier,
    group_log_probabilities,
    pool_crops,
    softmax,
)
from pandacat.models.saved import SavedModel, load_model
from pandacat.training import fine_tune
from pandacat.training.batches import Examples
from pandacat.training.calibration import fit_temperature
from pandacat.training.fine_tune import Data

OTHER = LABELS.index("other")
SEVERITY = 3

Pool = Callable[[np.ndarray], np.ndarray]
"""From log-probabilities `(N, V, 3)` of crops to logits `(N, 3)` of photos."""


@dataclass(frozen=True)
class Photos:
    """Photos that were looked at."""

    features: np.ndarray
    """`(N, V, D)`."""
    classes: np.ndarray
    """`(N,)`, indices into `LABELS`."""


@dataclass(frozen=True)
class Head:
    """The last layer of a network, and how its crops are pooled."""

    weight: np.ndarray
    bias: np.ndarray
    pool: Pool = pool_crops

    def logits(self, seen: Photos) -> np.ndarray:
        """Return `(N, 3)`, not tempered."""
        return self.pool(group_log_probabilities(seen.features @ self.weight.T + self.bias))


def average_probabilities(log_probabilities: np.ndarray) -> np.ndarray:
    """Pool as is common; compare `pool_views`."""
    mean: np.ndarray = np.log(np.exp(log_probabilities).mean(axis=-2))
    return mean


def center_only(log_probabilities: np.ndarray) -> np.ndarray:
    """Look at the first crop alone."""
    center: np.ndarray = log_probabilities[:, 0]
    return center


def trained(untouched: SavedModel, data: Data, chosen: FineTuneParams) -> Head:
    """Return the head after fine-tuning."""
    tensors, _ = fine_tune.fine_tune(untouched, data, chosen)
    return Head(tensors["head.weight"], tensors["head.bias"])


def without_copies(data: Data) -> Data:
    """Leave the augmented copies out."""
    centers = data.train.inputs[:, :1]
    return Data(Examples(centers, data.train.classes), data.validation)


def without_others(data: Data) -> Data:
    """Leave out the training photos of `other`."""
    known = data.train.classes != OTHER
    train = Examples(data.train.inputs[known], data.train.classes[known])
    return Data(train, data.validation)


def between(start: Head, end: Head, share: float) -> Head:
    """Return the head so far on the straight way from start to end.

    Source: Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022 (WiSE-FT).
    """
    return Head(
        start.weight + share * (end.weight - start.weight),
        start.bias + share * (end.bias - start.bias),
    )


def heads(
    untouched: SavedModel, data: Data, chosen: FineTuneParams
) -> Iterator[tuple[str, Head, Head]]:
    """Yield a name, the head, and the same trained without photos of `other`."""
    start = Head(untouched.tensors["head.weight"], untouched.tensors["head.bias"])
    ours, blind = (trained(untouched, some, chosen) for some in (data, without_others(data)))
    for name, pool in (("center crop", center_only), ("all crops", pool_crops)):
        yield f"untouched, {name}", replace(start, pool=pool), replace(start, pool=pool)
    yield "as in params.yaml", ours, blind
    for name, pool in (
        ("probabilities averaged instead of odds", average_probabilities),
        ("center crop alone", center_only),
    ):
        yield name, replace(ours, pool=pool), replace(blind, pool=pool)
    yield "half-way from the start", between(start, ours, 0.5), between(start, blind, 0.5)
    changed = {
        "no augmented copies": (without_copies(data), chosen),
        "seen_class_scale 1": (data, replace(chosen, seen_class_scale=1.0)),
        "seen_class_scale 100": (data, replace(chosen, seen_class_scale=100.0)),
        **{f"l2_sp {l2_sp:g}": (data, replace(chosen, l2_sp=l2_sp)) for l2_sp in (1, 0.01, 0)},
    }
    for name, (some, settings) in changed.items():
        yield (
            name,
            trained(untouched, some, settings),
            trained(untouched, without_others(some), settings),
        )


def corrupted(classifier: Classifier, count: int) -> Photos:
    """Look at so many validation photos, each corrupted in every way."""
    index = store.read_index(paths.PHOTOS)
    chosen = index[index.split == "validation"].sort_values("fingerprint").head(count)

    def look(item: tuple[str, bytes]) -> np.ndarray:
        name, jpeg = item
        pixels = np.asarray(decode_jpeg(jpeg))
        chance = np.random.default_rng(zlib.crc32(name.encode()))
        return np.stack(
            [
                classifier.features(
                    classifier.cut(Image.fromarray(corrupt(pixels, kind, SEVERITY, chance)))
                )
                for kind in CORRUPTIONS
            ]
        )

    jpegs = list(store.iter_jpegs(paths.PHOTOS, chosen.name))
    bar = tqdm(ordered_map(look, jpegs), total=len(jpegs), desc="corrupted", unit="photo")
    seen = np.concatenate(list(bar))
    label_of = dict(zip(chosen.name, chosen.label, strict=True))
    classes = [LABELS.index(label_of[name]) for name, _ in jpegs]
    return Photos(seen, np.repeat(classes, len(CORRUPTIONS)))


def elsewhere(classifier: Classifier, archive: Path, folders: FolderParams) -> Photos:
    """Look at the photos of an archive."""
    entries = archives.index_archive(archive, folders).photos
    with archives.open_archive(archive) as reader:

        def look(entry: archives.Entry) -> np.ndarray:
            image_px = classifier.description.image_px
            photo = load_image(
                reader.read(entry.name), image_px=image_px, max_megapixels=MAX_MEGAPIXELS
            )
            return classifier.features(classifier.cut(photo.image))

        bar = tqdm(ordered_map(look, entries), total=len(entries), desc="elsewhere", unit="photo")
        seen = np.stack(list(bar))
    return Photos(seen, np.array([LABELS.index(entry.label) for entry in entries]))


def log_loss(logits: np.ndarray, classes: np.ndarray) -> float:
    """Return the mean over the photos."""
    own = softmax(logits)[np.arange(len(classes)), classes]
    return float(-np.log(np.maximum(own, 1e-12)).mean())


def right(logits: np.ndarray, classes: np.ndarray) -> float:
    """Return the share of right answers, in percent."""
    return float(100 * (logits.argmax(axis=1) == classes).mean())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--field-test", type=Path, help="a zip of labeled photos from elsewhere")
    parser.add_argument("--photos", type=int, default=60, help="validation photos to corrupt")
    options = parser.parse_args()
    settings = load_config()
    untouched = load_model(paths.MODELS / "pretrained")
    classifier = Classifier(
        replace(
            untouched,
            description=replace(untouched.description, crops=settings.predict_pretrained.crops),
        )
    )
    data = fine_tune.from_features(store.read_index(paths.PHOTOS), read_features(paths.FEATURES))
    validation = Photos(data.validation.inputs.numpy(), data.validation.classes.numpy())
    others = validation.classes == OTHER
    dogs = Photos(validation.features[others], validation.classes[others])
    worse = corrupted(classifier, options.photos)
    field = None
    if options.field_test:
        field = elsewhere(classifier, options.field_test, settings.photos.folders)

    rows = {}
    for name, head, blind in heads(untouched, data, settings.fine_tune):
        logits = head.logits(validation)
        temperature = fit_temperature(logits, validation.classes)
        row = {
            "validation loss": log_loss(logits / temperature, validation.classes),
            "right, %": right(logits, validation.classes),
            "corrupted, %": right(head.logits(worse), worse.classes),
            "unseen loss": log_loss(blind.logits(dogs) / temperature, dogs.classes),
        }
        if field is not None:
            logits = head.logits(field) / temperature
            known = field.classes != OTHER
            figures = open_set_figures(softmax(logits)[:, :OTHER].max(axis=1), known)
            row |= {
                "elsewhere, %": right(logits, field.classes),
                "AUROC": figures["auroc"].value,
                "false passes, %": 100 * figures["false_positive_rate"].value,
            }
        rows[name] = row
        print(name, {key: round(value, 4) for key, value in row.items()}, flush=True)
    print(pd.DataFrame(rows).T.round(4).to_string())


if __name__ == "__main__":
    measuring.run(main)
