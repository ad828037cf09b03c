"""All networks on the same photos that none of them has seen."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from pandacat import features, photos, predictions, shards
from pandacat.features import Features
from pandacat.labels import LABELS
from pandacat.measure.calibration import expected_calibration_error
from pandacat.measure.open_set import open_set_figures
from pandacat.parallel import ordered_map
from pandacat.params import FolderParams
from pandacat.recogniser import MAX_MEGAPIXELS, Recogniser, judge
from pandacat.sources import archive as archives

Recognisers = Mapping[str, Recogniser]
"""By the name under which their figures appear."""


def judge_split(
    recognisers: Recognisers, split: str, *, photo_folder: Path, kept: Features
) -> pd.DataFrame:
    """Return what each network says of the photos of a split, in the columns of `predictions`.

    A column `network` names the network.
    """
    index = shards.read_index(photo_folder)
    chosen = index[index.split == split]
    tables = {}
    for name, recogniser in recognisers.items():
        seen = features.of_split(split, recogniser, photo_folder=photo_folder, kept=kept)
        tables[name] = predictions.table(chosen, recogniser.probabilities(seen))
    return _stacked(tables)


def judge_archive(
    recognisers: Recognisers, archive: Path, folders: FolderParams, *, side_px: int
) -> pd.DataFrame:
    """Return what each network says of the labelled photos of a zip or folder from elsewhere.

    Columns as those of `judge_split`. What can't be read is left out.
    """
    with TemporaryDirectory() as folder:
        taken = Path(folder) / "photos.zip"
        archives.take_in(archive, taken)
        return _judge_zip(recognisers, taken, folders, side_px)


def _judge_zip(
    recognisers: Recognisers, archive: Path, folders: FolderParams, side_px: int
) -> pd.DataFrame:
    entries = archives.list_photos(archive, folders)

    def look(entry: archives.Entry) -> list[np.ndarray] | None:
        try:
            data = reader.read(entry.name)
            image = photos.read(data, side_px=side_px, max_megapixels=MAX_MEGAPIXELS).image
        except (archives.EntryError, photos.UnreadablePhotoError):
            return None
        return judge(image, list(recognisers.values()))

    with archives.open_archive(archive) as reader:
        results = ordered_map(look, entries)
        bar = tqdm(results, total=len(entries), desc="field test", unit="photo", disable=None)
        read = [
            (entry, answers)
            for entry, answers in zip(entries, bar, strict=True)
            if answers is not None
        ]
    index = pd.DataFrame(
        [{"name": entry.name, "label": entry.label, "split": "field_test"} for entry, _ in read]
    )
    return _stacked(
        {
            name: predictions.table(index, np.stack([answers[place] for _, answers in read]))
            for place, name in enumerate(recognisers)
        }
    )


def _stacked(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(
        [table.assign(network=name) for name, table in tables.items()], ignore_index=True
    )


def figures_of(judged: pd.DataFrame, *, seed: int) -> dict[str, Any]:
    """Return, for each network, how often it is right and how far its probabilities can be trusted.

    Besides the headline figures, `calibration_error` is the expected calibration error of the
    verdicts, in 0…1, and `open_set` says how well the probability of panda or cat tells these from
    all others: `auroc`, and `false_positive_rate` at 95 % recall.
    """
    return {
        str(name): predictions.figures(table, seed=seed) | _trust(table)
        for name, table in judged.groupby("network", sort=False)
    }


def _trust(judged: pd.DataFrame) -> dict[str, Any]:
    labels, probabilities = predictions.arrays(judged)
    right = probabilities.argmax(axis=1) == labels
    figures: dict[str, Any] = {
        "calibration_error": expected_calibration_error(probabilities.max(axis=1), right)
    }
    other = LABELS.index("other")
    known = labels != other
    if 0 < known.sum() < len(known):
        found = open_set_figures(1 - probabilities[:, other], known)
        figures["open_set"] = {name: asdict(interval) for name, interval in found.items()}
    return figures
