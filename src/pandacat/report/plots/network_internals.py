"""What the network trained from scratch has learned."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from pandacat.report.formatting import percent
from pandacat.report.plots import style
from pandacat.report.plots.style import Canvas

FILTERS_ACROSS = 16
MAPS_SHOWN = 8
"""Of each stage."""
TILE_PX = 96


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
