"""What the audit finds: properties that predict the label, and photos whose label is doubtful."""

import textwrap
from collections.abc import Sequence
from itertools import combinations
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from pandacat.evaluation.shortcuts import CHANCE, NOTABLE, in_words
from pandacat.labels import listed
from pandacat.report.formatting import percent
from pandacat.report.plots import style
from pandacat.report.plots.style import FAINT, INK, PALE, WRONG, Canvas


def shortcuts(canvas: Canvas, findings: pd.DataFrame, labels: Sequence[str]) -> None:
    """Draw `shortcuts`: how well each property of the files separates two labels, best first.

    Bars start at chance; whiskers are joint 95 % intervals, and those above `NOTABLE` are marked.
    Pairs of labels without findings are left out.
    """
    properties = list(findings.property.unique())
    by_pair = dict(iter(findings.groupby(["first", "second"])))
    pairs = [pair for pair in combinations(labels, 2) if pair in by_pair]
    title, height = "Properties that predict the label", 0.7 + 0.3 * len(properties)
    across = min(3, max(1, len(pairs)))
    with canvas.panels("shortcuts", title, height, count=len(pairs), across=across) as panels:
        for place, (axes, pair) in enumerate(zip(panels, pairs, strict=True)):
            some = by_pair[pair]
            y, colors = (
                some.property.map(properties.index),
                np.where(some.low > NOTABLE, WRONG, PALE),
            )
            axes.barh(y, some.value - CHANCE, left=CHANCE, color=colors, height=0.7)
            axes.plot([some.low, some.high], [y, y], color=INK, linewidth=1.2)
            axes.axvline(CHANCE, color=INK, linewidth=1)
            axes.axvline(NOTABLE, color=FAINT, linewidth=1, linestyle=":")
            axes.set(title=f"{listed(pair)}?", xlim=(0, 1.02))
            axes.set_xlabel("balanced accuracy; 50 % is chance")
            style.name_rows(axes, list(map(in_words, properties)))
            axes.tick_params(axis="y", labelleft=place % across == 0)
            axes.spines["left"].set_visible(False)
            style.in_percent(axes.xaxis)
        if panels:
            warned = Patch(color=WRONG, label=f"interval above {percent(NOTABLE, 0)}")
            panels[0].figure.legend(handles=[warned], loc="upper right")


def contact_sheet(canvas: Canvas, label_issues: pd.DataFrame, load: style.Load) -> None:
    """Draw `label_issues`: a ranked list of photos, by `path`, each with its `reason`."""
    images = load(label_issues.path)
    title = "Label issues: wrong labels, or no animals?"
    with canvas.panels("label_issues", title, 2.0, count=len(label_issues), across=6) as panels:
        rows = zip(panels, label_issues.path, label_issues.reason, strict=True)
        for place, (axes, path, reason) in enumerate(rows, start=1):
            style.show(axes, style.square(images[path]), textwrap.fill(reason, 26))
            caption = axes.set_title("", size=7.5)
            name = PurePosixPath(path).name
            style.write_name(caption, name, inches=1.4, start=f"{place}. ")
