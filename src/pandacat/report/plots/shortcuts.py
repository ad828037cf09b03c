"""What predicts the label besides the animal."""

from collections.abc import Sequence
from itertools import combinations

from matplotlib.patches import Patch

from pandacat.evaluation.shortcuts import CHANCE, NOTABLE, Finding, in_words
from pandacat.labels import listed
from pandacat.report.formatting import percent
from pandacat.report.plots import style
from pandacat.report.plots.style import FAINT, INK, PALE, WRONG, Canvas


def shortcuts(canvas: Canvas, findings: Sequence[Finding], labels: Sequence[str]) -> None:
    """Draw `shortcuts`: how well each property of the files separates two labels, best first.

    Bars start at chance; whiskers are joint 95 % intervals, and those above `NOTABLE` are marked.
    Pairs of labels without findings are left out.
    """
    properties = list(dict.fromkeys(finding.property for finding in findings))
    found = {(finding.first, finding.second) for finding in findings}
    pairs = [pair for pair in combinations(labels, 2) if pair in found]
    title, height = "Properties that predict the label", 0.7 + 0.3 * len(properties)
    across = min(3, max(1, len(pairs)))
    with canvas.panels("shortcuts", title, height, count=len(pairs), across=across) as panels:
        for place, (axes, pair) in enumerate(zip(panels, pairs, strict=True)):
            for finding in findings:
                if (finding.first, finding.second) == pair:
                    y, share = properties.index(finding.property), finding.balanced_accuracy
                    color = WRONG if share.low > NOTABLE else PALE
                    axes.barh(y, share.value - CHANCE, left=CHANCE, color=color, height=0.7)
                    axes.plot([share.low, share.high], [y, y], color=INK, linewidth=1.2)
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
