"""Labeled photos from other sources, as the networks see them."""

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
from pandacat.evaluation.compare import Classifiers, ExtractedPhotos
from pandacat.models.classifier import extract_image_features


def extract_field_test(
    classifiers: Classifiers,
    archive: Path,
    config: Config,
    *,
    photo_folder: Path,
) -> ExtractedPhotos:
    """Return the labeled photos of a zip or folder from elsewhere as the networks see them.

    What can't be read, copies of photos in `photo_folder`, which are not from elsewhere, and of
    each other, which would count twice, are left out and named on stderr. Features take some 60 kB
    of memory a photo.

    Raises:
        PandacatError: the archive can't be used, or no panda or no cat is left.
    """
    try:
        with TemporaryDirectory() as folder:
            taken = Path(folder) / "photos.zip"
            archives.import_archive(archive, taken)
            found = archives.index_archive(taken, config.label_of_folder)
            print(f"Field test: {found}", file=sys.stderr)
            with archives.open_archive(taken) as reader:
                looks = _extract_photos(reader, found.photos, classifiers, config.preprocess)
        return _without_copies(looks, store.read_index(photo_folder), config)
    except PandacatError as error:
        raise PandacatError(f"evaluate.field_test, {archive}: {error}") from None


@dataclass(frozen=True)
class _FieldPhoto:
    """At one photo of an archive."""

    entry: archives.Entry
    fingerprints: tuple[str, str]
    features: dict[str, np.ndarray]
    """`(V, D)` by backbone key."""


def _extract_photos(
    reader: archives.Reader,
    entries: Sequence[archives.Entry],
    classifiers: Classifiers,
    spec: ImageSpec,
) -> list[_FieldPhoto]:
    def look(entry: archives.Entry) -> _FieldPhoto | str:
        try:
            data = reader.read(entry.name)
            photo, jpeg = standardize(data, spec)
        except (archives.EntryError, UnreadablePhotoError) as error:
            return f"{entry.name} ({error})"
        features = extract_image_features(decode_jpeg(jpeg), classifiers.values())
        return _FieldPhoto(entry, perceptual_hash(photo.image), features)

    results = ordered_map(look, entries)
    found = list(tqdm(results, total=len(entries), desc="field test", unit="photo", disable=None))
    _report_left_out([one for one in found if isinstance(one, str)], "can't be read")
    return [one for one in found if isinstance(one, _FieldPhoto)]


def _without_copies(
    looks: Sequence[_FieldPhoto], own: pd.DataFrame, config: Config
) -> ExtractedPhotos:
    """Leave out copies of the photos in the index `own`, and of each other."""
    plain, mirrored = (
        zip(*(look.fingerprints for look in looks), strict=True) if looks else ((), ())
    )
    groups = group_near_duplicates(
        [*own.fingerprint, *plain],
        [*own.mirrored_fingerprint, *mirrored],
        config.preprocess.near_duplicate_bits,
    )
    table = pd.DataFrame(
        {
            "name": [look.entry.name for look in looks],
            "label": [look.entry.label for look in looks],
            "group": groups[len(own) :],
        }
    )
    known = table.group.isin(groups[: len(own)])
    disputed = ~known & (table.groupby("group").label.transform("nunique") > 1)
    repeated = ~known & ~disputed & table.duplicated("group")
    _report_left_out(table.name[known], "are copies of photos in data/photos")
    _report_left_out(table.name[disputed], "are there under several labels")
    _report_left_out(table.name[repeated], "are copies of others in it")
    kept = table[~(known | disputed | repeated)]
    for label in config.labels:
        if label not in set(kept.label):
            raise PandacatError(
                f"no photo of {label} is left, without those that can't be read and copies: "
                "add others, or set it to null."
            )
    index = kept[["name", "label"]].assign(split="field_test").reset_index(drop=True)
    return ExtractedPhotos(index, stack_features([looks[row].features for row in kept.index]))


def _report_left_out(names: Collection[str], why: str) -> None:
    if len(names):
        some = ", ".join(map(printable, islice(names, 3))) + (", …" if len(names) > 3 else "")
        print(f"Field test: {len(names)} photos {why} and are left out: {some}", file=sys.stderr)


def stack_features(seen: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the features of several photos, `(N, V, D)` by backbone key."""
    return {key: np.stack([features[key] for features in seen]) for key in seen[0]}
