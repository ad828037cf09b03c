"""Audit of a data set: shortcuts, label issues and near-duplicates."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from pandacat.config.schema import AuditParams
from pandacat.core.parallel import ordered_map
from pandacat.core.tables import write_table
from pandacat.data import store
from pandacat.data.images import decode_jpeg
from pandacat.data.provenance import Provenance
from pandacat.data.sources import sample
from pandacat.data.sources.archive import open_archive
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
        """The original files' findings, and beside them the copies' as `value_preprocessed`, …."""
        return self.original.merge(
            self.preprocessed, on=shortcuts.KEYS, suffixes=("", "_preprocessed")
        )

    def metrics(self) -> dict[str, Any]:
        """Return counts and the strongest shortcuts, for JSON; `write_tables` writes the rest."""
        findings = {"original": self.original, "preprocessed": self.preprocessed}
        return {
            "warnings": len(self.warnings),
            "strongest_shortcut": {
                name: some.drop(columns=shortcuts.KEYS).iloc[0].to_dict()
                for name, some in findings.items()
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
) -> Audit:
    """Return the audit of the photos that `preprocess` made of an archive.

    `features` are `(N, D)` of the pretrained network, in the order of the index. Near-duplicates,
    and drawings of one shot, are never on both sides of a fold.
    """
    index = store.read_index(photo_folder)
    names = store.read_labels(photo_folder)
    labels = index.label.map(names.index).to_numpy(np.int64)
    groups = _fold_groups(index, origin)
    ranked = rank_label_issues(features, labels, groups, names, params.seed)
    issues = ranked.head(params.label_issues_shown)
    shared = index[index.duplicated("group", keep=False)].sort_values(["group", "name"])
    original, preprocessed = (
        find_shortcuts(table, labels, groups, names, params.seed)
        for table in _properties(archive, origin.encoding, photo_folder, len(index))
    )
    return Audit(
        original,
        preprocessed,
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
    archive: Path, encoding: str, photo_folder: Path, count: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the properties of the original files, and of the preprocessed copies."""

    def properties(item: tuple[str, bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
        name, jpeg = item
        pixels = shortcuts.pixel_properties(np.asarray(decode_jpeg(jpeg)))
        original = shortcuts.header_properties(reader.read(name))
        return original | pixels, shortcuts.header_properties(jpeg) | pixels

    with open_archive(archive, encoding) as reader:
        results = ordered_map(properties, store.iter_jpegs(photo_folder))
        rows = list(tqdm(results, total=count, desc="audit", unit="photo", disable=None))
    original, copies = zip(*rows, strict=True)
    return pd.DataFrame(original), pd.DataFrame(copies)
