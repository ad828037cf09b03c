"""How far the networks can be relied on."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from scipy.special import logit

from pandacat.evaluation.predictions import (
    by_network,
    is_correct,
    labels_and_probabilities,
    predicted_labels,
)
from pandacat.evaluation.shortcuts import CHANCE, NOTABLE, Finding
from pandacat.evaluation.shortcuts import in_words as in_words_of_property
from pandacat.labels import LABELS
from pandacat.metrics import calibration, open_set
from pandacat.report.plots.accuracy import ACCURACIES
from pandacat.report.plots.style import (
    FAINT,
    INK,
    LABEL_COLORS,
    PALE,
    WRONG,
    figure,
    in_percent,
    in_words,
    network_styles,
    percent,
)

_SCORE_TICKS = (0.0001, 0.01, 0.5, 0.99, 0.9999)
_SCORE_EDGES = np.linspace(-10, 10, 41)
"""In log-odds; scores beyond fall into the outermost bins."""


def _sureness(judged: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of each verdict, and whether it is right."""
    said = predicted_labels(judged)
    return labels_and_probabilities(judged)[1][np.arange(len(said)), said], is_correct(judged)


def reliability(path: Path, judged: pd.DataFrame, *, title: str, drawn: bool) -> None:
    """Draw, for each network, how often it is right when so sure, and how sure it is how often.

    Where points lie on the diagonal, "90 %" is right nine times in ten. The bars are 95 %
    intervals. `judged` is a table of predictions with a column `network`.
    """
    networks = by_network(judged)
    with figure(path, title, 1.4 + 9.0 / max(3, len(networks)), drawn=drawn) as drawing:
        grid = drawing.subplots(
            2, len(networks), squeeze=False, sharex=True, sharey="row", height_ratios=(3.2, 1)
        )
        for (curve, mass), (network, (color, marker)) in zip(
            grid.T, network_styles(networks).items(), strict=True
        ):
            sure, right = _sureness(networks[network])
            table = calibration.reliability(sure, right)
            error = calibration.expected_calibration_error(sure, right)
            curve.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":")
            curve.vlines(table.confidence, table.low, table.high, color=color, alpha=0.5)
            curve.plot(table.confidence, table.accuracy, marker, color=color, markersize=5)
            curve.set(xlim=(0.3, 1.02), ylim=(0, 1.03))
            curve.set_title(f"{in_words(network)}: off by {percent(error)}")
            weights = np.full(len(sure), 1 / len(sure))
            mass.hist(sure, bins=np.linspace(0.3, 1, 29), weights=weights, color=color)
            mass.set_xlabel("probability of the verdict")
            in_percent(curve.yaxis, mass.yaxis, mass.xaxis)
        grid[0, 0].set_ylabel("right")
        grid[1, 0].set_ylabel("photos")


def risk_coverage(path: Path, judged: pd.DataFrame, *, title: str, drawn: bool) -> None:
    """Draw how many verdicts are wrong when a network may decline the photos it is unsure of.

    `judged` is a table of predictions with a column `network`.
    """
    networks = by_network(judged)
    with figure(path, title, 4.2, drawn=drawn) as drawing:
        axes = drawing.subplots()
        for network, (color, _) in network_styles(networks).items():
            sure, right = _sureness(networks[network])
            curve = open_set.risk_coverage(sure, right)
            area = open_set.area_under_risk_coverage(sure, right)
            axes.plot(
                curve.coverage,
                curve.risk,
                color=color,
                label=f"{in_words(network)}: {percent(area, 2)} on average",
            )
        axes.set_yscale("function", functions=(lambda y: np.sqrt(np.maximum(y, 0)), np.square))
        ticks = np.array([0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1])
        axes.set_yticks(ticks[ticks <= axes.get_ylim()[1]])
        axes.set(xlim=(0, 1.005), ylim=(0, None))
        axes.set_xlabel("photos answered, the surest first")
        axes.set_ylabel("wrong among them")
        in_percent(axes.xaxis, axes.yaxis)
        axes.legend(loc="upper left")


def open_set_scores(path: Path, judged: pd.DataFrame, *, title: str, drawn: bool) -> None:
    """Draw how probable each network finds panda or cat, for these and for all other photos.

    The line is where 95 % of pandas and cats pass. `judged` is a table of predictions with a column
    `network`.
    """
    networks = by_network(judged)
    with figure(path, title, 0.9 + 1.6 * len(networks), drawn=drawn) as drawing:
        column = drawing.subplots(len(networks), 1, squeeze=False, sharex=True)[:, 0]
        for axes, (network, rows) in zip(column, networks.items(), strict=True):
            labels, probabilities = labels_and_probabilities(rows)
            scores = open_set.in_distribution_score(probabilities)
            known = labels < len(LABELS) - 1
            axes.set_title(in_words(network))
            _score_histogram(axes, scores[known], LABEL_COLORS["cat"], "panda, cat")
            _score_histogram(axes, scores[~known], LABEL_COLORS["other"], "other")
            if known.any() and not known.all():
                threshold = open_set.threshold_at_recall(scores[known])
                passing = open_set.pass_rate(scores[~known], threshold)
                axes.axvline(_clipped(np.array(threshold)), color=INK, linewidth=1, linestyle="--")
                axes.set_title(
                    f"{in_words(network)}: {percent(passing.value)} of other pass where 95 % of"
                    " pandas and cats do"
                )
            in_percent(axes.yaxis)
        drawing.legend(*column[0].get_legend_handles_labels(), loc="upper right", ncols=2)
        column[-1].set_xticks(logit(_SCORE_TICKS), [f"{100 * tick:g} %" for tick in _SCORE_TICKS])
        column[-1].set_xlabel("probability of panda or of cat, whichever is higher")


def _score_histogram(axes: Axes, scores: np.ndarray, color: str, label: str) -> None:
    weights = np.full(len(scores), 1 / max(1, len(scores)))
    edges = _SCORE_EDGES.tolist()
    axes.hist(_clipped(scores), bins=edges, weights=weights, color=color, alpha=0.75, label=label)


def _clipped(scores: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.clip(logit(scores), _SCORE_EDGES[0], _SCORE_EDGES[-1]))


def robustness(
    path: Path, by_severity: pd.DataFrame, by_corruption: pd.DataFrame, *, title: str, drawn: bool
) -> None:
    """Draw how often each network is right as photos get worse, and what harms it most.

    Lines are 95 % intervals.

    Args:
        path: of the PNG.
        by_severity: over all corruptions, `network`, `severity` (0 is the photo as it is), and for
            each of `two_class_accuracy` and `accuracy` the value and its bounds
            `…_low` and `…_high`; severities rising.
        by_corruption: the same over all severities, with `corruption` instead of `severity`.
        title: what it is.
        drawn: whether the photos are drawn.
    """
    networks = network_styles(by_severity.network.unique())
    corruptions = list(by_corruption.corruption.unique())
    lowest = min(float(by_severity[f"{measure}_low"].min()) for measure in ACCURACIES) - 0.02
    with figure(path, title, 3.9 + 0.42 * len(corruptions), drawn=drawn) as drawing:
        grid = drawing.subplots(2, 2, sharey="row", height_ratios=(1, 0.14 * len(corruptions)))
        for (curves, bars), (measure, asked) in zip(grid.T, ACCURACIES.items(), strict=True):
            for place, (network, (color, marker)) in enumerate(networks.items()):
                beside = (place + 0.5) / len(networks) - 0.5
                look = {"color": color, "marker": marker, "markersize": 4.5}
                one = by_severity[by_severity.network == network]
                low, high = one[f"{measure}_low"], one[f"{measure}_high"]
                curves.vlines(one.severity + 0.2 * beside, low, high, color=color, alpha=0.4)
                curves.plot(one.severity + 0.2 * beside, one[measure], **look)
                one = by_corruption[by_corruption.network == network]
                rows = one.corruption.map(corruptions.index) + 0.75 * beside
                low, high = one[f"{measure}_low"], one[f"{measure}_high"]
                bars.hlines(rows, low, high, color=color, alpha=0.4)
                bars.plot(one[measure], rows, **look, linestyle="", label=in_words(network))
            curves.set(title=asked, ylim=(lowest, 1.02), xticks=by_severity.severity.unique())
            curves.set_xlabel("severity of the corruption, over all kinds")
            bars.set(xlim=(None, 1.02), ylim=(len(corruptions) - 0.5, -0.5))
            bars.set_xlabel("right, over all severities but 0")
            bars.grid(visible=False, axis="y")
            bars.tick_params(axis="y", length=0, labelcolor=INK)
            in_percent(curves.yaxis, bars.xaxis)
        grid[0, 0].set_ylabel("right")
        names = [corruption.replace("_", " ") for corruption in corruptions]
        grid[1, 0].set_yticks(range(len(corruptions)), names)
        drawing.legend(
            *grid[1, 0].get_legend_handles_labels(), loc="upper right", ncols=len(networks)
        )


def changed_predictions(path: Path, table: pd.DataFrame, *, title: str, drawn: bool) -> None:
    """Draw how many verdicts change when photos are saved as another label's files are.

    Lines are 95 % intervals.

    Args:
        path: of the PNG.
        table: `network`, `label`, the share `changed`, and its bounds `low` and `high`.
        title: what it is.
        drawn: whether the photos are drawn.
    """
    labels = list(table.label.unique())
    networks = network_styles(table.network.unique())
    with figure(path, title, 1.6 + 0.5 * len(labels), drawn=drawn) as drawing:
        axes = drawing.subplots()
        for place, (network, (color, marker)) in enumerate(networks.items()):
            one = table[table.network == network]
            rows = one.label.map(labels.index) + 0.75 * ((place + 0.5) / len(networks) - 0.5)
            axes.hlines(rows, one.low, one.high, color=color, linewidth=2.5, alpha=0.4)
            axes.plot(one.changed, rows, marker, color=color, label=in_words(network))
        axes.set_yticks(range(len(labels)), labels)
        axes.set(xlim=(-0.005, None), ylim=(len(labels) - 0.5, -0.5))
        axes.set_xlabel("verdicts that change")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        in_percent(axes.xaxis)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(networks))


def shortcuts(path: Path, findings: Sequence[Finding], *, title: str, drawn: bool) -> None:
    """Draw how well what is not the animal tells each two labels apart, the best first.

    Bars start at chance; whiskers are joint 95 % intervals; what surely tells is colored.

    Args:
        path: of the PNG.
        findings: what `measure.shortcuts.audit` gives.
        title: what it is.
        drawn: whether the photos are drawn.
    """
    properties = list(dict.fromkeys(finding.property for finding in findings))
    pairs = [
        pair
        for pair in combinations(LABELS, 2)
        if any((finding.first, finding.second) == pair for finding in findings)
    ]
    with figure(path, title, 1.3 + 0.3 * len(properties), drawn=drawn) as drawing:
        row = drawing.subplots(1, max(1, len(pairs)), squeeze=False, sharey=True, sharex=True)[0]
        for axes, (first, second) in zip(row, pairs, strict=False):
            for finding in findings:
                if (finding.first, finding.second) == (first, second):
                    _bar(axes, properties.index(finding.property), finding)
            axes.axvline(CHANCE, color=INK, linewidth=1)
            axes.axvline(NOTABLE, color=FAINT, linewidth=1, linestyle=":")
            axes.set(xlim=(0, 1.02), ylim=(len(properties) - 0.4, -0.6))
            axes.set_title(f"{first} or {second}?")
            axes.set_xlabel("told apart; 50 % is chance")
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0, labelcolor=INK)
            axes.spines["left"].set_visible(False)
            in_percent(axes.xaxis)
        row[0].set_yticks(range(len(properties)), map(in_words_of_property, properties))
        warned = Patch(color=WRONG, label=f"surely above {percent(NOTABLE, 0)}")
        drawing.legend(handles=[warned], loc="upper right")


def _bar(axes: Axes, y: int, finding: Finding) -> None:
    found = finding.balanced_accuracy
    color = WRONG if found.low > NOTABLE else PALE
    axes.barh(y, found.value - CHANCE, left=CHANCE, color=color, height=0.7)
    axes.plot([found.low, found.high], [y, y], color=INK, linewidth=1.2)
