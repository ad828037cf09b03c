"""Turn an archive of photos into verified, standardized, grouped and split ones."""

import csv
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from pandacat.config.photos import PreprocessParams
from pandacat.config.schema import Config
from pandacat.core.console import print_notes, print_status
from pandacat.core.errors import PandacatError, some_of
from pandacat.core.files import atomic_write
from pandacat.core.names import comparable
from pandacat.core.parallel import ordered_map
from pandacat.core.tables import write_table
from pandacat.data import provenance, store
from pandacat.data.duplicates import group_near_duplicates
from pandacat.data.images import UnreadablePhotoError, perceptual_hash, standardize
from pandacat.data.provenance import Provenance
from pandacat.data.sources.archive import ArchiveIndex, index_archive
from pandacat.data.sources.zip_files import EntryError, open_archive
from pandacat.data.splits import SPLITS, assign_splits, complete_splits, whole_groups
from pandacat.data.store import PhotoFile
from pandacat.labels import OTHER

QUARANTINE, PROVENANCE = "quarantine.csv", "provenance.json"

EXCLUDED = "excluded: "
"""What the reason of a photo that is on the list of exclusions begins with."""


def preprocess(
    archive: Path,
    origin: Provenance,
    target: Path,
    config: Config,
    *,
    exclusions: Mapping[str, str],
) -> dict[str, Any]:
    """Write the photos of `archive` to the folder `target`; return their counts.

    `target` gets shards of JPEG bytes, `index.parquet`, `labels.json`, `provenance.json` and
    `quarantine.csv` (name, label, reason) with the photos that are excluded or can't be read.

    Args:
        archive: a zip file with a folder per label.
        origin: where the archive comes from.
        target: a folder, replaced as a whole.
        config: the labels and their folders, and how to preprocess.
        exclusions: the reason to leave a photo out, by name.

    Raises:
        PandacatError: fewer than `min_photos_per_label` photos of a label can be used, or one of
            the splits gets none of them.
    """
    params = config.preprocess
    quarantined: list[tuple[str, str, str]] = []
    with atomic_write(target) as aside:
        aside.mkdir()
        listing = index_archive(archive, config.label_of_folder, origin.encoding)
        photos = _read_photos(archive, listing, config, exclusions, quarantined)
        files = store.write_shards(aside, photos)
        quarantine = pd.DataFrame(quarantined, columns=["name", "label", "reason"])
        write_table(aside / QUARANTINE, quarantine)
        _require_enough(files, quarantine, config)
        groups = group_near_duplicates(
            files.fingerprint, files.mirrored_fingerprint, params.near_duplicate_bits
        )
        split = _splits(files, groups, files.name.map(listing.splits), config.preprocess)
        index = files.assign(group=groups, split=split)
        _require_all_splits(index)
        store.write_index(aside, index, config.label_names)
        provenance.write(aside / PROVENANCE, origin)
    _report_left_out(quarantined, len(index) + len(quarantine), target / QUARANTINE)
    return _counts(index, quarantine, config.label_names)


def read_exclusions(path: Path) -> dict[str, str]:
    """Return, from a CSV file with the columns `path` and `reason`, the reason for each photo.

    Raises:
        PandacatError: the file is missing or has another form.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = [row for row in csv.reader(stream, strict=True) if row]
        if rows[:1] != [["path", "reason"]]:
            raise ValueError("its first line is another one")
        for row in rows:
            if len(row) != 2 or not row[0].strip():
                raise ValueError(f'{",".join(row)!r} needs one comma; put others in "…"')
    except FileNotFoundError:
        raise PandacatError(
            f"{path} is missing: get it back with `git checkout {path}`, or write one with the "
            "line `path,reason`."
        ) from None
    except (ValueError, csv.Error) as error:
        raise PandacatError(
            f"{path} needs the columns path and reason, a line for each photo to leave out, "
            f"separated by commas, as UTF-8: {error}"
        ) from None
    return {name.strip(): reason.strip() for name, reason in rows[1:]}


def _read_photos(
    archive: Path,
    listing: ArchiveIndex,
    config: Config,
    exclusions: Mapping[str, str],
    quarantined: list[tuple[str, str, str]],
) -> Iterator[tuple[PhotoFile, bytes]]:
    """Yield the properties and the JPEG of each photo; list those left out in `quarantined`.

    Of those it lists name, label and reason.
    """
    label_of = listing.photos
    excluded = {comparable(name): reason for name, reason in exclusions.items()}
    _report_unmatched(excluded.keys() - set(map(comparable, label_of)))
    noted: defaultdict[str, list[str]] = defaultdict(list)
    with open_archive(archive, listing.encoding) as reader:

        def standardized(name: str) -> tuple[PhotoFile, bytes, Sequence[str]] | str:
            if (reason := excluded.get(comparable(name))) is not None:
                return f"{EXCLUDED}{reason}"
            try:
                data = reader.read(name)
                photo, jpeg = standardize(data, config.preprocess)
            except (EntryError, UnreadablePhotoError) as error:
                return str(error)
            fingerprint, mirrored = perceptual_hash(photo.image)
            file = PhotoFile(
                name=name,
                label=label_of[name],
                sha256=sha256(data).hexdigest(),
                file_bytes=len(data),
                width_px=photo.width_px,
                height_px=photo.height_px,
                mode=photo.mode,
                fingerprint=fingerprint,
                mirrored_fingerprint=mirrored,
            )
            return file, jpeg, photo.notes

        results = ordered_map(standardized, label_of)
        bar = tqdm(results, total=len(label_of), desc="preprocess", unit="photo", disable=None)
        for (name, label), result in zip(label_of.items(), bar, strict=True):
            if isinstance(result, str):
                quarantined.append((name, label, result))
            else:
                file, jpeg, notes = result
                for note in notes:
                    noted[note].append(file.name)
                yield file, jpeg
    print_notes(noted)


def _splits(
    files: pd.DataFrame, groups: np.ndarray, given: pd.Series, params: PreprocessParams
) -> list[str]:
    """Return the split of each photo, at random or as its archive has it (`given`), and say so."""
    choose = partial(
        assign_splits if params.split == "random" else complete_splits,
        files.label,
        groups,
        validation_share=params.validation_share,
        test_share=params.test_share,
        seed=params.seed,
        keys=files.sha256,
    )
    if params.split == "random":
        if given.notna().any():
            print_status(
                f"The archive has folders for {', '.join(sorted(set(given.dropna())))}, whose "
                "photos are split anew; to keep them apart, set preprocess.split to archive."
            )
        return choose()
    if given.isna().all():
        raise PandacatError(
            "preprocess.split is archive, but the archive has no folders train and test or val: "
            "set it to random."
        )
    whole = whole_groups(groups, given)
    if moved := int((whole != given.fillna("train")).sum()):
        print_status(
            "Near-duplicates of photos in the archive's test or validation split, which are moved "
            f"there: {moved}"
        )
    return choose(given=whole)


def _report_unmatched(names: Collection[str]) -> None:
    if names:
        print_status(
            "Exclusions that match no photo of this archive (expected if they belong to another "
            f"one): {some_of(sorted(names))}"
        )


def _report_left_out(quarantined: Sequence[tuple[str, str, str]], total: int, table: Path) -> None:
    """Say how many photos are excluded, and which can't be read, all of which are in `table`."""
    unreadable = [
        f"{name} ({reason})" for name, _, reason in quarantined if not reason.startswith(EXCLUDED)
    ]
    if excluded := len(quarantined) - len(unreadable):
        print_status(f"Excluded photos: {excluded} of {total}")
    if unreadable:
        print_status(
            f"{len(unreadable)} of {total} photos can't be read: {some_of(unreadable)}; {table} "
            "lists all."
        )


def _require_enough(files: pd.DataFrame, quarantine: pd.DataFrame, config: Config) -> None:
    required = config.preprocess.min_photos_per_label
    for label in config.label_names:
        usable = int((files.label == label).sum())
        reasons = Counter(quarantine.reason[quarantine.label == label])
        total = usable + reasons.total()
        if usable < required and (total or label != OTHER):
            why = "; ".join(f"{count}: {reason}" for reason, count in reasons.most_common(3))
            raise PandacatError(
                f"Only {usable} of {total} photos of {label} can be used, and {required} are needed"
                f"{f' ({why})' if why else ''}: add photos, or lower "
                "preprocess.min_photos_per_label."
            )


def _require_all_splits(index: pd.DataFrame) -> None:
    """Refuse an index without photos of a label in one of the splits."""
    for label, photos in index.groupby("label"):
        for split in SPLITS:
            if split not in set(photos.split):
                raise PandacatError(
                    f"No photo of {label} is left for {split}: its {photos.group.nunique()} "
                    "photos, near-duplicates counted once, are too few. Add others, or change "
                    "preprocess.split, preprocess.validation_share or preprocess.test_share."
                )


def _counts(index: pd.DataFrame, quarantine: pd.DataFrame, labels: Sequence[str]) -> dict[str, Any]:
    counts = index.groupby(["split", "label"]).size()
    return {
        "photos": len(index),
        "quarantined": len(quarantine),
        "groups": int(index.group.nunique()),
        "near_duplicates": len(index) - int(index.group.nunique()),
        **{
            split: {label: int(counts.get((split, label), 0)) for label in labels}
            for split in SPLITS
        },
    }
