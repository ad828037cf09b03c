"""Whether things that are not the animal give the label away.

A network learns whatever tells the classes apart. Where the JPEG quality does, an accuracy inside
the data set proves little.
"""

import io
import math
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.tree import DecisionTreeClassifier

from pandacat.labels import LABELS, Label
from pandacat.metrics.arrays import FloatArray, IntArray, PixelArray
from pandacat.metrics.intervals import LEVEL, Interval, wilson

FOLDS = 5
CHANCE = 0.5
NOTABLE = 0.6
"""A shortcut is warned of when it surely tells two classes apart more often than this."""

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
NAMES = ["property", "first", "second"]
"""Columns of a table of findings that tell its rows apart."""

OF_THE_PICTURE = ("red", "green", "blue", "blur")
"""Properties that the animal itself has a part in: a panda is black and white."""


@dataclass(frozen=True)
class Finding:
    """How well one property, or all together, tells two labels apart on photos not learned from."""

    property: str
    """A column of the table, or `together`."""
    first: Label
    second: Label
    balanced_accuracy: Interval
    """0.5 is chance. All findings of an audit hold jointly with 95 % confidence."""


def header_properties(data: bytes) -> dict[str, float | str]:
    """Return what an image file says of itself without being decoded.

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


def pixel_properties(decoded: PixelArray) -> dict[str, float]:
    """Return the means `red`, `green`, `blue` (0 to 255) and `blur`, the variance of the Laplacian.

    The last is low for blurred photos. Source: Pech-Pacheco et al., Diatom autofocusing in
    brightfield microscopy, ICPR 2000.
    """
    red, green, blue = decoded.mean(axis=(0, 1))
    luma = np.asarray(Image.fromarray(decoded).convert("L"), np.float32)
    laplacian = (
        luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    )
    return {
        "red": float(red),
        "green": float(green),
        "blue": float(blue),
        "blur": float(laplacian.var()) if laplacian.size else 0.0,
    }


def audit(table: pd.DataFrame, labels: IntArray, groups: IntArray, seed: int) -> list[Finding]:
    """Return how well each property, and all together, tell each two labels apart; best first.

    Each property is given to a small decision tree, all together to a random forest, and tested on
    folds that share no group with those learned from. In the intervals the photos of one group
    count as one, four fifths of the groups count, since the folds learn from each other's photos
    and so err together, and the number of findings is allowed for (Bonferroni): among properties
    that tell nothing, one audit in forty finds something.

    Source of the interval of a mean of two proportions: Zou and Donner, Construction of confidence
    limits about effect measures: a general approach, Statistics in Medicine 27 (2008), 1693-1702.

    Args:
        table: one row a photo, one column a property; text columns are categories.
        labels: `(N,)`; labels with fewer than five groups are left out.
        groups: `(N,)` of near-duplicates.
        seed: of the folds.
    """
    present = [
        label for label in np.unique(labels) if len(np.unique(groups[labels == label])) >= FOLDS
    ]
    pairs = list(combinations(present, 2))
    columns = {name: _numbers(table[name])[:, None] for name in table.columns}
    columns[TOGETHER] = np.hstack(list(columns.values()))
    level = 1 - (1 - LEVEL) / max(1, len(pairs) * len(columns))
    findings = []
    for pair in pairs:
        chosen = np.isin(labels, pair)
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        splits = list(folds.split(labels[chosen], labels[chosen], groups[chosen]))
        for name, values in columns.items():
            verdicts = _out_of_fold(values[chosen], labels[chosen], splits, seed)
            found = _balanced_accuracy(labels[chosen], verdicts, groups[chosen], level)
            findings.append(Finding(name, LABELS[pair[0]], LABELS[pair[1]], found))
    return sorted(findings, key=lambda finding: -finding.balanced_accuracy.value)


def table_of(findings: list[Finding]) -> pd.DataFrame:
    """Return a row a finding: `property`, `first`, `second`, `value`, `low`, `high`."""
    return pd.DataFrame(
        [
            {"property": found.property, "first": found.first, "second": found.second}
            | asdict(found.balanced_accuracy)
            for found in findings
        ],
        columns=[*NAMES, "value", "low", "high"],
    )


def findings_in(table: pd.DataFrame) -> list[Finding]:
    """Return what `table_of` was made of."""
    return [
        Finding(
            row["property"],
            row["first"],
            row["second"],
            Interval(row["value"], row["low"], row["high"]),
        )
        for row in table.to_dict("records")
    ]


def in_words(name: str) -> str:
    """Return what a property is called on pages and in figures."""
    return "all together" if name == TOGETHER else IN_WORDS.get(name, name).removeprefix("its ")


def warnings(findings: list[Finding]) -> list[str]:
    """Return a sentence for each property that surely tells two labels apart; the worst first.

    A property that tells several pairs apart is warned of once, with the pair it tells best.
    """
    worst: dict[str, Finding] = {}
    for finding in findings:
        if finding.balanced_accuracy.low > NOTABLE:
            worst.setdefault(finding.property, finding)
    return [_sentence(finding) for finding in worst.values()]


def _sentence(finding: Finding) -> str:
    found = finding.balanced_accuracy
    if finding.property == TOGETHER:
        subject = "All measured properties of the file together tell"
    else:
        words = IN_WORDS.get(finding.property, finding.property)
        thing = "picture" if finding.property in OF_THE_PICTURE else "file"
        subject = f"One number about the {thing}, {words}, tells"
    advice = (
        "The animal's own look has a part in that."
        if finding.property in OF_THE_PICTURE
        else "A network can learn this instead of the animal."
    )
    return (
        f"{subject} {finding.first} from {finding.second} in {_percent(found.value)} of photos not "
        f"learned from (at least {_percent(found.low)}; chance is 50 %). {advice}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _numbers(column: pd.Series) -> FloatArray:
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(float)
    return np.asarray(pd.factorize(column, sort=True)[0], float)


def _out_of_fold(
    values: FloatArray, labels: IntArray, splits: list[tuple[IntArray, IntArray]], seed: int
) -> IntArray:
    verdicts = np.empty_like(labels)
    for learn, test in splits:
        learner = _learner(values.shape[1], seed).fit(values[learn], labels[learn])
        verdicts[test] = learner.predict(values[test])
    return verdicts


def _balanced_accuracy(
    labels: IntArray, verdicts: IntArray, groups: IntArray, level: float
) -> Interval:
    recalls = []
    for label in np.unique(labels):
        own = labels == label
        share = float(np.mean(verdicts[own] == label))
        recalls.append(wilson(share, (1 - 1 / FOLDS) * len(np.unique(groups[own])), level))
    value = sum(recall.value for recall in recalls) / 2
    below = math.hypot(*(recall.value - recall.low for recall in recalls)) / 2
    above = math.hypot(*(recall.high - recall.value for recall in recalls)) / 2
    return Interval(value, max(0.0, value - below), min(1.0, value + above))


def _learner(columns: int, seed: int) -> ClassifierMixin:
    if columns == 1:
        return DecisionTreeClassifier(
            max_leaf_nodes=8, min_samples_leaf=5, class_weight="balanced", random_state=seed
        )
    return RandomForestClassifier(
        n_estimators=100,
        max_leaf_nodes=64,
        min_samples_leaf=3,
        max_features=0.5,
        class_weight="balanced",
        random_state=seed,
    )
