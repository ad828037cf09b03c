"""Shortcuts: properties of the files, not of the animal, that predict the label.

A network learns whatever predicts the label. Where the JPEG quality does, its accuracy on photos of
the same data set proves little.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import astuple
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from pandacat.data.images import open_photo
from pandacat.labels import listed
from pandacat.metrics.intervals import LEVEL, Interval, wilson

FOLDS = 5
CHANCE = 0.5
NOTABLE = 0.6
"""A warning is given where the interval of the balanced accuracy lies above this."""

TOGETHER = "together"
KEYS = ["property", "first", "second"]
"""Columns that identify a finding."""

IN_WORDS = {
    "file_bytes": "its size in bytes",
    "width_px": "its width",
    "height_px": "its height",
    "aspect": "its ratio of width to height",
    "mode": "its color mode",
    "quantization": "its JPEG quantization",
    "red": "its mean red",
    "green": "its mean green",
    "blue": "its mean blue",
    "blur": "its sharpness",
}
OF_THE_PICTURE = ("red", "green", "blue", "blur")
"""Properties that the animal itself contributes to: a panda is black and white."""


def header_properties(data: bytes) -> dict[str, float | str]:
    """Return the properties of an image file that are known without decoding it.

    `quantization` is the mean step of the luma table, higher for lower JPEG quality; 0 for files
    that are not JPEG.

    Raises:
        UnreadablePhotoError: it is not an image of the formats that are read.
    """
    with open_photo(data) as image:
        luma_steps = image.quantization.get(0, [0]) if isinstance(image, JpegImageFile) else [0]
        return {
            "file_bytes": len(data),
            "width_px": image.width,
            "height_px": image.height,
            "aspect": image.width / image.height,
            "mode": image.mode,
            "quantization": float(np.mean(luma_steps)),
        }


def pixel_properties(decoded: np.ndarray) -> dict[str, float]:
    """Return the means `red`, `green`, `blue` (0 to 255) and `blur`, the variance of the Laplacian.

    The last is low for blurred photos. Source: Pech-Pacheco et al., Diatom autofocusing in
    brightfield microscopy, ICPR 2000.
    """
    red, green, blue = decoded.mean(axis=(0, 1)).tolist()
    luma = np.asarray(Image.fromarray(decoded).convert("L"), np.float32)
    laplacian = (
        luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    )
    blur = float(laplacian.var()) if laplacian.size else 0.0
    return {"red": red, "green": green, "blue": blue, "blur": blur}


def find_shortcuts(
    table: pd.DataFrame, labels: np.ndarray, groups: np.ndarray, names: Sequence[str], seed: int
) -> pd.DataFrame:
    """Return how well each property, and all together, separate each two labels; best first.

    A row has the `property` (a column of the table, or `together`), the labels `first` and `second`
    and, as `value`, `low` and `high`, the balanced accuracy, of which 0.5 is chance.

    Each property of the table, a row a photo, is given to a small decision tree, all together to a
    random forest, and predicted in five folds that share no group, `(N,)`, such as near-duplicates.
    Labels, `(N,)`, with fewer than five groups are left out.

    In the intervals the photos of one group count as one, four fifths of the groups count, since
    the folds are trained on each other's photos and so err together, and the number of findings is
    allowed for (Bonferroni): among uninformative properties, one audit in forty finds something.

    Source of the interval of a mean of two proportions: Zou and Donner, Construction of confidence
    limits about effect measures: a general approach, Statistics in Medicine 27 (2008), 1693-1702.
    """
    group_count = {label: len(np.unique(groups[labels == label])) for label in np.unique(labels)}
    frequent = [label for label, count in group_count.items() if count >= FOLDS]
    pairs = list(combinations(frequent, 2))
    columns = {name: _numbers(table[name])[:, None] for name in table.columns}
    columns[TOGETHER] = np.hstack(list(columns.values()))
    level = 1 - (1 - LEVEL) / max(1, len(pairs) * len(columns))
    rows = []
    for first, second in pairs:
        chosen = np.isin(labels, (first, second))
        truth, sets = labels[chosen], groups[chosen]
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        splits = list(folds.split(truth, truth, sets))
        for name, values in columns.items():
            learner = _learner(values.shape[1], seed)
            predicted = cross_val_predict(learner, values[chosen], truth, cv=splits)
            accuracy = _balanced_accuracy(truth, predicted, sets, level)
            rows.append((name, names[first], names[second], *astuple(accuracy)))
    findings = pd.DataFrame(rows, columns=[*KEYS, "value", "low", "high"])
    return findings.sort_values("value", ascending=False, kind="stable", ignore_index=True)


def in_words(name: str) -> str:
    """Return what a property is called on pages and in figures."""
    return "all together" if name == TOGETHER else IN_WORDS.get(name, name).removeprefix("its ")


def warnings(findings: pd.DataFrame) -> list[str]:
    """Return a sentence for each property that is a shortcut with confidence, the strongest first.

    A property that separates several pairs is in one sentence, with the pair it separates best.
    """
    strongest = findings[findings.low > NOTABLE].drop_duplicates("property")
    return [_sentence(finding) for finding in strongest.to_dict("records")]


def _sentence(finding: Mapping[Hashable, Any]) -> str:
    name, labels = finding["property"], listed([finding["first"], finding["second"]], "from")
    of_picture = name in OF_THE_PICTURE
    subject = f"One number about the {'picture' if of_picture else 'file'}"
    subject += f", {IN_WORDS.get(name, name)}, distinguishes"
    if name == TOGETHER:
        subject = "All measured properties of the file together distinguish"
    advice = "A network can learn this instead of the animal."
    if of_picture:
        advice = "The animal's own appearance contributes to it."
    return (
        f"{subject} {labels} in {100 * finding['value']:.1f} % of held-out photos (at least "
        f"{100 * finding['low']:.1f} %; chance is 50 %). {advice}"
    )


def _numbers(column: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(float)
    return np.asarray(pd.factorize(column, sort=True)[0], float)


def _balanced_accuracy(
    labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray, level: float
) -> Interval:
    recalls = []
    for label in np.unique(labels):
        own = labels == label
        share = float(np.mean(predicted[own] == label))
        recalls.append(wilson(share, (1 - 1 / FOLDS) * len(np.unique(groups[own])), level))
    value = sum(recall.value for recall in recalls) / 2
    below = math.hypot(*(recall.value - recall.low for recall in recalls)) / 2
    above = math.hypot(*(recall.high - recall.value for recall in recalls)) / 2
    return Interval(value, max(0.0, value - below), min(1.0, value + above))


def _learner(columns: int, seed: int) -> ClassifierMixin:
    common = {"class_weight": "balanced", "random_state": seed}
    if columns == 1:
        return DecisionTreeClassifier(max_leaf_nodes=8, min_samples_leaf=5, **common)
    return RandomForestClassifier(
        n_estimators=100, max_leaf_nodes=64, min_samples_leaf=3, max_features=0.5, **common
    )
