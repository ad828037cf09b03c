"""The field test: labeled photos of another source, which no network was trained on."""

import sys
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

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
from pandacat.models.classifier import by_backbone, extract_image_features


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
        photos = _without_copies(photos, store.read_index(photo_folder), config)
    except PandacatError as error:
        raise PandacatError(f"evaluate.field_test, {archive}: {error}") from None
    features = {
        key: np.stack([of_photo[key] for of_photo in photos.features])
        for key in by_backbone(classifiers.values())
    }
    return ExtractedPhotos(photos[["name", "label"]].assign(split="field_test"), features)


def _read_photos(
    reader: archives.Reader,
    entries: Sequence[archives.Entry],
    classifiers: Classifiers,
    spec: ImageSpec,
) -> pd.DataFrame:
    """Return `name`, `label`, both hashes and the features, by backbone, of readable photos."""

    def read(entry: archives.Entry) -> tuple[Any, ...]:
        try:
            photo, jpeg = standardize(reader.read(entry.name), spec)
        except (archives.EntryError, UnreadablePhotoError) as error:
            return f"{entry.name} ({error})", entry.label, None, None, None
        features = extract_image_features(decode_jpeg(jpeg), classifiers.values())
        return entry.name, entry.label, *perceptual_hash(photo.image), features

    results = ordered_map(read, entries)
    bar = tqdm(results, total=len(entries), desc="field test", unit="photo", disable=None)
    columns = ["name", "label", "fingerprint", "mirrored_fingerprint", "features"]
    photos = pd.DataFrame(list(bar), columns=columns)
    _report_left_out(photos.name[photos.features.isna()], "can't be read")
    return photos.dropna(subset="features")


def _without_copies(photos: pd.DataFrame, index: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Leave out near-duplicates of the photos in `index`, and of each other."""
    both = pd.concat([index, photos])
    groups = group_near_duplicates(
        both.fingerprint, both.mirrored_fingerprint, config.preprocess.near_duplicate_bits
    )
    photos = photos.assign(group=groups[len(index) :])
    copied = photos.group.isin(groups[: len(index)])
    disputed = ~copied & (photos.groupby("group").label.transform("nunique") > 1)
    repeated = ~copied & ~disputed & photos.duplicated("group")
    _report_left_out(photos.name[copied], "are copies of photos in data/photos")
    _report_left_out(photos.name[disputed], "are there under several labels")
    _report_left_out(photos.name[repeated], "are copies of others in it")
    photos = photos[~(copied | disputed | repeated)].reset_index(drop=True)
    if missing := [label for label in config.labels if label not in set(photos.label)]:
        raise PandacatError(
            f"no photo of {missing[0]} is left, without those that can't be read and copies: "
            "add others, or set it to null."
        )
    return photos


def _report_left_out(names: Collection[str], why: str) -> None:
    if len(names):
        some = ", ".join(map(printable, islice(names, 3))) + (", …" if len(names) > 3 else "")
        print(f"Field test: {len(names)} photos {why} and are left out: {some}", file=sys.stderr)
