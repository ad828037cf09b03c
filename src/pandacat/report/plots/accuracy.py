"""How often the networks are right."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from sklearn.metrics import roc_curve

from pandacat.evaluation.predictions import by_network, labels_and_probabilities, predicted_labels
from pandacat.labels import LABELS
from pandacat.metrics import open_set
from pandacat.metrics.accuracy import auroc, confusion, pair_scores
from pandacat.report.plots.style import (
    FAINT,
    INK,
    PALE,
    figure,
    in_percent,
    in_words,
    network_styles,
    percent,
)

Question = Literal["panda_or_cat", "known_or_other"]

_QUESTIONS: dict[Question, tuple[str, str, str]] = {
    "panda_or_cat": ("panda or cat?", "cats taken for pandas", "pandas found"),
    "known_or_other": ("panda or cat, or other?", "other taken for them", "pandas and cats found"),
}
"""The question for a reader, and the names of the false and the true positive rate."""

ACCURACIES = {
    "two_class_accuracy": "panda or cat?",
    "accuracy": "panda, cat or other?",
}


def confusion_table(judged: pd.DataFrame) -> pd.DataFrame:
    """Return `actual` and `predicted`, a row a photo, for DVC's template `confusion`."""
    said = [LABELS[verdict] for verdict in predicted_labels(judged)]
    return pd.DataFrame({"actual": judged.label.to_numpy(), "predicted": said})


def roc_table(judged: pd.DataFrame, question: Question) -> pd.DataFrame:
    """Return one network's ROC curve, for DVC's template `linear`.

    Columns `false_positive_rate` and `true_positive_rate`, rising; no rows where the photos are all
    of one kind.
    """
    scores, positive = _asked(judged, question)
    if positive.all() or not positive.any():
        return pd.DataFrame({"false_positive_rate": [], "true_positive_rate": []})
    false_rate, true_rate, _ = roc_curve(positive, scores)
    return pd.DataFrame({"false_positive_rate": false_rate, "true_positive_rate": true_rate})


def _asked(judged: pd.DataFrame, question: Question) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of the photos that the question is about, and which ones are positive."""
    labels, probabilities = labels_and_probabilities(judged)
    known = labels < len(LABELS) - 1
    if question == "known_or_other":
        return open_set.in_distribution_score(probabilities), known
    return pair_scores(probabilities[known]), labels[known] == 0


def confusions(path: Path, judged: pd.DataFrame, *, title: str, drawn: bool) -> None:
    """Draw the confusion matrix of each network, side by side.

    `judged` is a table of predictions with a column `network`.
    """
    networks = by_network(judged)
    with figure(path, title, 1.4 + 8.4 / max(3, len(networks)), drawn=drawn) as drawing:
        row = drawing.subplots(1, len(networks), squeeze=False, sharey=True)[0]
        for axes, (network, rows) in zip(row, networks.items(), strict=True):
            counts = confusion(
                labels_and_probabilities(rows)[0], predicted_labels(rows), len(LABELS)
            )
            _matrix(axes, counts)
            axes.set_title(f"{in_words(network)}: {percent(counts.trace() / counts.sum())} right")
            axes.set_xlabel("verdict")
        row[0].set_ylabel("label")


def _matrix(axes: Axes, counts: np.ndarray) -> None:
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15)
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        color = "white" if share > 0.6 else INK if count else PALE
        centered: dict[str, Any] = {"ha": "center", "va": "center", "color": color}
        axes.text(column, row - 0.08, str(count), size=13, weight="bold", **centered)
        axes.text(column, row + 0.26, percent(share), size=8, **centered)
    axes.set_xticks(range(len(LABELS)), LABELS)
    axes.set_yticks(range(len(LABELS)), LABELS)
    axes.tick_params(length=0, labelcolor=INK)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def rocs(path: Path, judged: pd.DataFrame, *, title: str, drawn: bool) -> None:
    """Draw the ROC curves of all networks, and beside each plot its corner: there they differ.

    `judged` is a table of predictions with a column `network`.
    """
    with figure(path, title, 6.4, drawn=drawn) as drawing:
        grid = drawing.subplots(2, 3, width_ratios=(1, 1, 0.85))
        for (whole, corner, legend), question in zip(grid, _QUESTIONS, strict=True):
            asked, taken, found = _QUESTIONS[question]
            for axes, marker_size in ((whole, 0), (corner, 3.5)):
                _roc(axes, judged, question, marker_size)
                axes.set_xlabel(taken)
            whole.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":")
            whole.set(title=asked, ylabel=found, xlim=(-0.01, 1), ylim=(0, 1.01))
            corner.set(title="the corner enlarged", xlim=(-0.001, 0.1), ylim=(0.9, 1.001))
            legend.set_axis_off()
            legend.legend(
                *corner.get_legend_handles_labels(),
                loc="center left",
                title="area under the curve",
                alignment="left",
                labelspacing=0.8,
            )


def _roc(axes: Axes, judged: pd.DataFrame, question: Question, marker_size: float) -> None:
    networks = by_network(judged)
    for network, (color, marker) in network_styles(networks).items():
        curve = roc_table(networks[network], question)
        if not curve.empty:
            area = auroc(*_asked(networks[network], question))
            axes.plot(
                curve.false_positive_rate,
                curve.true_positive_rate,
                color=color,
                marker=marker,
                markersize=marker_size,
                label=f"{in_words(network)} {area.value:.4f}\n({area.low:.4f} to {area.high:.4f})",
            )
    axes.set_box_aspect(1)
    in_percent(axes.xaxis, axes.yaxis)


def headline(path: Path, figures: Mapping[str, Mapping[str, Any]], *, drawn: bool) -> None:
    """Draw the accuracy of all networks with its 95 % intervals: the one chart to look at.

    Args:
        path: of the PNG.
        figures: for each set of photos (`test`, `field_test`), for each network, what
            `measure.accuracy.headline` gives.
        drawn: whether the photos of the test split are drawn.
    """
    networks = list(figures["test"])
    height = 1.2 + len(networks) * (0.3 + 0.3 * len(figures))
    title = "How often each network is right, with 95 % intervals"
    with figure(path, title, height, drawn=drawn) as drawing:
        pair = drawing.subplots(1, 2, sharey=True)
        for axes, (accuracy, asked) in zip(pair, ACCURACIES.items(), strict=True):
            _accuracies(axes, figures, accuracy)
            axes.set_title(asked)
        pair[0].set_yticks(range(len(networks)), map(in_words, networks))
        pair[0].set_ylim(len(networks) - 0.5, -0.5)


def _accuracies(axes: Axes, figures: Mapping[str, Mapping[str, Any]], accuracy: str) -> None:
    lowest = 1.0
    for place, (photos, found) in enumerate(figures.items()):
        shift = 0.7 * ((place + 0.5) / len(figures) - 0.5)
        for row, (network, (color, marker)) in enumerate(network_styles(found).items()):
            if accuracy not in found[network]:
                continue
            share, y = found[network][accuracy], row + shift
            axes.plot([share["low"], share["high"]], [y, y], color=color, linewidth=2.5)
            fill = "white" if place else color
            axes.plot(
                share["value"], y, marker, color=color, markersize=8, mew=2, markerfacecolor=fill
            )
            axes.annotate(
                f"{photos.replace('_', ' ')} {percent(share['value'])}",
                (share["low"], y),
                xytext=(-8, 0),
                textcoords="offset points",
                ha="right",
                va="center",
            )
            lowest = min(lowest, share["low"])
    reach = 1 - lowest
    axes.set_xlim(1 - 1.7 * reach, 1 + 0.04 * reach)
    axes.locator_params(axis="x", nbins=6)
    in_percent(axes.xaxis)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=10)
    axes.spines["left"].set_visible(False)
