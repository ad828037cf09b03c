"""How training went, and what the network trained from scratch has learned."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from pandacat.models import scratch
from pandacat.models.saved import SavedModel
from pandacat.report.formatting import percent
from pandacat.report.plots import style
from pandacat.report.plots.style import FAINT, Canvas, in_percent

TRAINING, VALIDATION = "#e69f00", "#0072b2"

FILTERS_ACROSS = 16
MAPS_SHOWN = 8
"""Of each stage."""
TILE_PX = 96


def curves(canvas: Canvas, trainings: Mapping[str, pd.DataFrame]) -> None:
    """Draw `curves`: loss and accuracy by epoch of each training, by title, the best one marked."""
    with canvas.figure("curves", "Training", 5.2) as drawing:
        grid = drawing.subplots(2, len(trainings), squeeze=False, sharex="col")
        for (losses, accuracies), (title, table) in zip(grid.T, trainings.items(), strict=True):
            best = table.iloc[int(table.validation_loss.argmin())]
            losses.plot(table.epoch, table.train_loss, color=TRAINING, label="training")
            losses.plot(table.epoch, table.validation_loss, color=VALIDATION, label="validation")
            losses.plot(best.epoch, best.validation_loss, "o", color=VALIDATION, label="best epoch")
            losses.set_yscale("log")
            losses.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            losses.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            losses.yaxis.set_minor_formatter(NullFormatter())
            losses.set_title(title)
            accuracies.plot(table.epoch, table.validation_accuracy, color=VALIDATION)
            accuracies.plot(best.epoch, best.validation_accuracy, "o", color=VALIDATION)
            accuracies.set_title(
                f"best epoch {best.epoch:.0f}: {percent(best.validation_accuracy, 2)},"
                f" loss {best.validation_loss:.3g}",
                size=9,
                color=FAINT,
            )
            accuracies.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
            accuracies.set_xlabel("epoch")
            in_percent(accuracies.yaxis)
            for axes in (losses, accuracies):
                axes.axvline(best.epoch, color=FAINT, linewidth=1, linestyle=":")
        grid[0, 0].set_ylabel("loss")
        grid[1, 0].set_ylabel("accuracy, validation")
        grid[0, 0].legend()


def plot_scratch_network(canvas: Canvas, model: SavedModel, picture: np.ndarray) -> None:
    """Draw `filters` and `maps`, for a picture `(S, S)` or `(S, S, 3) uint8`."""
    network = scratch.restore(model.description.architecture, model.tensors)
    channels_first = np.atleast_3d(picture).transpose(2, 0, 1).copy()
    images = torch.from_numpy(channels_first)[None].float() / 255
    with torch.inference_mode():
        stages = [maps[0].numpy() for maps in network.stage_maps(images)]
        probabilities = network(images).softmax(dim=1)[0].tolist()
    first_convolution = next(network.stages.parameters())
    filters(canvas, first_convolution.detach().numpy())
    feature_maps(
        canvas,
        picture,
        stages,
        dict(zip(model.description.labels, probabilities, strict=True)),
    )


def filters(canvas: Canvas, weights: np.ndarray) -> None:
    """Draw `filters`: the patterns of the first layer, `(N, C, K, K)`, C being 1 or 3.

    Mid-gray is zero: a light place has to be light for the pattern to fit, a dark one dark.
    """
    largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True).clip(min=1e-12)
    levels = np.rint(255 * (0.5 + weights / (2 * largest))).astype(np.uint8)
    tiles = [_enlarged(tile) for tile in levels.transpose(0, 2, 3, 1).squeeze()]
    down = -(-len(tiles) // FILTERS_ACROSS)
    height = 0.6 + down * style.WIDTH / FILTERS_ACROSS
    with canvas.figure("filters", "Filters of the first layer", height) as drawing:
        style.show(
            drawing.subplots(), style.mosaic(tiles, FILTERS_ACROSS, gap=TILE_PX // 8, blank=255)
        )


def feature_maps(
    canvas: Canvas,
    picture: np.ndarray,
    stages: Sequence[np.ndarray],
    probabilities: Mapping[str, float],
) -> None:
    """Draw `maps`: a picture's way through the network, and the probabilities at its end.

    Of each stage, maps `(C, H, W)` without negative values, the strongest are shown.
    """
    title, height = "Feature maps, from picture to prediction", 0.45 + 1.02 * len(stages)
    with canvas.figure("maps", title, height) as drawing:
        grid = drawing.add_gridspec(len(stages), 3, width_ratios=(1.5, 6.2, 1.3))
        source = drawing.add_subplot(grid[:, 0])
        style.show(source, picture)
        source.set_title("input, {}×{}".format(*picture.shape), size=9)
        for row, maps in enumerate(stages):
            axes = drawing.add_subplot(grid[row, 1])
            style.show(axes, _strip(maps))
            count, height, width = maps.shape
            words = f"stage {row + 1}: {min(count, MAPS_SHOWN)} of {count} maps, {height}×{width}"
            axes.set_title(words, size=9)
        _probabilities(drawing.add_subplot(grid[:, 2]), probabilities)


def _strip(maps: np.ndarray) -> np.ndarray:
    """Return the maps of the greatest mean side by side, each as light as its own range allows."""
    order = np.argsort(-maps.mean(axis=(1, 2)), kind="stable")[:MAPS_SHOWN]
    tops = maps[order].max(axis=(1, 2), keepdims=True).clip(min=1e-12)
    colored = matplotlib.colormaps["magma"](maps[order] / tops)[..., :3]
    tiles = [_enlarged(tile) for tile in np.rint(255 * colored).astype(np.uint8)]
    return style.mosaic(tiles, MAPS_SHOWN, gap=TILE_PX // 12, blank=255)


def _enlarged(tile: np.ndarray) -> np.ndarray:
    """Return the tile at a size of about `TILE_PX`, its pixels kept square."""
    times = max(1, TILE_PX // len(tile))
    return tile.repeat(times, axis=0).repeat(times, axis=1)


def _probabilities(axes: Axes, probabilities: Mapping[str, float]) -> None:
    names = [name.replace("_", " ") for name in probabilities]
    shares = list(probabilities.values())
    best = int(np.argmax(shares))
    style.bare(axes)
    colors = [style.NETWORK_COLORS[1] if row == best else style.PALE for row in range(len(names))]
    axes.barh(range(len(names)), shares, color=colors)
    style.name_rows(axes, names)
    axes.set_xlim(0, 1)
    axes.set_box_aspect(1.2)
    axes.set_title(f"{names[best]}: {percent(shares[best])}", size=9)
