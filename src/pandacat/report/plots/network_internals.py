"""What the scratch network has learned to see."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from pandacat.report.plots.style import (
    INK,
    PALE,
    WIDTH,
    Picture,
    bare,
    figure,
    mosaic,
    percent,
    show,
)

FILTERS_ACROSS = 16
MAPS_SHOWN = 8
"""Of each stage."""
TILE_PX = 96


def filters(path: Path, weights: np.ndarray, *, title: str, drawn: bool) -> None:
    """Draw the small patterns that the first layer looks for.

    Mid-gray is zero: a light place has to be light for the pattern to fit, a dark one dark.

    Args:
        path: of the PNG.
        weights: `(N, C, K, K)`, C being 1 or 3.
        title: whose they are.
        drawn: whether they were learned from drawn pictures.
    """
    largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True).clip(min=1e-12)
    levels = np.rint(255 * (0.5 + weights / (2 * largest))).astype(np.uint8)
    tiles = [_enlarged(tile) for tile in levels.transpose(0, 2, 3, 1).squeeze()]
    down = -(-len(tiles) // FILTERS_ACROSS)
    with figure(path, title, 0.6 + down * WIDTH / FILTERS_ACROSS, drawn=drawn) as drawing:
        show(drawing.subplots(), mosaic(tiles, FILTERS_ACROSS, gap=TILE_PX // 8, blank=255))


def feature_maps(
    path: Path,
    picture: Picture,
    stages: Sequence[np.ndarray],
    answer: Mapping[str, float],
    *,
    title: str,
    drawn: bool,
) -> None:
    """Draw a picture's way through the network: the strongest maps of each stage, and the answer.

    Args:
        path: of the PNG.
        picture: what the network saw.
        stages: the maps of each stage, `(C, H, W)`, none negative.
        answer: the probability of each class.
        title: what it is.
        drawn: whether the picture is drawn.
    """
    with figure(path, title, 0.45 + 1.02 * len(stages), drawn=drawn) as drawing:
        grid = drawing.add_gridspec(len(stages), 3, width_ratios=(1.5, 6.2, 1.3))
        seen = drawing.add_subplot(grid[:, 0])
        show(seen, picture)
        seen.set_title("what it sees, {}×{}".format(*np.asarray(picture).shape), size=9)
        for row, maps in enumerate(stages):
            axes = drawing.add_subplot(grid[row, 1])
            show(axes, _strip(maps))
            count, height, width = maps.shape
            words = f"stage {row + 1}: {min(count, MAPS_SHOWN)} of {count} maps, {height}×{width}"
            axes.set_title(words, size=9)
        _answer(drawing.add_subplot(grid[:, 2]), answer)


def _strip(maps: np.ndarray) -> np.ndarray:
    """Return the maps of the greatest mean side by side, each as light as its own range allows."""
    order = np.argsort(-maps.mean(axis=(1, 2)), kind="stable")[:MAPS_SHOWN]
    tops = maps[order].max(axis=(1, 2), keepdims=True).clip(min=1e-12)
    colored = matplotlib.colormaps["magma"](maps[order] / tops)[..., :3]
    tiles = [_enlarged(tile) for tile in np.rint(255 * colored).astype(np.uint8)]
    return mosaic(tiles, MAPS_SHOWN, gap=TILE_PX // 12, blank=255)


def _enlarged(tile: np.ndarray) -> np.ndarray:
    """Return the tile at a size of about `TILE_PX`, its pixels kept square."""
    times = max(1, TILE_PX // len(tile))
    return tile.repeat(times, axis=0).repeat(times, axis=1)


def _answer(axes: Axes, answer: Mapping[str, float]) -> None:
    names, shares = list(answer), list(answer.values())
    best = int(np.argmax(shares))
    bare(axes)
    axes.barh(names, shares, color=["#0072b2" if n == best else PALE for n in range(len(names))])
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0, labelcolor=INK)
    axes.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.6))
    axes.set_box_aspect(1.2)
    axes.set_title(f"{names[best]}: {percent(shares[best])}", size=9)
