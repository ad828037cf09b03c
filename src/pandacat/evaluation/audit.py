"""What is wrong with a data set before anything has been learned from it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from pandacat.core.files import atomic_write
from pandacat.core.parallel import ordered_map
from pandacat.data import store
from pandacat.data.images import decode_jpeg
from pandacat.data.provenance import Provenance
from pandacat.data.sources import archive as archives
from pandacat.data.sources import sample
from pandacat.evaluation import label_issues, shortcuts
from pandacat.evaluation.shortcuts import Finding
from pandacat.labels import LABELS
from pandacat.metrics.arrays import IntArray


@dataclass(frozen=True)
class Audit:
    """Shortcuts, label issues and duplicates of one data set."""

    original: list[Finding]
    """How well properties of the files tell the labels apart, best first."""
    preprocessed: list[Finding]
    """The same for the copies that the networks get to see."""
    label_issues: pd.DataFrame
    """`path`, `label`, `suggested`, `reason`, …: the photos most likely mislabeled, or none."""
    duplicates: pd.DataFrame
    """`group`, `path`, `label`, `split` of photos that share a group."""

    @property
    def warnings(self) -> list[str]:
        """A sentence for each property of the files that gives a label away."""
        return shortcuts.warnings(self.original)

    @property
    def conflicts(self) -> pd.DataFrame:
        """The duplicates whose group has more than one label."""
        label_count = self.duplicates.groupby("group").label.transform("nunique")
        return self.duplicates[label_count > 1]

    def metrics(self) -> dict[str, Any]:
        """Return what counts, as plain numbers; `write_tables` writes the rest."""
        return {
            "warnings": len(self.warnings),
            "strongest_shortcut": {
                name: asdict(findings[0].balanced_accuracy)
                for name, findings in (
                    ("original", self.original),
                    ("preprocessed", self.preprocessed),
                )
                if findings
            },
            "photos_in_duplicate_groups": len(self.duplicates),
            "duplicate_groups_with_several_labels": int(self.conflicts.group.nunique()),
        }

    def write_tables(self, folder: Path) -> None:
        """Write `shortcuts.csv`, `label_issues.csv` and `duplicates.csv`."""
        came, kept = (shortcuts.table_of(found) for found in (self.original, self.preprocessed))
        tables = {
            "shortcuts": came.merge(kept, on=shortcuts.NAMES, suffixes=("", "_preprocessed")),
            "label_issues": self.label_issues,
            "duplicates": self.duplicates,
        }
        for name, table in tables.items():
            with atomic_write(folder / f"{name}.csv") as aside:
                table.round(6).to_csv(aside, index=False, lineterminator="\n")


def audit(
    archive: Path,
    photo_folder: Path,
    origin: Provenance,
    features: np.ndarray,
    zero_shot: np.ndarray,
    *,
    shown: int,
    seed: int,
) -> Audit:
    """Return the audit of the photos in `photo_folder`, which came from `archive`.

    Near-duplicates, and drawings of one shot, are never on both sides of a fold.

    Args:
        archive: as it came.
        photo_folder: what `preprocess` made of it.
        origin: where the archive comes from.
        features: `(N, D)` of the untouched network, in the order of the index.
        zero_shot: `(N, 3)`, its probabilities.
        shown: how many label issues to list.
        seed: of the folds.
    """
    index = store.read_index(photo_folder)
    labels = index.label.map(LABELS.index).to_numpy()
    groups = _inseparable(index, origin)
    came, kept = _properties(archive, photo_folder, len(index))
    ranked = label_issues.rank_label_issues(features, labels, groups, zero_shot, seed).head(shown)
    shared = index[index.duplicated("group", keep=False)].sort_values(["group", "name"])
    return Audit(
        shortcuts.audit(came, labels, groups, seed),
        shortcuts.audit(kept, labels, groups, seed),
        ranked.assign(path=index.name.to_numpy()[ranked.photo]).drop(columns="photo"),
        shared[["group", "name", "label", "split"]].rename(columns={"name": "path"}),
    )


def _inseparable(index: pd.DataFrame, origin: Provenance) -> IntArray:
    """Return `(N,)` numbers of the sets of photos that belong on one side of a fold.

    Drawings come in threes, one of each label, alike in all but the animal. A property that has
    been learned from two of them would mislead about the third, and seem worse than chance.
    """
    groups = index.group.to_numpy()
    if origin.source != "sample":
        return groups
    shots = pd.factorize(index.name.map(sample.shot_of))[0] + groups.max() + 1
    size = shots.max() + 1
    links = coo_array((np.ones(len(index), bool), (groups, shots)), shape=(size, size))
    return connected_components(links, directed=False)[1][groups]


def _properties(archive: Path, photo_folder: Path, count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the properties of the files as they came, and of the kept copies."""

    def look(item: tuple[str, bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
        name, jpeg = item
        pixels = shortcuts.pixel_properties(np.asarray(decode_jpeg(jpeg)))
        came = shortcuts.header_properties(reader.read(name))
        return came | pixels, shortcuts.header_properties(jpeg) | pixels

    with archives.open_archive(archive) as reader:
        results = ordered_map(look, store.iter_jpegs(photo_folder))
        rows = list(tqdm(results, total=count, desc="audit", unit="photo", disable=None))
    came, kept = zip(*rows, strict=True)
    return pd.DataFrame(came), pd.DataFrame(kept)
