"""From an archive as it came to verified, normalized, grouped and split photos."""

import csv
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pandas as pd
from tqdm import tqdm

from pandacat.config.photos import PreprocessParams
from pandacat.config.schema import Config
from pandacat.core.errors import PandacatError
from pandacat.core.files import atomic_write
from pandacat.core.parallel import ordered_map
from pandacat.data import provenance, splits, store
from pandacat.data.duplicates import group_near_duplicates
from pandacat.data.images import (
    UnreadablePhotoError,
    perceptual_hash,
    sha256_hex,
    standardize,
)
from pandacat.data.provenance import Provenance
from pandacat.data.sources import archive as archives
from pandacat.labels import OTHER

QUARANTINE, PROVENANCE = "quarantine.csv", "provenance.json"


@dataclass(frozen=True)
class Row:
    """What is known of one photo before it has a group and a split."""

    name: str
    label: str
    sha256: str
    """Of the file as it came."""
    file_bytes: int
    width_px: int
    height_px: int
    mode: str
    fingerprint: str
    mirrored_fingerprint: str


def preprocess(
    archive: Path,
    origin: Provenance,
    target: Path,
    config: Config,
    *,
    exclusions: Mapping[str, str],
) -> dict[str, Any]:
    """Write the photos of `archive` to the folder `target`; return the counts.

    `exclusions` names photos to leave out, and why.

    `target` gets shards of JPEG bytes, `index.parquet`, `provenance.json` and `quarantine.csv`
    (name, label, reason) of what can't be read.

    Raises:
        PandacatError: a label that the archive has keeps fewer than `min_photos_per_label`, or has
            none for one of the splits.
    """
    rejected: list[dict[str, str]] = []

    def keep(rows: store.RowBuffer) -> Iterator[tuple[str, bytes]]:
        for row, jpeg in _read_all(archive, config, exclusions):
            if isinstance(row, Row):
                rows.append(vars(row))
                yield row.name, jpeg
            else:
                rejected.append(row)

    with atomic_write(target) as aside:
        aside.mkdir()
        rows = store.RowBuffer(aside / "rows.arrow", get_type_hints(Row))
        store.write_shards(aside, keep(rows))
        quarantine = pd.DataFrame(rejected, columns=["name", "label", "reason"])
        quarantine.to_csv(aside / QUARANTINE, index=False, lineterminator="\n")
        found = rows.table()
        _require_enough(found, quarantine, config)
        index = _grouped_and_split(found, config.preprocess)
        _require_all_splits(index)
        store.write_index(aside, index)
        store.write_labels(aside, config.label_names)
        provenance.write(aside / PROVENANCE, origin)
    return _summary(index, quarantine, config.label_names)


def read_exclusions(path: Path) -> dict[str, str]:
    """Return why each photo in a CSV with the columns `path` and `reason` is to be left out.

    Raises:
        PandacatError: it is no such file.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream, strict=True)
            if rows.fieldnames != ["path", "reason"]:
                raise ValueError(f"its columns are {', '.join(rows.fieldnames or ['none'])}")
            found = {}
            for row in rows:
                if None in row or None in row.values():
                    raise ValueError(f'line {rows.line_num} needs one comma; put others in "…"')
                if not row["path"].strip():
                    raise ValueError(f"line {rows.line_num} names no photo")
                found[row["path"].strip()] = row["reason"].strip()
    except FileNotFoundError:
        raise PandacatError(
            f"{path} is missing: get it back with `git checkout {path}`, or write one with the "
            "line `path,reason`."
        ) from None
    except (ValueError, csv.Error) as error:
        raise PandacatError(
            f"{path} needs the columns path and reason, a line for each photo to leave out, with "
            f"commas, as UTF-8: {error}"
        ) from None
    return found


def _read_all(
    archive: Path,
    config: Config,
    exclusions: Mapping[str, str],
) -> Iterator[tuple[Row | dict[str, str], bytes]]:
    def read(entry: archives.Entry) -> tuple[Row | dict[str, str], bytes]:
        if entry.name in exclusions:
            reason = f"excluded: {exclusions[entry.name]}"
            return {"name": entry.name, "label": entry.label, "reason": reason}, b""
        try:
            data = reader.read(entry.name)
            photo, jpeg = standardize(data, config.preprocess)
        except (archives.EntryError, UnreadablePhotoError) as error:
            return {"name": entry.name, "label": entry.label, "reason": str(error)}, b""
        fingerprint, mirrored = perceptual_hash(photo.image)
        row = Row(
            name=entry.name,
            label=entry.label,
            sha256=sha256_hex(data),
            file_bytes=len(data),
            width_px=photo.width_px,
            height_px=photo.height_px,
            mode=photo.mode,
            fingerprint=fingerprint,
            mirrored_fingerprint=mirrored,
        )
        return row, jpeg

    with archives.open_archive(archive) as reader:
        entries = reader.photos(config.label_of_folder)
        _tell_of_strangers(exclusions.keys() - {entry.name for entry in entries})
        results = ordered_map(read, entries)
        yield from tqdm(results, total=len(entries), desc="preprocess", unit="photo", disable=None)


def _tell_of_strangers(excluded: Set[str]) -> None:
    if excluded:
        some = ", ".join(sorted(excluded)[:3]) + (", …" if len(excluded) > 3 else "")
        print(
            f"{len(excluded)} on the list of exclusions, but not in this archive, which is right "
            f"for photos of another: {some}",
            file=sys.stderr,
        )


def _require_enough(found: pd.DataFrame, quarantine: pd.DataFrame, config: Config) -> None:
    least = config.preprocess.min_photos_per_label
    for label in config.label_names:
        kept = int((found["label"] == label).sum())
        lost = Counter(quarantine["reason"][quarantine["label"] == label])
        there = kept + lost.total()
        if kept < least and (there or label != OTHER):
            reasons = "; ".join(f"{count}: {reason}" for reason, count in lost.most_common(3))
            raise PandacatError(
                f"Only {kept} of {there} photos of {label} can be used, and {least} are needed"
                f"{f' ({reasons})' * bool(reasons)}: add photos, or lower "
                "preprocess.min_photos_per_label."
            )


def _grouped_and_split(index: pd.DataFrame, params: PreprocessParams) -> pd.DataFrame:
    groups = group_near_duplicates(
        index.fingerprint, index.mirrored_fingerprint, params.near_duplicate_bits
    )
    split = splits.assign_splits(
        index.label,
        groups,
        validation_share=params.validation_share,
        test_share=params.test_share,
        seed=params.seed,
        keys=index.sha256,
    )
    return index.assign(group=groups, split=split)


def _require_all_splits(index: pd.DataFrame) -> None:
    """Refuse what nothing could be learned from, or measured on."""
    there = set(zip(index.split, index.label, strict=True))
    for label in sorted(set(index.label)):
        for split in splits.SPLITS:
            if (split, label) not in there:
                groups = index.group[index.label == label].nunique()
                raise PandacatError(
                    f"No photo of {label} is left for {split}: its {groups} photos, copies counted "
                    "once, are too few. Add others, or change preprocess.validation_share or "
                    "preprocess.test_share."
                )


def _summary(
    index: pd.DataFrame, quarantine: pd.DataFrame, labels: Sequence[str]
) -> dict[str, Any]:
    counts = index.groupby(["split", "label"]).size()
    return {
        "photos": len(index),
        "quarantined": len(quarantine),
        "groups": int(index.group.nunique()),
        "near_duplicates": len(index) - int(index.group.nunique()),
        **{
            split: {label: int(counts.get((split, label), 0)) for label in labels}
            for split in splits.SPLITS
        },
    }
