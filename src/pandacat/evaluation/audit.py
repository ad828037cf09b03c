"""Audit of a data set: shortcuts, label issues and near-duplicates."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from pandacat.config.schema import AuditParams
from pandacat.core.parallel import ordered_map
from pandacat.core.tables import write_table
from pandacat.data import store
from pandacat.data.crops import crop_boxes, cut_crops
from pandacat.data.images import decode_jpeg
from pandacat.data.provenance import Provenance
from pandacat.data.sources import sample
from pandacat.data.sources.zip_files import open_archive
from pandacat.evaluation import shortcuts
from pandacat.evaluation.label_issues import rank_label_issues
from pandacat.evaluation.shortcut_search import find_shortcuts


@dataclass(frozen=True)
class Audit:
    """Shortcuts, label issues and near-duplicates of one data set."""

    original: pd.DataFrame
    """How well properties of the original files separate the labels; see `find_shortcuts`."""
    preprocessed: pd.DataFrame
    """The same for the preprocessed copies."""
    network_input: pd.DataFrame
    """The same for the pixels of the copies' center crops, as networks take them."""
    label_issues: pd.DataFrame
    """`path`, `label`, `suggested`, `reason`, …: photos probably mislabeled, or of no animal."""
    duplicates: pd.DataFrame
    """`group`, `path`, `label`, `split` of photos that share a group."""

    @property
    def warnings(self) -> list[str]:
        """A sentence for each property of the original files that is a shortcut."""
        return shortcuts.warnings(self.original)

    @property
    def conflicts(self) -> pd.DataFrame:
        """The duplicates whose group has more than one label."""
        label_count = self.duplicates.groupby("group").label.transform("nunique")
        return self.duplicates[label_count > 1]

    @property
    def shortcuts(self) -> pd.DataFrame:
        """All findings: the original files' `value`, `low` and `high`, then those of the others.

        The copies' are `value_preprocessed`, …, the network input's `value_network_input`, …; all
        are NaN of properties that are not measured there.
        """
        keys = [findings[shortcuts.KEYS] for findings in self._findings.values()]
        table = pd.concat(keys).drop_duplicates(ignore_index=True).merge(self.original, "left")
        for name in ("preprocessed", "network_input"):
            table = table.merge(
                self._findings[name], "left", on=shortcuts.KEYS, suffixes=("", f"_{name}")
            )
        return table

    @property
    def strongest_shortcuts(self) -> pd.DataFrame:
        """The ten rows of `shortcuts` whose highest balanced accuracies are the highest."""
        table = self.shortcuts
        highest = table.filter(like="value").max(axis=1)
        return table.loc[highest.sort_values(ascending=False, kind="stable").index[:10]]

    @property
    def _findings(self) -> dict[str, pd.DataFrame]:
        return {
            "original": self.original,
            "preprocessed": self.preprocessed,
            "network_input": self.network_input,
        }

    def metrics(self) -> dict[str, Any]:
        """Return counts and the strongest shortcuts, for JSON; `write_tables` writes the rest."""
        return {
            "warnings": len(self.warnings),
            "strongest_shortcut": {
                name: some.drop(columns=shortcuts.KEYS).iloc[0].to_dict()
                for name, some in self._findings.items()
                if len(some)
            },
            "photos_in_duplicate_groups": len(self.duplicates),
            "duplicate_groups_with_several_labels": int(self.conflicts.group.nunique()),
        }

    def write_tables(self, folder: Path) -> None:
        """Write `shortcuts.csv`, `label_issues.csv` and `duplicates.csv`."""
        write_table(folder / "shortcuts.csv", self.shortcuts)
        write_table(folder / "label_issues.csv", self.label_issues)
        write_table(folder / "duplicates.csv", self.duplicates)


def audit(
    archive: Path,
    photo_folder: Path,
    origin: Provenance,
    features: np.ndarray,
    params: AuditParams,
    *,
    input_px: int,
) -> Audit:
    """Return the audit of the photos that `preprocess` made of an archive.

    `features` are `(N, D)` of the pretrained network, in the order of the index, and `input_px` is
    the side of the images that it takes. Near-duplicates, and drawings of one shot, are never on
    both sides of a fold.
    """
    index = store.read_index(photo_folder)
    names = store.read_labels(photo_folder)
    labels = index.label.map(names.index).to_numpy(np.int64)
    groups = _fold_groups(index, origin)
    ranked = rank_label_issues(features, labels, groups, names, params.seed)
    issues = ranked.head(params.label_issues_shown)
    shared = index[index.duplicated("group", keep=False)].sort_values(["group", "name"])
    tables = _properties(archive, origin.encoding, photo_folder, len(index), input_px)
    original, preprocessed, network_input = ordered_map(
        lambda table: find_shortcuts(table, labels, groups, names, params.seed), tables
    )
    return Audit(
        original,
        preprocessed,
        network_input,
        issues.assign(path=index.name.to_numpy()[issues.photo]).drop(columns="photo"),
        shared[["group", "name", "label", "split"]].rename(columns={"name": "path"}),
    )


def _fold_groups(index: pd.DataFrame, origin: Provenance) -> np.ndarray:
    """Return `(N,)` numbers of the sets of photos that belong on one side of a fold.

    Drawings come in shots, one of each label, alike in all but the animal. A property learned from
    the others of a shot would mislead about the last, and seem worse than chance.
    """
    groups = index.group.to_numpy()
    if origin.source != "sample":
        return groups
    shots = pd.factorize(index.name.map(sample.shot_of))[0] + groups.max() + 1
    size = shots.max() + 1
    links = coo_array((np.ones(len(index), bool), (groups, shots)), shape=(size, size))
    return connected_components(links, directed=False)[1][groups]


def _properties(
    archive: Path, encoding: str, photo_folder: Path, count: int, input_px: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the properties of the original files, of their copies, and of the network's input."""

    def properties(item: tuple[str, bytes]) -> tuple[dict[str, Any], ...]:
        name, jpeg = item
        copy = decode_jpeg(jpeg)
        pixels = shortcuts.pixel_properties(np.asarray(copy))
        original = shortcuts.header_properties(reader.read(name)) | pixels
        blocks = {"blockiness": shortcuts.blockiness(np.asarray(copy))}
        return (
            original,
            shortcuts.header_properties(jpeg) | pixels | blocks,
            _input_properties(copy, input_px),
        )

    with open_archive(archive, encoding) as reader:
        results = ordered_map(properties, store.iter_jpegs(photo_folder))
        rows = list(tqdm(results, total=count, desc="audit", unit="photo", disable=None))
    original, copies, inputs = map(list, zip(*rows, strict=True))
    return pd.DataFrame(original), pd.DataFrame(copies), pd.DataFrame(inputs)


def _input_properties(copy: Image.Image, input_px: int) -> dict[str, float]:
    """Return the properties of a copy's center crop, in which its JPEG blocks are scaled."""
    (pixels,) = cut_crops(copy, input_px, "center")
    ((left, top, right, _),) = crop_boxes(*copy.size, "center")
    scale = input_px / (right - left)
    blocks = shortcuts.blockiness(
        pixels, period=scale * shortcuts.JPEG_BLOCK_PX, start=(-scale * left, -scale * top)
    )
    return shortcuts.pixel_properties(pixels) | {"blockiness": blocks}
