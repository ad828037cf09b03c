"""Shortcuts: properties of the files, not of the animal, that predict the label.

A network learns whatever predicts the label. Where the JPEG quality does, its accuracy on photos of
the same data set proves little.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.tree import DecisionTreeClassifier

from pandacat.labels import listed
from pandacat.metrics.intervals import LEVEL, Interval, wilson

FOLDS = 5
CHANCE = 0.5
NOTABLE = 0.6
"""A warning is given where the interval of the balanced accuracy lies above this."""

TOGETHER = "together"

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
KEYS = ["property", "first", "second"]
"""Columns that identify a row of a table of findings."""

OF_THE_PICTURE = ("red", "green", "blue", "blur")
"""Properties that the animal itself contributes to: a panda is black and white."""


@dataclass(frozen=True)
class Finding:
    """How well one property, or all together, separates two labels in cross-validation."""

    property: str
    """A column of the table, or `together`."""
    first: str
    second: str
    balanced_accuracy: Interval
    """0.5 is chance. All findings of an audit hold jointly with 95 % confidence."""


def header_properties(data: bytes) -> dict[str, float | str]:
    """Return the properties of an image file that are known without decoding it.

    `quantization` is the mean step of the luma table, higher for lower JPEG quality; 0 for files
    that are not JPEG.

    Raises:
        OSError: Pillow knows no such image format.
    """
    with Image.open(io.BytesIO(data)) as image:
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
) -> list[Finding]:
    """Return how well each property, and all together, separate each two labels; best first.

    Each property (column of the table, a row a photo) is given to a small decision tree, all
    together to a random forest, and predicted in five folds that share no group, `(N,)`, such as
    near-duplicates. Labels, `(N,)`, with fewer than five groups are left out.

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
    findings = []
    for first, second in pairs:
        chosen = np.isin(labels, (first, second))
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        splits = list(folds.split(labels[chosen], labels[chosen], groups[chosen]))
        for name, values in columns.items():
            predicted = _out_of_fold(values[chosen], labels[chosen], splits, seed)
            accuracy = _balanced_accuracy(labels[chosen], predicted, groups[chosen], level)
            findings.append(Finding(name, names[first], names[second], accuracy))
    return sorted(findings, key=lambda finding: -finding.balanced_accuracy.value)


def table_of(findings: list[Finding]) -> pd.DataFrame:
    """Return a row a finding: `property`, `first`, `second`, `value`, `low`, `high`."""
    rows = [(*astuple(finding)[:3], *astuple(finding.balanced_accuracy)) for finding in findings]
    return pd.DataFrame(rows, columns=[*KEYS, "value", "low", "high"])


def findings_in(table: pd.DataFrame) -> list[Finding]:
    """Return the findings in a table of `table_of`."""
    return [
        Finding(
            row["property"], row["first"], row["second"], Interval(*row[["value", "low", "high"]])
        )
        for _, row in table.iterrows()
    ]


def in_words(name: str) -> str:
    """Return what a property is called on pages and in figures."""
    return "all together" if name == TOGETHER else IN_WORDS.get(name, name).removeprefix("its ")


def warnings(findings: list[Finding]) -> list[str]:
    """Return a sentence for each property that is a shortcut with confidence, the strongest first.

    A property that separates several pairs is in one sentence, with the pair it separates best.
    """
    strongest: dict[str, Finding] = {}
    for finding in findings:
        if finding.balanced_accuracy.low > NOTABLE:
            strongest.setdefault(finding.property, finding)
    return [_sentence(finding) for finding in strongest.values()]


def _sentence(finding: Finding) -> str:
    of_picture = finding.property in OF_THE_PICTURE
    subject = f"One number about the {'picture' if of_picture else 'file'}"
    subject += f", {IN_WORDS.get(finding.property, finding.property)}, distinguishes"
    if finding.property == TOGETHER:
        subject = "All measured properties of the file together distinguish"
    advice = "A network can learn this instead of the animal."
    if of_picture:
        advice = "The animal's own appearance contributes to it."
    accuracy = finding.balanced_accuracy
    return (
        f"{subject} {listed([finding.first])} from {listed([finding.second])} in "
        f"{100 * accuracy.value:.1f} % of held-out photos (at least {100 * accuracy.low:.1f} %; "
        f"chance is 50 %). {advice}"
    )


def _numbers(column: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(float)
    return np.asarray(pd.factorize(column, sort=True)[0], float)


def _out_of_fold(
    values: np.ndarray, labels: np.ndarray, splits: list[tuple[np.ndarray, np.ndarray]], seed: int
) -> np.ndarray:
    """Return `(N,)`: for each photo the label that a learner trained on other folds predicts."""
    predicted = np.empty_like(labels)
    for train, test in splits:
        learner = _learner(values.shape[1], seed).fit(values[train], labels[train])
        predicted[test] = learner.predict(values[test])
    return predicted


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
