"""One look for all figures."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from pandacat.core.files import atomic_write
from pandacat.labels import LABELS, Label

Picture = Image.Image | np.ndarray
"""A PIL image, or `(H, W, 3)` or `(H, W)` uint8."""

INK, FAINT, PALE = "#24292f", "#6e7781", "#b0b7be"
RIGHT, WRONG = "#009e73", "#d55e00"

LABEL_COLORS: dict[Label, str] = {"panda": "#30363d", "cat": "#e69f00", "other": "#7fb8e0"}
"""Apart in lightness, too, so that color-blind readers and gray prints keep them apart."""

NETWORK_LOOKS = (
    ("#cc79a7", "o"),
    ("#0072b2", "s"),
    ("#d55e00", "^"),
    ("#009e73", "D"),
    ("#56b4e9", "v"),
    ("#8c6d31", "P"),
)
"""Color and marker, in the order of the networks. All but the last color are of the palette in
Okabe and Ito, Color universal design (2008)."""

DPI = 110
WIDTH = 9.0
"""In inches: a little more than a README page is wide."""

DRAWN_NOTE = "drawn sample, no photographs"

_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": PALE,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "figure.titlesize": 12.5,
    "figure.titleweight": "bold",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "grid.color": "#e4e7ea",
    "legend.fontsize": 9,
    "legend.frameon": False,
    "text.color": INK,
    "xtick.color": FAINT,
    "xtick.labelsize": 9,
    "ytick.color": FAINT,
    "ytick.labelsize": 9,
}


@contextmanager
def figure(path: Path, title: str, height: float, *, drawn: bool) -> Iterator[Figure]:
    """Yield an empty figure, and write it to `path` as PNG at the end, atomically.

    Args:
        path: of the file.
        title: stands above everything.
        height: in inches.
        drawn: the pictures are drawn, which is said beneath.
    """
    with matplotlib.style.context(_STYLE, after_reset=True):
        result = Figure(figsize=(WIDTH, height), layout="constrained")
        result.suptitle(title, x=0.008, ha="left")
        yield result
        if drawn:
            result.supxlabel(DRAWN_NOTE, x=0.992, ha="right", size=8, style="italic", color=FAINT)
        with atomic_write(path) as aside:
            result.savefig(aside, format="png", dpi=DPI, metadata={"Software": None})


def show(axes: Axes, picture: Picture, caption: str = "") -> None:
    """Draw a picture without a frame, and a caption beneath it; a tiny one keeps its pixels."""
    pixels = np.asarray(picture)
    smoothing = "nearest" if min(pixels.shape[:2]) < 64 else "antialiased"
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation=smoothing)
    bare(axes)
    axes.set_xlabel(caption, size=8, color=FAINT, labelpad=3)


def bare(axes: Axes) -> None:
    """Take ticks, grid and frame away."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def square(image: Image.Image, side_px: int = 256) -> Image.Image:
    """Return the middle of a picture as a square."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((side_px, side_px), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)


def mosaic(tiles: Sequence[np.ndarray], across: int, gap: int, blank: float) -> np.ndarray:
    """Return tiles of equal shape `(H, W, …)` as one picture, `gap` pixels of `blank` apart.

    The last row is filled up with `blank`.
    """
    height, width, *channels = tiles[0].shape
    down = -(-len(tiles) // across)
    shape = (down * (height + gap) - gap, across * (width + gap) - gap, *channels)
    picture = np.full(shape, blank, tiles[0].dtype)
    for place, tile in enumerate(tiles):
        top, left = place // across * (height + gap), place % across * (width + gap)
        picture[top : top + height, left : left + width] = tile
    return picture


def frames(parent: Figure, down: int, across: int, used: int) -> list[Axes]:
    """Return the first `used` of a grid of axes; the others stay invisible."""
    grid = list(parent.subplots(down, across, squeeze=False).flat)
    for axes in grid[used:]:
        axes.set_axis_off()
    return grid[:used]


def label_bar(axes: Axes, probabilities: np.ndarray) -> None:
    """Draw the three probabilities as one bar beneath the picture in `axes`."""
    bar = axes.inset_axes((0, -0.055, 1, 0.04))
    starts = np.concatenate([[0], np.cumsum(probabilities)[:-1]])
    bar.barh([0] * 3, probabilities, left=starts, color=[LABEL_COLORS[label] for label in LABELS])
    bar.set(xlim=(0, 1), ylim=(-0.4, 0.4))
    bare(bar)


def label_legend(parent: Figure) -> None:
    """Say which color means which label, right of the title."""
    patches = [Patch(color=LABEL_COLORS[label], label=label) for label in LABELS]
    parent.legend(handles=patches, loc="upper right", ncols=len(LABELS))


def network_styles(networks: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the color and the marker of each network, the same in all figures."""
    return {
        network: NETWORK_LOOKS[place % len(NETWORK_LOOKS)] for place, network in enumerate(networks)
    }


def in_words(network: str) -> str:
    """Return a network's name for readers: `fine-tuned` for `fine_tuned`."""
    return network.replace("_", "-")


def percent(share: float, decimals: int = 1) -> str:
    """Return `98.7 %` for 0.987."""
    return f"{100 * share:.{decimals}f} %"


def in_percent(*scales: Axis) -> None:
    """Write shares in 0…1 as percentages beside the ticks."""
    for scale in scales:
        scale.set_major_formatter(lambda share, _: f"{round(100 * share, 6):g} %")
