"""Plots made of photos."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from PIL import Image

from pandacat.config.schema import Config
from pandacat.config.training import AugmentParams
from pandacat.core.console import print_status
from pandacat.core.parallel import ordered_map
from pandacat.data import augment, store
from pandacat.data.augmented_copies import augmented_copies
from pandacat.data.crops import cut_crops
from pandacat.data.splits import SPLITS
from pandacat.evaluation import predictions as tables
from pandacat.evaluation.predictions import OURS, is_correct, labels_and_probabilities
from pandacat.labels import listed
from pandacat.metrics.accuracy import log_losses
from pandacat.models.classifier import Classifier
from pandacat.models.engine import NoFeatureMapError
from pandacat.models.explanation import overlay
from pandacat.models.saved import SavedModel
from pandacat.report.formatting import network_name, percent
from pandacat.report.plots import style
from pandacat.report.plots.style import WIDTH, Canvas, Load, Picture, bare, show, square

HeatOf = Callable[[Image.Image, int], np.ndarray]
"""Returns where a photo speaks for a label, `(H, W)` in 0…1; see `models.explanation`."""

COPIES_SHOWN = 6
"""Augmented, of a picture."""
SEED = 0

SAMPLES_SHOWN, SAMPLES_ACROSS = 6, 3
"""Of each label and split."""
GRAD_CAMS_SHOWN = 5
"""Of correct and of wrong predictions."""


def plot_photos(canvas: Canvas, photo_folder: Path, digit: np.ndarray, config: Config) -> None:
    """Draw `samples` and `augmentations`, of a photo of the first label and a digit `(28, 28)`."""
    index, labels = store.read_index(photo_folder), store.read_labels(photo_folder)
    samples(canvas, index, labels, partial(store.load_images, photo_folder))
    photo, rng = sample_photo(photo_folder), np.random.default_rng(SEED)
    middle = cut_crops(photo, 96, "square")[0]
    copies = replace(config.predict_pretrained.augmented_copies, count=COPIES_SHOWN)
    params = config.train_scratch
    rows = {
        "photo, for fine-tuning": (photo, list(augmented_copies(photo, 224, copies, rng))),
        "photo, for training from scratch": (middle, _copies(middle, params.photos.augment)),
        "digit, for training from scratch": (digit, _copies(digit, params.mnist.augment)),
    }
    augmentations(canvas, rows)


def sample_photo(photo_folder: Path) -> Image.Image:
    """Return the first test photo of the first label."""
    index = store.read_index(photo_folder)
    of_label = index.label == store.read_labels(photo_folder)[0]
    name = index[of_label & (index.split == "test")].name.iloc[0]
    return store.load_images(photo_folder, [name])[name]


def _copies(picture: np.ndarray, params: AugmentParams) -> list[np.ndarray]:
    """Return augmented copies, uint8, of a picture `(H, W)` or `(H, W, 3)`."""
    one = torch.from_numpy(np.atleast_3d(picture).transpose(2, 0, 1).copy()).float() / 255
    same = one.expand(COPIES_SHOWN, *one.shape).contiguous()
    rng = torch.Generator().manual_seed(SEED)
    draws = augment.draw_augmentations(COPIES_SHOWN, params, rng)
    changed = augment.augmented(same, draws, params)
    copies = (changed * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return [copy.reshape(picture.shape) for copy in copies]


def some_of_each(index: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return `count` rows, or all there are, of each label and split, evenly spread."""
    chosen = []
    for _, rows in index.groupby(["label", "split"], sort=False):
        shown = min(count, len(rows))
        chosen.append(rows.iloc[((np.arange(shown) + 0.5) * len(rows) / shown).astype(int)])
    return pd.concat(chosen)


def samples(canvas: Canvas, index: pd.DataFrame, labels: Sequence[str], load: Load) -> None:
    """Draw `samples`: a row of blocks of photos for each label, a column for each split.

    `index` has `name`, `label` and `split` of all photos.
    """
    chosen = some_of_each(index, SAMPLES_SHOWN)
    images = load(chosen.name)
    blocks = {
        key: [np.asarray(square(images[name], 128)) for name in group.name]
        for key, group in chosen.groupby(["label", "split"])
    }
    present = [label for label in labels if (chosen.label == label).any()]
    splits = [split for split in SPLITS if (chosen.split == split).any()]
    colors = style.label_colors(labels)
    down = math.ceil(max(map(len, blocks.values())) / SAMPLES_ACROSS)
    height = 0.75 + len(present) * WIDTH / len(splits) * down / SAMPLES_ACROSS
    with canvas.figure("samples", "Some of the photos", height) as drawing:
        grid = drawing.subplots(len(present), len(splits), squeeze=False)
        for (row, column), axes in np.ndenumerate(grid):
            label, split = present[row], splits[column]
            bare(axes)
            if (label, split) in blocks:
                axes.imshow(style.mosaic(blocks[label, split], SAMPLES_ACROSS, gap=6, blank=255))
            if row == 0:
                axes.set_title(split)
            if column == 0:
                axes.set_ylabel(listed([label]), size=11, weight="bold", color=colors[label])


def augmentations(canvas: Canvas, rows: Mapping[str, tuple[Picture, Sequence[Picture]]]) -> None:
    """Draw `augmentations`: the middle of each picture, and beside it copies for training.

    `rows` holds, by title, a picture and its copies, squares, equally many in all rows.
    """
    count = len(next(iter(rows.values()))[1])
    title, height = "Augmentation for training", 0.5 + len(rows) * (0.35 + WIDTH / (count + 1.2))
    with canvas.figure("augmentations", title, height) as drawing:
        grid = drawing.subplots(len(rows), 2, squeeze=False, width_ratios=(1, count))
        for (left, right), (words, (original, copies)) in zip(grid, rows.items(), strict=True):
            tiles = [np.asarray(copy) for copy in copies]
            show(left, square(Image.fromarray(np.asarray(original)), len(tiles[0])))
            show(right, style.mosaic(tiles, count, gap=max(1, len(tiles[0]) // 16), blank=255))
            left.set_title("original", size=9)
            right.set_title(words, size=9)


def worst_mistakes(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the wrong predictions of one network, the highest log loss first.

    Of equal ones the most confident comes first.
    """
    labels, probabilities = labels_and_probabilities(predictions)
    order = np.lexsort((-probabilities.max(axis=1), -log_losses(labels, probabilities)))
    worst: pd.DataFrame = predictions.iloc[order[~is_correct(predictions)[order]]]
    return worst


def correct_and_wrong(predictions: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return correct predictions of one network, the labels in turn, then its worst mistakes.

    There are `count` of each, or as many as there are.
    """
    correct = predictions[is_correct(predictions)]
    turn = correct.groupby("label").cumcount().to_numpy()
    in_turn = correct.iloc[np.argsort(turn, kind="stable")[:count]]
    return pd.concat([in_turn, worst_mistakes(predictions).head(count)])


def mistakes(canvas: Canvas, predictions: pd.DataFrame, count: int, load: Load) -> None:
    """Draw `mistakes_NETWORK`: the `count` photos that each network got most wrong."""
    for network, rows in tables.by_network(predictions).items():
        wrong = worst_mistakes(rows)
        worst = wrong.head(count)
        images, probabilities = load(worst.path), labels_and_probabilities(worst)[1]
        colors = style.label_colors(tables.label_names(worst))
        title = f"Worst mistakes, {network_name(network)}: {len(wrong)} of {len(rows)} wrong"
        with canvas.panels(f"mistakes_{network}", title, 2.8, count=len(worst), across=4) as panels:
            for axes, path, shares, words in zip(
                panels, worst.path, probabilities, _in_words(worst), strict=True
            ):
                show(axes, square(images[path]))
                axes.set_title(words, size=9)
                _label_bar(axes, shares, list(colors.values()))
                caption = axes.set_xlabel("", size=7.5, labelpad=13)
                style.write_name(caption, PurePosixPath(path).name, inches=2.1)
            if panels:
                keys = [Patch(color=color, label=listed([name])) for name, color in colors.items()]
                panels[0].figure.legend(handles=keys, loc="upper right", ncols=len(keys))


def _label_bar(axes: Axes, probabilities: np.ndarray, colors: Sequence[str]) -> None:
    """Draw the probabilities of the labels as one bar beneath the picture in `axes`."""
    bar = axes.inset_axes((0, -0.055, 1, 0.04))
    starts = np.concatenate([[0], np.cumsum(probabilities)[:-1]])
    bar.barh([0] * len(colors), probabilities, left=starts, color=colors)
    bar.set(xlim=(0, 1), ylim=(-0.4, 0.4))
    bare(bar)


def _in_words(predictions: pd.DataFrame) -> list[str]:
    """Return a text for each prediction: `cat, 98 %`, or `cat → panda, 60 %` if it is wrong."""
    names = [listed([label]) for label in tables.label_names(predictions)]
    return [
        ("" if shares.argmax() == label else f"{names[label]} → ")
        + f"{names[shares.argmax()]}, {percent(shares.max(), 0)}"
        for label, shares in zip(*labels_and_probabilities(predictions), strict=True)
    ]


def plot_grad_cam(
    canvas: Canvas, predictions: pd.DataFrame, photo_folder: Path, model: SavedModel
) -> None:
    """Draw `grad_cam` for the fine-tuned network, which `model` is, if it can be explained."""
    rows = predictions[predictions.network == OURS]
    load = partial(store.load_images, photo_folder)
    try:
        draw_grad_cam(canvas, rows, load, Classifier(model).heatmap)
    except NoFeatureMapError as error:
        print_status(f"There is no Grad-CAM plot. {error}")


def draw_grad_cam(canvas: Canvas, predictions: pd.DataFrame, load: Load, heat_of: HeatOf) -> None:
    """Draw `grad_cam`: photos and, beneath each, the evidence for its prediction."""
    chosen = correct_and_wrong(predictions, GRAD_CAMS_SHOWN)
    images = load(chosen.path)
    labels = dict(zip(chosen.path, tables.predicted_labels(chosen), strict=True))
    results = ordered_map(lambda path: heat_of(images[path], labels[path]), chosen.path)
    heat = dict(zip(chosen.path, results, strict=True))
    correct = is_correct(chosen)
    blocks = {"correct": chosen[correct], "wrong": chosen[~correct]}
    blocks = {name: rows for name, rows in blocks.items() if len(rows)}
    across = max(4, *map(len, blocks.values()))
    title = f"Grad-CAM, {network_name(chosen.network.iloc[0])}: evidence for the predictions"
    height = 0.55 + len(blocks) * (2 * (WIDTH - 0.4) / across + 0.1)
    with canvas.figure("grad_cam", title, height) as drawing:
        grid = drawing.subplots(2 * len(blocks), across)
        for axes in grid.flat:
            bare(axes)
        for pair, (name, rows) in zip(grid.reshape(-1, 2, across), blocks.items(), strict=True):
            color = style.CORRECT if name == "correct" else style.WRONG
            pair[0, 0].set_ylabel(name, weight="bold", color=color)
            pair[1, 0].set_ylabel("Grad-CAM", size=8, color=style.FAINT)
            for (above, below), path, words in zip(
                pair.T, rows.path, _in_words(rows), strict=False
            ):
                show(above, square(images[path]))
                show(below, square(overlay(images[path], heat[path])))
                above.set_title(words, size=8)
