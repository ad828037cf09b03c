"""The field test: labeled photos of another source, which no network was trained on."""

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from tqdm import tqdm

from pandacat.config.schema import Config
from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError, some_of
from pandacat.core.parallel import ordered_map
from pandacat.data import store
from pandacat.data.duplicates import group_near_duplicates
from pandacat.data.images import UnreadablePhotoError, decode_jpeg, perceptual_hash, standardize
from pandacat.data.sources.archive import ArchiveIndex, index_archive
from pandacat.data.sources.importing import import_archive
from pandacat.data.sources.zip_files import EntryError, open_archive
from pandacat.evaluation.networks import Classifiers, NamedImage, predict_images


def predict_field_test(
    classifiers: Classifiers, archive: Path, config: Config, *, photo_folder: Path
) -> pd.DataFrame:
    """Return the predictions of the photos that `read_field_test` returns, with their `sha256`."""

    def decoded(item: tuple[str, str, bytes]) -> Iterator[NamedImage]:
        name, sha256, jpeg = item
        yield {"name": name, "sha256": sha256}, decode_jpeg(jpeg)

    photos = read_field_test(archive, config, photo_folder=photo_folder)
    items = zip(photos.name, photos.sha256, photos.jpeg, strict=True)
    return predict_images(classifiers, photos, items, decoded, "field test")


def read_field_test(archive: Path, config: Config, *, photo_folder: Path) -> pd.DataFrame:
    """Return `name`, `label`, `sha256`, `split`, `jpeg` of the labeled photos of a zip or folder.

    The hash is of the file; `jpeg` holds the bytes of `standardize`, some 60 kB each. Left out and
    named on stderr: files that can't be read, near-duplicates of photos in `photo_folder` and of
    each other.

    Raises:
        PandacatError: the archive can't be used, or no photo of an in-distribution label is left.
    """
    try:
        with TemporaryDirectory() as folder:
            imported = Path(folder) / "photos.zip"
            hidden = import_archive(archive, imported)
            listing = index_archive(imported, config.label_of_folder)
            listing.ignored["hidden"].extend(hidden)
            print_status(f"Field test: {listing}")
            photos = _read_photos(imported, listing, config)
        photos = _without_copies(photos, store.read_index(photo_folder), config)
    except PandacatError as error:
        raise PandacatError(f"evaluate.field_test, {archive}: {error}") from None
    return photos[["name", "label", "sha256", "jpeg"]].assign(split="field_test")


def _read_photos(archive: Path, listing: ArchiveIndex, config: Config) -> pd.DataFrame:
    """Return `name`, `label`, all hashes and the JPEG of readable photos."""
    label_of = listing.photos

    def standardized(name: str) -> tuple[Any, ...]:
        try:
            content = reader.read(name)
            photo, jpeg = standardize(content, config.preprocess)
        except (EntryError, UnreadablePhotoError) as error:
            return f"{name} ({error})", label_of[name], None, None, None, None
        sha256 = hashlib.sha256(content).hexdigest()
        return name, label_of[name], sha256, *perceptual_hash(photo.image), jpeg

    with open_archive(archive, listing.encoding) as reader:
        results = ordered_map(standardized, label_of)
        bar = tqdm(results, "read", len(label_of), unit="photo", disable=None)
        columns = ["name", "label", "sha256", "fingerprint", "mirrored_fingerprint", "jpeg"]
        photos = pd.DataFrame(list(bar), columns=columns)
    _report_left_out(photos.name[photos.jpeg.isna()], "can't be read")
    return photos.dropna(subset="jpeg")


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
        text = f"{len(names)} photos {why} and are left out: {some_of(names)}"
        print_status(f"Field test: {text}")
