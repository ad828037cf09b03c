"""What is wrong with a data set before anything has been learned from it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from pandacat import photos, shards
from pandacat.labels import LABELS
from pandacat.measure import label_errors, shortcuts
from pandacat.measure.shortcuts import Finding
from pandacat.parallel import ordered_map
from pandacat.sources import archive as archives


@dataclass(frozen=True)
class Audit:
    """Shortcuts, suspects and duplicates of one data set."""

    as_it_came: list[Finding]
    """How well properties of the files tell the labels apart, best first."""
    as_kept: list[Finding]
    """The same for the copies that the networks get to see."""
    suspects: pd.DataFrame
    """`path`, `label`, `suggested`, `reason`, …: the photos most likely mislabelled, or none."""
    duplicates: pd.DataFrame
    """`group`, `path`, `label`, `split` of photos that share a group."""

    @property
    def warnings(self) -> list[str]:
        """A sentence for each property of the files that gives a label away."""
        return shortcuts.warnings(self.as_it_came)

    def metrics(self) -> dict[str, Any]:
        """Return the figures as plain numbers."""
        conflicts = self.duplicates.groupby("group").label.nunique() > 1
        return {
            "warnings": len(self.warnings),
            "as_it_came": _figures(self.as_it_came),
            "as_kept": _figures(self.as_kept),
            "photos_in_duplicate_groups": len(self.duplicates),
            "duplicate_groups_with_several_labels": int(conflicts.sum()),
        }


def _figures(findings: list[Finding]) -> dict[str, Any]:
    return {
        f"{finding.first}_or_{finding.second}.{finding.property}": asdict(finding.balanced_accuracy)
        for finding in findings
    }


def audit(
    archive: Path,
    photo_folder: Path,
    features: np.ndarray,
    zero_shot: np.ndarray,
    *,
    suspects: int,
    seed: int,
) -> Audit:
    """Return the audit of the photos in `photo_folder`, which came from `archive`.

    Args:
        archive: as it came.
        photo_folder: what `preprocess` made of it.
        features: `(N, D)` of the untouched network, in the order of the index.
        zero_shot: `(N, 3)`, its probabilities.
        suspects: how many to list.
        seed: of the folds.
    """
    index = shards.read_index(photo_folder)
    labels = index.label.map(LABELS.index).to_numpy()
    groups = index.group.to_numpy()
    came, kept = _properties(archive, photo_folder, len(index))
    ranked = label_errors.rank_suspects(features, labels, groups, zero_shot, seed).head(suspects)
    shared = index[index.duplicated("group", keep=False)].sort_values(["group", "name"])
    return Audit(
        shortcuts.audit(came, labels, groups, seed),
        shortcuts.audit(kept, labels, groups, seed),
        ranked.assign(path=index.name.to_numpy()[ranked.photo]).drop(columns="photo"),
        shared[["group", "name", "label", "split"]].rename(columns={"name": "path"}),
    )


def _properties(archive: Path, photo_folder: Path, count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the properties of the files as they came, and of the kept copies."""

    def look(item: tuple[str, bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
        name, jpeg = item
        pixels = shortcuts.pixel_properties(np.asarray(photos.decoded(jpeg)))
        came = shortcuts.header_properties(reader.read(name))
        return came | pixels, shortcuts.header_properties(jpeg) | pixels

    with archives.open_archive(archive) as reader:
        results = ordered_map(look, shards.iter_jpegs(photo_folder))
        rows = list(tqdm(results, total=count, desc="audit", unit="photo", disable=None))
    came, kept = zip(*rows, strict=True)
    return pd.DataFrame(came), pd.DataFrame(kept)


def page(found: Audit, title: str) -> str:
    """Return the audit as a page of Markdown, for someone who does not know DVC."""
    lines = [f"# Audit of the data: {title}", ""]
    lines += ["## What gives the label away besides the animal", ""]
    lines += [f"- **{warning}**" for warning in found.warnings] or [
        "Nothing that was measured surely tells two labels apart in more than "
        f"{shortcuts.NOTABLE:.0%} of photos."
    ]
    if any(finding.balanced_accuracy.high < shortcuts.CHANCE for finding in found.as_it_came):
        lines.append(
            "- Some properties do surely worse than chance. That happens where photos come in sets "
            "that share them, one photo of each label: such a property tells nothing of the label."
        )
    lines += ["", "The ten highest, on photos not learnt from (50 % is chance):", ""]
    lines += ["| property of the file | pair | told apart | 95 % interval |", "|---|---|---|---|"]
    for finding in found.as_it_came[:10]:
        share = finding.balanced_accuracy
        lines.append(
            f"| {finding.property} | {finding.first} or {finding.second} | {share.value:.1%} "
            f"| {share.low:.1%} to {share.high:.1%} |"
        )
    lines += ["", "## Copies", ""]
    conflicts = found.metrics()["duplicate_groups_with_several_labels"]
    lines.append(
        f"{len(found.duplicates)} photos have a near-duplicate; "
        f"{found.duplicates.group.nunique()} groups, {conflicts} of them with more than one label. "
        "A group is never divided between splits."
    )
    lines += ["", "## Photos to look at", ""]
    lines.append(
        "The most suspicious first. To leave one out, add its path and a reason to "
        "`data/exclusions.csv` and run `dvc repro`."
    )
    lines += ["", "| | path | label | network suggests | why |", "|---|---|---|---|---|"]
    for place, row in enumerate(found.suspects.itertuples(), start=1):
        lines.append(f"| {place} | {row.path} | {row.label} | {row.suggested} | {row.reason} |")
    return "\n".join(lines) + "\n"
