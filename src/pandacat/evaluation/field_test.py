"""The field test: labeled photos of another source, which no network was trained on."""

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from tqdm import tqdm

from pandacat.config.photos import ImageSpec
from pandacat.config.schema import Config
from pandacat.core.errors import PandacatError, printable
from pandacat.core.parallel import ordered_map
from pandacat.data import store
from pandacat.data.duplicates import group_near_duplicates
from pandacat.data.images import UnreadablePhotoError, decode_jpeg, perceptual_hash, standardize
from pandacat.data.sources import archive as archives
from pandacat.evaluation.networks import Classifiers, ExtractedPhotos
from pandacat.models.classifier import extract_image_features


def extract_field_test(
    classifiers: Classifiers, archive: Path, config: Config, *, photo_folder: Path
) -> ExtractedPhotos:
    """Return the labeled photos of a zip or folder with their features, some 60 kB each.

    Left out and named on stderr: files that can't be read, near-duplicates of photos in
    `photo_folder` and of each other.

    Raises:
        PandacatError: the archive can't be used, or no photo of an in-distribution label is left.
    """
    try:
        with TemporaryDirectory() as folder:
            imported = Path(folder) / "photos.zip"
            archives.import_archive(archive, imported)
            listing = archives.index_archive(imported, config.label_of_folder)
            print(f"Field test: {listing}", file=sys.stderr)
            with archives.open_archive(imported) as reader:
                photos = _read_photos(reader, listing.photos, classifiers, config.preprocess)
        return _without_copies(photos, store.read_index(photo_folder), config)
    except PandacatError as error:
        raise PandacatError(f"evaluate.field_test, {archive}: {error}") from None


@dataclass(frozen=True)
class FieldPhoto:
    """One readable photo of the archive."""

    entry: archives.Entry
    fingerprints: tuple[str, str]
    """Its perceptual hash, and that of its mirror image."""
    features: dict[str, np.ndarray]
    """`(V, D)` by backbone key."""


def _read_photos(
    reader: archives.Reader,
    entries: Sequence[archives.Entry],
    classifiers: Classifiers,
    spec: ImageSpec,
) -> list[FieldPhoto]:
    def read(entry: archives.Entry) -> FieldPhoto | str:
        try:
            photo, jpeg = standardize(reader.read(entry.name), spec)
        except (archives.EntryError, UnreadablePhotoError) as error:
            return f"{entry.name} ({error})"
        features = extract_image_features(decode_jpeg(jpeg), classifiers.values())
        return FieldPhoto(entry, perceptual_hash(photo.image), features)

    results = list(
        tqdm(
            ordered_map(read, entries),
            total=len(entries),
            desc="field test",
            unit="photo",
            disable=None,
        )
    )
    _report_left_out([result for result in results if isinstance(result, str)], "can't be read")
    return [result for result in results if isinstance(result, FieldPhoto)]


def _without_copies(
    photos: Sequence[FieldPhoto], index: pd.DataFrame, config: Config
) -> ExtractedPhotos:
    """Leave out near-duplicates of the photos in `index`, and of each other."""
    groups = group_near_duplicates(
        [*index.fingerprint, *(photo.fingerprints[0] for photo in photos)],
        [*index.mirrored_fingerprint, *(photo.fingerprints[1] for photo in photos)],
        config.preprocess.near_duplicate_bits,
    )
    table = pd.DataFrame(
        {
            "name": [photo.entry.name for photo in photos],
            "label": [photo.entry.label for photo in photos],
            "group": groups[len(index) :],
        }
    )
    copied = table.group.isin(groups[: len(index)])
    disputed = ~copied & (table.groupby("group").label.transform("nunique") > 1)
    repeated = ~copied & ~disputed & table.duplicated("group")
    _report_left_out(table.name[copied], "are copies of photos in data/photos")
    _report_left_out(table.name[disputed], "are there under several labels")
    _report_left_out(table.name[repeated], "are copies of others in it")
    table = table[~(copied | disputed | repeated)]
    for label in config.labels:
        if label not in set(table.label):
            raise PandacatError(
                f"no photo of {label} is left, without those that can't be read and copies: "
                "add others, or set it to null."
            )
    features = {
        key: np.stack([photos[row].features[key] for row in table.index])
        for key in photos[0].features
    }
    rows = table[["name", "label"]].assign(split="field_test").reset_index(drop=True)
    return ExtractedPhotos(rows, features)


def _report_left_out(names: Collection[str], why: str) -> None:
    if len(names):
        some = ", ".join(map(printable, islice(names, 3))) + (", …" if len(names) > 3 else "")
        print(f"Field test: {len(names)} photos {why} and are left out: {some}", file=sys.stderr)
