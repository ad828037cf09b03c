"""One style for all plots."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from itertools import cycle
from pathlib import Path

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font
from matplotlib.text import Text
from PIL import Image, ImageOps

from pandacat.core.errors import printable
from pandacat.core.files import atomic_write

STYLE = files("pandacat.report") / "templates" / "plots.mplstyle"

Picture = Image.Image | np.ndarray
"""A PIL image, or `(H, W, 3)` or `(H, W)` uint8."""

Load = Callable[[Iterable[str]], Mapping[str, Image.Image]]
"""Returns the photos with these names, which are the `path` in a table of predictions."""

INK, FAINT, PALE = "#24292f", "#6e7781", "#b0b7be"
CORRECT, WRONG = "#009e73", "#d55e00"

LABEL_COLORS = ("#30363d", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#f0e442", "#8c6d31")
"""Of the in-distribution labels, by position; where there are more, they begin again."""
OTHER_COLOR = "#7fb8e0"
"""Apart in lightness from the first two, too, for color-blind readers and gray prints."""

NETWORK_COLORS = ("#cc79a7", "#0072b2", "#56b4e9", "#d55e00", "#009e73", "#8c6d31")
"""In the order of the networks. All but the last are of the palette in Okabe and Ito, Color
universal design (2008)."""
NETWORK_MARKERS = "osv^DP"

FONT = "DejaVu Sans"
"""Of all texts, as in `plots.mplstyle`; comes with matplotlib."""
LAST_RESORT = "Last Resort"
"""Start of the name of matplotlib's own font that has a box for every character."""

DPI = 110
WIDTH = 9.0
"""In inches: a little more than a README page is wide."""


@dataclass(frozen=True)
class Canvas:
    """Where plots are drawn to, and what is said in all of them."""

    folder: Path
    drawn: bool = False
    """The pictures are drawings, which a note at the foot says."""
    suffix: str = ""
    """Of the files' names, such as `_test`."""
    note: str = ""
    """Behind the titles, such as ` (test, 24 photos)`."""

    @contextmanager
    def figure(self, name: str, title: str, height: float) -> Iterator[Figure]:
        """Yield an empty figure, `height` inches high, and write it at the end, atomically."""
        with as_file(STYLE) as path, matplotlib.style.context(path, after_reset=True):
            result = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
            result.suptitle(title + self.note, x=0.008, ha="left")
            yield result
            if self.drawn:
                font = {"size": 8, "style": "italic", "color": FAINT}
                result.supxlabel("drawn sample, no photographs", x=0.992, ha="right", **font)
            with atomic_write(self.folder / f"{name}{self.suffix}.png") as aside:
                result.savefig(aside, format="png", metadata={"Software": None})

    @contextmanager
    def panels(
        self, name: str, title: str, row_height: float, *, count: int, across: int
    ) -> Iterator[list[Axes]]:
        """Yield `count` axes, `across` in a row; where there are none, the plot says so."""
        down = -(-count // across)
        with self.figure(name, title, 0.6 + max(down * row_height, 0.6)) as drawing:
            if count:
                axes = list(drawing.subplots(down, across, squeeze=False).flat)
                for unused in axes[count:]:
                    unused.set_axis_off()
                yield axes[:count]
            else:
                drawing.text(0.5, 0.45, "none", ha="center")
                yield []


def network_styles(networks: Iterable[str]) -> dict[str, tuple[str, str, float]]:
    """Return each network's color, marker, and place in a row of a chart, within ±0.5."""
    names = list(networks)
    places = [(number + 0.5) / len(names) - 0.5 for number in range(len(names))]
    styles = zip(cycle(NETWORK_COLORS), cycle(NETWORK_MARKERS), places, strict=False)
    return dict(zip(names, styles, strict=False))


def label_colors(labels: Sequence[str]) -> dict[str, str]:
    """Return a color for each label; `other` is the last."""
    *known, other = labels
    return dict(zip(known, cycle(LABEL_COLORS), strict=False)) | {other: OTHER_COLOR}


def show(axes: Axes, picture: Picture, caption: str = "") -> None:
    """Draw a picture without a frame, and a caption beneath it; a tiny one keeps its pixels."""
    pixels = np.asarray(picture)
    smoothing = "nearest" if min(pixels.shape[:2]) < 64 else "antialiased"
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation=smoothing)
    bare(axes)
    axes.set_xlabel(caption, size=8, color=FAINT, labelpad=3)


def write_name(place: Text, name: str, *, inches: float, start: str = "") -> None:
    """Write `start` and the name of a file, no more than `inches` wide: of a long name, its end.

    No character of a name is markup. Those that the plots' font lacks are drawn in a font of this
    machine that has them, or, if there is none, as escapes: `\\u732b`.
    """
    fonts = {letter: _font_with(letter) for letter in printable(name)}
    letters = [
        letter if fonts[letter] else letter.encode("unicode_escape").decode()
        for letter in printable(name)
    ]
    place.set_fontfamily(list(dict.fromkeys([FONT, *filter(None, fonts.values())])))

    def write_end(dropped: int) -> bool:
        shown = ["…" if dropped else "", *letters[dropped:]]
        place.set(text=start + "".join(shown), parse_math=False)
        return _inches_wide(place) <= inches

    if not write_end(0):
        write_end(bisect_left(range(len(letters)), True, key=write_end))  # noqa: FBT003


def _inches_wide(text: Text) -> float:
    drawing = text.get_figure(root=True)
    return text.get_window_extent().width / drawing.dpi if drawing else 0.0


@cache
def _font_with(letter: str) -> str | None:
    """Return the name of a font that has a character, the plots' own first."""
    for font in sorted(fontManager.ttflist, key=lambda font: (font.name != FONT, font.name)):
        with suppress(OSError, RuntimeError):  # a damaged font
            face = get_font(font.fname)
            usable = face.scalable and not font.name.startswith(LAST_RESORT)
            if usable and face.get_char_index(ord(letter)):
                return font.name
    return None


def square(image: Image.Image, side_px: int = 256) -> Image.Image:
    """Return the middle of a picture as a square."""
    return ImageOps.fit(image, (side_px, side_px))


def bare(axes: Axes) -> None:
    """Take ticks, grid and frame away."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


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


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Write the names of a chart's rows beside them, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0, labelcolor=INK)


def in_percent(*scales: Axis) -> None:
    """Write shares in 0…1 as percentages beside the ticks."""
    for scale in scales:
        scale.set_major_formatter(lambda share, _: f"{round(100 * share, 6):g} %")
