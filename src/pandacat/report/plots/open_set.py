"""How well scores separate photos: ROC curves, and the open-set score itself."""

from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.special import logit
from sklearn.metrics import roc_curve

from pandacat.evaluation.predictions import by_network, label_names, labels_and_probabilities
from pandacat.labels import listed
from pandacat.metrics.accuracy import pair_scores
from pandacat.metrics.open_set import in_distribution_score, threshold_at_recall
from pandacat.report.formatting import network_name, percent
from pandacat.report.plots import style
from pandacat.report.plots.accuracy import Metrics
from pandacat.report.plots.style import Canvas

Question = Literal["pair", "open_set"]
"""Which of two labels a photo shows; whether it shows any in-distribution label."""

SCORE_TICKS = (0.0001, 0.01, 0.5, 0.99, 0.9999)
SCORE_EDGES = np.linspace(-10, 10, 41)
"""In log-odds; scores beyond fall into the outermost bins."""


def roc_table(predictions: pd.DataFrame, question: Question) -> pd.DataFrame:
    """Return one network's ROC curve, for DVC's template `linear`.

    Columns `false_positive_rate` and `true_positive_rate`, rising; no rows where the photos are all
    of one kind.
    """
    labels, probabilities = labels_and_probabilities(predictions)
    positive, scores = labels < probabilities.shape[1] - 1, in_distribution_score(probabilities)
    if question == "pair":
        labels, scores = labels[positive], pair_scores(probabilities[positive])
        positive = labels == 0
    if positive.all() or not positive.any():
        return pd.DataFrame({"false_positive_rate": [], "true_positive_rate": []})
    false_rate, true_rate, _ = roc_curve(positive, scores)
    return pd.DataFrame({"false_positive_rate": false_rate, "true_positive_rate": true_rate})


def rocs(canvas: Canvas, predictions: pd.DataFrame, metrics: Metrics) -> None:
    """Draw `roc`: the curves of all networks, and beside each plot its corner: there they differ.

    A question that has no answer with these labels or photos is left out.
    """
    names = [listed([label]) for label in label_names(predictions)]
    networks, known, first = by_network(predictions), listed(names[:-1]), names[0]
    words: dict[Question, tuple[str, str, str]] = {
        "pair": (f"{known}?", f"{names[1]} predicted as {first}", f"{first} predicted as {first}"),
        "open_set": (
            f"{known}{',' * (len(names) > 2)} or other?",
            "other accepted",
            f"{known} accepted",
        ),
    }
    areas = {
        "pair": {name: of.get("roc_auc") for name, of in metrics.items()},
        "open_set": {name: of.get("open_set", {}).get("auroc") for name, of in metrics.items()},
    }
    questions = [question for question in words if all(areas[question].values())]
    with canvas.figure("roc", "ROC curves", 0.4 + 3 * max(1, len(questions))) as drawing:
        if not questions:
            drawing.text(0.5, 0.45, "none: these photos are all of one kind", ha="center")
            return
        grid = drawing.subplots(len(questions), 3, squeeze=False, width_ratios=(1, 1, 0.85))
        for (whole, corner, legend), question in zip(grid, questions, strict=True):
            for network, (color, marker, _) in style.network_styles(networks).items():
                points = roc_table(networks[network], question).to_numpy().T
                area = "{value:.4f}\n({low:.4f} to {high:.4f})".format(**areas[question][network])
                dots = {"marker": marker, "markersize": 3.5, "color": color}
                whole.plot(*points, color=color)
                corner.plot(*points, **dots, label=f"{network_name(network)} {area}")
            whole.plot([0, 1], [0, 1], color=style.FAINT, linewidth=1, linestyle=":")
            title, false_positives, true_positives = words[question]
            whole.set(title=title, ylabel=true_positives, xlim=(-0.01, 1), ylim=(0, 1.01))
            corner.set(title="the corner enlarged", xlim=(-0.001, 0.1), ylim=(0.9, 1.001))
            for axes in (whole, corner):
                axes.set(xlabel=false_positives, box_aspect=1)
                style.in_percent(axes.xaxis, axes.yaxis)
            legend.set_axis_off()
            layout = {"title": "AUROC", "alignment": "left", "labelspacing": 0.8}
            legend.legend(*corner.get_legend_handles_labels(), loc="center left", **layout)


def open_set_scores(canvas: Canvas, predictions: pd.DataFrame, metrics: Metrics) -> None:
    """Draw `open_set`: each network's open-set score, of in-distribution and all other photos.

    The line is where 95 % of the in-distribution photos are accepted.
    """
    *known, _ = label_names(predictions)
    networks = by_network(predictions)
    title, height = f"How probable is {listed(known)}?", 0.9 + 1.6 * len(networks)
    with canvas.figure("open_set", title, height) as drawing:
        column = drawing.subplots(len(networks), 1, squeeze=False, sharex=True)[:, 0]
        for axes, (network, rows) in zip(column, networks.items(), strict=True):
            labels, probabilities = labels_and_probabilities(rows)
            scores, positive = in_distribution_score(probabilities), labels < len(known)
            _histogram(axes, scores[positive], style.LABEL_COLORS[1], "in-distribution")
            _histogram(axes, scores[~positive], style.OTHER_COLOR, "other")
            title = network_name(network)
            if "open_set" in metrics[network]:
                threshold = threshold_at_recall(scores[positive])
                axes.axvline(_log_odds(threshold), color=style.INK, linewidth=1, linestyle="--")
                accepted = percent(metrics[network]["open_set"]["false_positive_rate"]["value"])
                title += f": FPR {accepted} at 95 % TPR"
            axes.set_title(title)
            style.in_percent(axes.yaxis)
        drawing.legend(*column[0].get_legend_handles_labels(), loc="upper right", ncols=2)
        column[-1].set_xticks(logit(SCORE_TICKS), [f"{100 * tick:g} %" for tick in SCORE_TICKS])
        highest = ", whichever is higher" if len(known) > 1 else ""
        column[-1].set_xlabel(f"probability of {listed(known)}{highest}")


def _histogram(axes: Axes, scores: np.ndarray, color: str, label: str) -> None:
    weights = np.full(len(scores), 1 / max(1, len(scores)))
    bars: dict[str, Any] = {"weights": weights, "color": color, "alpha": 0.75, "label": label}
    axes.hist(_log_odds(scores), SCORE_EDGES.tolist(), **bars)


def _log_odds(scores: np.ndarray | float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.clip(logit(scores), SCORE_EDGES[0], SCORE_EDGES[-1]))
