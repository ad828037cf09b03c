"""The networks under robustness: test photos made worse, or saved as files of another label are."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from pandacat.config.photos import ImageSpec
from pandacat.config.schema import RobustnessParams
from pandacat.core.parallel import ordered_map
from pandacat.data import store
from pandacat.data.images import decode_jpeg, decode_photo, encode_jpeg, load_image
from pandacat.data.sources import archive as archives
from pandacat.evaluation.compare import OURS, Classifiers
from pandacat.evaluation.corruptions import CORRUPTIONS, corrupt
from pandacat.evaluation.predictions import labels_and_probabilities, prediction_table
from pandacat.evaluation.shortcuts import header_properties
from pandacat.labels import LABELS
from pandacat.metrics.accuracy import CAT, PANDA
from pandacat.metrics.intervals import Interval, wilson
from pandacat.metrics.paired import paired_difference
from pandacat.models.classifier import predict_image

Item = TypeVar("Item")

MEASURES = ("two_class_accuracy", "accuracy")
UNKNOWN = Interval(np.nan, np.nan, np.nan)
QUALITIES = range(1, 101)
FULL_SIZE_PX = 1 << 20
"""A shorter side that no photo has: none is shrunk to it."""


def deal(labels: pd.Series, hands: int, size: int, seed: int) -> list[np.ndarray]:
    """Return the rows of the photos in each of so many hands of `size`.

    They are dealt like cards: none for the second time before each was dealt once. Wherever a hand
    begins, labels come in about the shares that they have in all. A hand holds at most all photos.
    """
    shuffled = labels.reset_index(drop=True).sample(frac=1, random_state=seed)
    same_label = shuffled.groupby(shuffled)
    place = (same_label.cumcount() + 0.5) / same_label.transform("size")
    deck = place.sort_values(kind="stable").index.to_numpy()
    cards = np.arange(min(size, len(deck)))
    return [np.take(deck, hand * len(cards) + cards, mode="wrap") for hand in range(hands)]


def predict_corrupted(
    classifiers: Classifiers, photo_folder: Path, params: RobustnessParams
) -> pd.DataFrame:
    """Return what each network says of corrupted test photos.

    Columns of `predictions`, and `network`, `corruption` and `severity`. What a photo looks like
    depends on its content, the corruption and the seed, not on the photos beside it.
    """
    index = _test_split(photo_folder)
    kinds = list(product(range(len(CORRUPTIONS)), params.severities))
    hands = deal(index.label, len(kinds), params.photos, params.seed)
    photo_seeds = [int(sha256[:16], 16) for sha256 in index.sha256]
    wanted = {
        name: [kind for kind, hand in zip(kinds, hands, strict=True) if row in hand]
        for row, name in enumerate(index.name)
    }

    def worse(item: tuple[int, tuple[str, bytes]]) -> Iterator[tuple[dict[str, Any], Image.Image]]:
        row, (name, jpeg) = item
        pixels = np.asarray(decode_jpeg(jpeg))
        for place, severity in wanted[name]:
            rng = np.random.default_rng((params.seed, photo_seeds[row], place, severity))
            made = corrupt(pixels, CORRUPTIONS[place], severity, rng)
            told = {"name": name, "corruption": CORRUPTIONS[place], "severity": severity}
            yield told, Image.fromarray(made)

    jpegs = enumerate(store.iter_jpegs(photo_folder, index.name))
    judged = _predict(classifiers, index, jpegs, worse, "corrupted")
    place_of = {"corruption": CORRUPTIONS.index, "network": list(classifiers).index}
    places = [judged[column].map(place) for column, place in place_of.items()]
    return judged.iloc[np.lexsort((judged.severity, *places))].reset_index(drop=True)


def predict_recompressed(
    classifiers: Classifiers,
    archive: Path,
    photo_folder: Path,
    spec: ImageSpec,
    params: RobustnessParams,
) -> pd.DataFrame:
    """Return what each network says of test photos saved at the JPEG quality of another label.

    Each file as it came is decoded, saved at its full size at the quality from
    `borrowed_qualities`, and then goes the way of all photos. That takes detail from good files;
    poor ones keep the traces of how they were saved first. Columns of `predictions`, and `network`
    and `quality`.
    """
    index = _test_split(photo_folder)
    (hand,) = deal(index.label, 1, params.recompressed_photos, params.seed)
    entries = list(index.iloc[np.sort(hand)][["name", "label"]].itertuples(index=False, name=None))

    def recompressed(item: tuple[str, str]) -> Iterator[tuple[dict[str, Any], Image.Image]]:
        name, label = item
        full_size = decode_photo(
            reader.read(name), image_px=FULL_SIZE_PX, max_megapixels=spec.max_megapixels
        )
        copy = load_image(encode_jpeg(full_size.image, qualities[label]), spec)
        yield {"name": name, "quality": qualities[label]}, copy

    with archives.open_archive(archive) as reader:
        qualities = borrowed_qualities(_typical_steps(reader, photo_folder))
        return _predict(classifiers, index, entries, recompressed, "saved again")


def _test_split(photo_folder: Path) -> pd.DataFrame:
    index = store.read_index(photo_folder)
    return index[index.split == "test"].reset_index(drop=True)


def _typical_steps(reader: archives.Reader, photo_folder: Path) -> dict[str, float]:
    """Return the median JPEG quantization of each label's training files, as they came."""
    index = store.read_index(photo_folder)
    training = index[index.split == "train"]

    def step(name: str) -> float:
        return float(header_properties(reader.read(name))["quantization"])

    steps = pd.Series(list(ordered_map(step, training.name)), training.label)
    return {str(label): float(median) for label, median in steps.groupby(level=0).median().items()}


def borrowed_qualities(typical_steps: dict[str, float]) -> dict[str, int]:
    """Return for each label the JPEG quality of the label that was saved least like it.

    Args:
        typical_steps: the mean luma quantization step that is typical of each label; 0 for files
            that are no JPEG.
    """
    blank = Image.new("RGB", (8, 8))
    step_of = {
        quality: float(header_properties(encode_jpeg(blank, quality))["quantization"])
        for quality in QUALITIES
    }
    farthest = {
        label: max(typical_steps.values(), key=lambda other: abs(other - own))
        for label, own in typical_steps.items()
    }
    return {
        label: min(QUALITIES, key=lambda quality: abs(step_of[quality] - step))
        for label, step in farthest.items()
    }


def _predict(
    classifiers: Classifiers,
    index: pd.DataFrame,
    items: Iterable[Item],
    versions: Callable[[Item], Iterator[tuple[dict[str, Any], Image.Image]]],
    title: str,
) -> pd.DataFrame:
    """Return what each network says of all versions of all items.

    `versions` yields what is to be told of a picture, its `name` in `index` among it, and the
    picture.
    """

    def look(item: Item) -> list[tuple[dict[str, Any], list[np.ndarray]]]:
        return [
            (told, predict_image(image, list(classifiers.values())))
            for told, image in versions(item)
        ]

    bar = tqdm(ordered_map(look, items), desc=title, unit="photo", disable=None)
    told, answers = zip(*(pair for pairs in bar for pair in pairs), strict=True)
    columns = pd.DataFrame(list(told))
    rows = index.set_index("name", drop=False).loc[columns.pop("name")]
    return pd.concat(
        [
            prediction_table(
                rows, np.stack([answer[place] for answer in answers]), classifiers[name].labels
            )
            .join(columns)
            .assign(network=name)
            for place, name in enumerate(classifiers)
        ],
        ignore_index=True,
    )


def accuracies(judged: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the accuracies of each network in each group of photos.

    Several versions of a photo count as one photo in the intervals.

    Args:
        judged: what `judge_corrupted` gives.
        by: columns that make a group.

    Returns:
        `network`, the columns `by`, `photos`, and for each of `MEASURES` its value and its bounds
        `…_low` and `…_high`; NaN where there is no photo to tell it from.
    """
    judged = pd.concat([judged, _right(judged)], axis=1)
    rows = []
    for key, group in judged.groupby(["network", *by], sort=False):
        row = dict(zip(["network", *by], key, strict=True)) | {"photos": group.path.nunique()}
        for measure in MEASURES:
            told = group.dropna(subset=measure)
            found = (
                wilson(float(told[measure].mean()), told.path.nunique()) if len(told) else UNKNOWN
            )
            row |= {measure: found.value}
            row |= {f"{measure}_low": found.low, f"{measure}_high": found.high}
        rows.append(row)
    return pd.DataFrame(rows)


def curves(before: pd.DataFrame, corrupted: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracies over all corruptions by `severity`; 0 is the test split as it is."""
    return accuracies(
        pd.concat([before.assign(severity=0), corrupted], ignore_index=True), ["severity"]
    )


def _right(judged: pd.DataFrame) -> pd.DataFrame:
    """Return 1 where the network is right, else 0, by measure; NaN where it is not asked."""
    labels, probabilities = labels_and_probabilities(judged)
    rival = np.where(labels == PANDA, CAT, PANDA)
    rows = np.arange(len(labels))
    between_two = probabilities[rows, labels] > probabilities[rows, rival]
    known = labels != LABELS.index("other")
    right = np.where(known, between_two, np.nan), probabilities.argmax(axis=1) == labels
    return pd.DataFrame(dict(zip(MEASURES, right, strict=True)), index=judged.index, dtype=float)


def changed_predictions(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return how many verdicts change when photos are saved again.

    Args:
        before: the predictions on the test split.
        after: what `judge_recompressed` gives.

    Returns:
        A row for each network and label, and for `all` of them: `photos`, the share `changed` with
        the bounds `low` and `high`; the share `swapped`, with panda likelier than cat before and
        not after, or the other way round; the share that was `right_before` and is `right_after`.
    """
    both = after.merge(before, on=["network", "path"], suffixes=("", "_before"))
    now, then = (
        both[[f"p_{label}{when}" for label in LABELS]].to_numpy() for when in ("", "_before")
    )
    labels = both.label.map(LABELS.index)
    both = both.assign(
        changed=now.argmax(axis=1) != then.argmax(axis=1),
        swapped=(now[:, PANDA] > now[:, CAT]) != (then[:, PANDA] > then[:, CAT]),
        right_before=then.argmax(axis=1) == labels,
        right_after=now.argmax(axis=1) == labels,
    )
    rows = []
    for network, of_network in both.groupby("network", sort=False):
        for label in (*LABELS, "all"):
            group = of_network if label == "all" else of_network[of_network.label == label]
            if len(group):
                found = wilson(float(group.changed.mean()), len(group))
                shares = group[["swapped", "right_before", "right_after"]].mean()
                rows.append(
                    {
                        "network": network,
                        "label": label,
                        "photos": len(group),
                        "changed": found.value,
                        "low": found.low,
                        "high": found.high,
                        **shares,
                    }
                )
    return pd.DataFrame(rows)


def paired_differences(
    corrupted: pd.DataFrame, seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Return how far our network is ahead of each other one on the same corrupted photos.

    By network and measure the difference of accuracies, with its bounds by the bootstrap over
    photos; above 0 where ours is better.
    """
    photo_means = pd.concat([corrupted, _right(corrupted)], axis=1).groupby(
        ["network", "path"], sort=False
    )
    means = photo_means.agg({"label": "first", **dict.fromkeys(MEASURES, "mean")})
    ours = means.loc[OURS]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for rival in means.index.unique("network").drop(OURS):
        theirs = means.loc[rival].loc[ours.index]
        for measure in MEASURES:
            asked = ours[measure].notna().to_numpy()
            if asked.any():
                difference = paired_difference(
                    ours[measure].to_numpy()[asked],
                    theirs[measure].to_numpy()[asked],
                    ours.label.map(LABELS.index).to_numpy()[asked],
                    seed,
                )
                found.setdefault(rival, {})[measure] = asdict(difference)
    return found


def robustness_metrics(
    before: pd.DataFrame, corrupted: pd.DataFrame, recompressed: pd.DataFrame, *, seed: int
) -> dict[str, Any]:
    """Return what the metrics say: means over all corruptions, flips, and how far ours is ahead.

    Args:
        before: the predictions on the test split as it is.
        corrupted: what `judge_corrupted` gives.
        recompressed: what `judge_recompressed` gives.
        seed: of the bootstrap.
    """
    found: dict[str, Any] = {}
    for row in accuracies(corrupted, []).to_dict("records"):
        found[row["network"]] = {
            "corrupted": {
                measure: {
                    "value": row[measure],
                    "low": row[f"{measure}_low"],
                    "high": row[f"{measure}_high"],
                }
                for measure in MEASURES
                if row[measure] >= 0
            }
        }
    changed = changed_predictions(before, recompressed)
    for row in changed[changed.label == "all"].to_dict("records"):
        shares = {"value": row["changed"], "low": row["low"], "high": row["high"]}
        found[row["network"]]["changed_when_recompressed"] = shares
        found[row["network"]]["swapped_when_recompressed"] = row["swapped"]
    for rival, differences in paired_differences(corrupted, seed).items():
        found[rival][f"{OURS}_difference"] = differences
    qualities = recompressed.groupby("label").quality.first()
    return {
        "test": found,
        "recompressed_at_quality": {
            str(label): int(quality) for label, quality in qualities.items()
        },
    }
