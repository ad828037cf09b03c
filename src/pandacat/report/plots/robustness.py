"""How far predictions hold when photos get worse."""

from collections.abc import Sequence

import pandas as pd

from pandacat.report.formatting import network_name, questions
from pandacat.report.plots.style import Canvas, in_percent, name_rows, network_styles


def robustness(
    canvas: Canvas, by_severity: pd.DataFrame, by_corruption: pd.DataFrame, labels: Sequence[str]
) -> None:
    """Draw `robustness`: each network's accuracy as photos get worse, and what harms it most.

    Lines are 95 % intervals. The tables are those of `robustness_metrics.accuracies`; severity 0
    is the photo as it is. Of `labels`, `other` is the last.
    """
    networks = network_styles(by_severity.network.unique())
    kinds, asked = list(by_corruption.corruption.unique()), questions(labels)
    lowest = min(float(by_severity[f"{measure}_low"].min()) for measure in asked) - 0.02
    height = 3.9 + 0.42 * len(kinds)
    with canvas.figure("robustness", "Accuracy on corrupted photos", height) as drawing:
        ratios = (1, 0.14 * len(kinds))
        grid = drawing.subplots(2, len(asked), squeeze=False, sharey="row", height_ratios=ratios)
        for (curves, bars), (measure, question) in zip(grid.T, asked.items(), strict=True):
            low, high = f"{measure}_low", f"{measure}_high"
            for network, (color, marker, place) in networks.items():
                dots = {"color": color, "marker": marker, "markersize": 4.5}
                one = by_severity[by_severity.network == network]
                x = one.severity + 0.2 * place
                curves.vlines(x, one[low], one[high], color=color, alpha=0.4)
                curves.plot(x, one[measure], **dots)
                one = by_corruption[by_corruption.network == network]
                y = one.corruption.map(kinds.index) + 0.75 * place
                bars.hlines(y, one[low], one[high], color=color, alpha=0.4)
                bars.plot(one[measure], y, **dots, linestyle="", label=network_name(network))
            curves.set(title=question, ylim=(lowest, 1.02), xticks=by_severity.severity.unique())
            curves.set_xlabel("severity of the corruption, over all kinds")
            bars.set(xlim=(None, 1.02), xlabel="correct, over all severities but 0")
            name_rows(bars, [kind.replace("_", " ") for kind in kinds])
            in_percent(curves.yaxis, bars.xaxis)
        grid[0, 0].set_ylabel("correct")
        handles = grid[1, 0].get_legend_handles_labels()
        narrow = {"columnspacing": 0.8, "handletextpad": 0.1}
        drawing.legend(*handles, loc="upper right", ncols=len(networks), **narrow)


def changed_predictions(canvas: Canvas, table: pd.DataFrame) -> None:
    """Draw `changed_predictions`: how many change when photos are recompressed.

    Lines are 95 % intervals; the table is that of `robustness_metrics.changed_predictions`.
    """
    labels = list(table.label.unique())
    networks = network_styles(table.network.unique())
    title = f"Recompressed at JPEG quality {table.quality[0]}"
    with canvas.figure("changed_predictions", title, 1.6 + 0.5 * len(labels)) as drawing:
        axes = drawing.subplots()
        for network, (color, marker, place) in networks.items():
            one = table[table.network == network]
            y = one.label.map(labels.index) + 0.75 * place
            axes.hlines(y, one.low, one.high, color=color, linewidth=2.5, alpha=0.4)
            axes.plot(one.changed, y, marker, color=color, label=network_name(network))
        name_rows(axes, [label.replace("_", " ") for label in labels])
        axes.set(xlim=(-0.005, None), xlabel="changed predictions")
        in_percent(axes.xaxis)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(networks))
