"""All networks on the same photos that none of them has seen."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from pandacat import features, photos, predictions, shards
from pandacat.features import Features
from pandacat.measure.paired import mcnemar
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
    """Return the headline figures of each network."""
    return {
        str(name): predictions.figures(table, seed=seed)
        for name, table in judged.groupby("network", sort=False)
    }


def compared(judged: pd.DataFrame, first: str, second: str) -> dict[str, Any]:
    """Return on how many photos only one of two networks is right, and how likely by chance.

    Source: McNemar's exact test, as in `measure.paired`.
    """
    right = {}
    for name in (first, second):
        labels, probabilities = predictions.arrays(judged[judged.network == name])
        right[name] = probabilities.argmax(axis=1) == labels
    test = mcnemar(right[first], right[second])
    return {
        f"only_{first}_right": test.only_first,
        f"only_{second}_right": test.only_second,
        "p_value": test.p_value,
    }
