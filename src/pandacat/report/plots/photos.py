"""Figures made of photos."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import matplotlib
import numpy as np
import pandas as pd
from PIL import Image

from pandacat.data.splits import SPLITS
from pandacat.evaluation.predictions import is_correct, labels_and_probabilities, predicted_labels
from pandacat.labels import LABELS
from pandacat.metrics.accuracy import log_losses
from pandacat.report.plots.style import (
    FAINT,
    LABEL_COLORS,
    RIGHT,
    WIDTH,
    WRONG,
    Picture,
    bare,
    figure,
    frames,
    in_words,
    label_bar,
    label_legend,
    mosaic,
    percent,
    show,
    square,
)

Images = Mapping[str, Image.Image]
"""Photos by their name, which is the `path` in a table of predictions."""

SAMPLES_ACROSS = 3
MISTAKES_ACROSS = 4
SUSPECTS_ACROSS = 6


def some_of_each(index: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return `count` rows, or all there are, of each label and split, evenly spread."""
    groups = [group for _, group in index.groupby(["label", "split"], sort=False)]
    return pd.concat([_spread(group, min(count, len(group))) for group in groups])


def _spread(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return `count` of the rows, at equal distances."""
    places = (np.arange(count) + 0.5) * len(rows) / count
    return rows.iloc[places.astype(int)]


def samples(path: Path, chosen: pd.DataFrame, images: Images, *, drawn: bool) -> None:
    """Draw photos with their labels: a row of blocks for each label, a column for each split.

    Args:
        path: of the PNG.
        chosen: `name`, `label` and `split`, such as `some_of_each` of the index of photos.
        images: the chosen photos, by name.
        drawn: whether the photos are drawn.
    """
    blocks = {
        key: [np.asarray(square(images[name], 128)) for name in group.name]
        for key, group in chosen.groupby(["label", "split"])
    }
    labels = [label for label in LABELS if (chosen.label == label).any()]
    splits = [split for split in SPLITS if (chosen.split == split).any()]
    down = math.ceil(max(map(len, blocks.values())) / SAMPLES_ACROSS)
    height = 0.75 + len(labels) * WIDTH / len(splits) * down / SAMPLES_ACROSS
    with figure(path, "Some of the photos", height, drawn=drawn) as drawing:
        grid = drawing.subplots(len(labels), len(splits), squeeze=False)
        for (row, column), axes in np.ndenumerate(grid):
            label, split = labels[row], splits[column]
            bare(axes)
            if (label, split) in blocks:
                axes.imshow(mosaic(blocks[label, split], SAMPLES_ACROSS, gap=6, blank=255))
            if row == 0:
                axes.set_title(split)
            if column == 0:
                axes.set_ylabel(label, size=11, weight="bold", color=LABEL_COLORS[label])


@dataclass(frozen=True)
class Changes:
    """A picture and augmented copies of it."""

    title: str
    original: Picture
    copies: Sequence[Picture]


def augmentations(path: Path, rows: Sequence[Changes], *, drawn: bool) -> None:
    """Draw the middle of each picture, and beside it what training makes of it.

    All rows have equally many copies, which are squares.
    """
    count = len(rows[0].copies)
    height = 0.5 + len(rows) * (0.35 + WIDTH / (count + 1.2))
    with figure(path, "The same picture, as training sees it", height, drawn=drawn) as drawing:
        grid = drawing.subplots(len(rows), 2, squeeze=False, width_ratios=(1, count))
        for (left, right), row in zip(grid, rows, strict=True):
            tiles = [np.asarray(copy) for copy in row.copies]
            show(left, square(Image.fromarray(np.asarray(row.original)), len(tiles[0])))
            show(right, mosaic(tiles, count, gap=max(1, len(tiles[0]) // 16), blank=255))
            left.set_title("as it came", size=9)
            right.set_title(row.title, size=9)


def worst_mistakes(judged: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the wrong verdicts of one network, the highest log loss first, `count` at most.

    Of equal ones the surest comes first.
    """
    labels, probabilities = labels_and_probabilities(judged)
    order = np.lexsort((-probabilities.max(axis=1), -log_losses(labels, probabilities)))
    wrong = ~is_correct(judged)
    worst: pd.DataFrame = judged.iloc[order[wrong[order]][:count]]
    return worst


def right_and_wrong(judged: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return right verdicts of one network, the labels in turn, then its worst mistakes.

    There are `count` of each, or as many as there are.
    """
    right = judged[is_correct(judged)]
    turn = right.groupby("label").cumcount().to_numpy()
    in_turn = right.iloc[np.argsort(turn, kind="stable")[:count]]
    return pd.concat([in_turn, worst_mistakes(judged, count)])


def mistakes(
    path: Path, judged: pd.DataFrame, count: int, images: Images, *, network: str, drawn: bool
) -> None:
    """Draw the photos that a network got most wrong, with what it said of them.

    Args:
        path: of the PNG.
        judged: a network's rows of a table of predictions.
        count: of photos to draw at most.
        images: at least the photos that `worst_mistakes` gives, by path.
        network: its name.
        drawn: whether the photos are drawn.
    """
    worst = worst_mistakes(judged, count)
    _, probabilities = labels_and_probabilities(worst)
    wrong = int((~is_correct(judged)).sum())
    title = f"Worst mistakes of the {in_words(network)} network: {wrong} of {len(judged)} wrong"
    down = math.ceil(len(worst) / MISTAKES_ACROSS)
    with figure(path, title, 0.6 + max(down * 2.8, 0.6), drawn=drawn) as drawing:
        if worst.empty:
            drawing.text(0.5, 0.45, "none: every photo got its own label", ha="center")
            return
        label_legend(drawing)
        places = frames(drawing, down, MISTAKES_ACROSS, len(worst))
        said = _said(worst)
        for axes, name, chances, words in zip(places, worst.path, probabilities, said, strict=True):
            show(axes, square(images[name]))
            axes.set_title(words, size=9)
            label_bar(axes, chances)
            axes.set_xlabel(_short(name), size=7.5, labelpad=13)


def _said(judged: pd.DataFrame) -> list[str]:
    """Return what was said of each photo: `cat, 98 %`, or `cat taken for panda, 60 %`."""
    labels, probabilities = labels_and_probabilities(judged)
    words = []
    for label, verdict, chances in zip(
        labels, predicted_labels(judged), probabilities, strict=True
    ):
        said = f"{LABELS[verdict]}, {percent(chances[verdict], 0)}"
        words.append(said if verdict == label else f"{LABELS[label]} taken for {said}")
    return words


def _short(name: str) -> str:
    """Return the file's name, the start of a long one left out."""
    last = PurePosixPath(name).name
    return last if len(last) <= 26 else "…" + last[-25:]


def grad_cam(
    path: Path,
    chosen: pd.DataFrame,
    images: Images,
    heats: Mapping[str, np.ndarray],
    *,
    network: str,
    drawn: bool,
) -> None:
    """Draw photos and, beneath each, what of it spoke for the verdict; right ones first.

    Args:
        path: of the PNG.
        chosen: a network's rows of a table of predictions, such as `right_and_wrong` gives.
        images: these photos, by path.
        heats: what `explain.grad_cam` gives for each, by path.
        network: its name.
        drawn: whether the photos are drawn.
    """
    right = is_correct(chosen)
    blocks = {"right": chosen[right], "wrong": chosen[~right]}
    blocks = {name: rows for name, rows in blocks.items() if len(rows)}
    across = max(4, *map(len, blocks.values()))
    height = 0.55 + len(blocks) * (2 * (WIDTH - 0.4) / across + 0.1)
    title = f"What speaks for the answers of the {in_words(network)} network (Grad-CAM)"
    with figure(path, title, height, drawn=drawn) as drawing:
        grid = drawing.subplots(2 * len(blocks), across)
        for axes in grid.flat:
            bare(axes)
        for pair, (name, rows) in zip(grid.reshape(-1, 2, across), blocks.items(), strict=True):
            color = RIGHT if name == "right" else WRONG
            pair[0, 0].set_ylabel(name, weight="bold", color=color)
            pair[1, 0].set_ylabel("what spoke for it", size=8, color=FAINT)
            for column, (file, words) in enumerate(zip(rows.path, _said(rows), strict=True)):
                show(pair[0, column], square(images[file]))
                show(pair[1, column], square(_heated(images[file], heats[file])))
                pair[0, column].set_title(words, size=8)


def _heated(image: Image.Image, heat: np.ndarray) -> Image.Image:
    """Return the photo in gray, colored where the heat `(H, W)` in 0…1 is high."""
    colors = matplotlib.colormaps["inferno"](0.3 + 0.65 * heat)[..., :3]
    gray = np.asarray(image.convert("L"), np.float64)[..., None] / 255
    strength = 0.7 * heat[..., None]
    mixed = (1 - strength) * gray + strength * colors
    return Image.fromarray(np.rint(255 * mixed).astype(np.uint8))


def contact_sheet(
    path: Path, label_issues: pd.DataFrame, images: Images, *, title: str, drawn: bool
) -> None:
    """Draw a ranked list of photos, each with the reason why it is there.

    Args:
        path: of the PNG.
        label_issues: `path` and `reason`, the most suspicious first.
        images: these photos, by path.
        title: what the list is.
        drawn: whether the photos are drawn.
    """
    down = math.ceil(len(label_issues) / SUSPECTS_ACROSS)
    with figure(path, title, 0.6 + max(down * 2.0, 0.6), drawn=drawn) as drawing:
        if label_issues.empty:
            drawing.text(0.5, 0.45, "none", ha="center")
            return
        places = frames(drawing, down, SUSPECTS_ACROSS, len(label_issues))
        for place, (axes, name, reason) in enumerate(
            zip(places, label_issues.path, label_issues.reason, strict=True), start=1
        ):
            show(axes, square(images[name]), textwrap.fill(reason, 26))
            axes.set_title(f"{place}. {_short(name)}", size=7.5)
